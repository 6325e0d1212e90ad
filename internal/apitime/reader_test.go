// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package apitime

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// recorder is a clock that records the dates it is given.
type recorder struct {
	mu      sync.Mutex
	dates   []time.Time
	suspect bool
}

func (r *recorder) Observe(date time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dates = append(r.dates, date)
}

func (r *recorder) Suspect() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.suspect
}

func (r *recorder) setSuspect(suspect bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.suspect = suspect
}

func newTestReader(clock Observer) *Reader {
	begin := time.Now()
	return NewReader(clock, func() time.Duration { return time.Since(begin) })
}

// responses is an API server whose responses have these Date fields and take
// that long.
func responses(took time.Duration, dates ...string) http.RoundTripper {
	return roundTripper(func(*http.Request) (*http.Response, error) {
		time.Sleep(took)
		return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{"Date": dates}, Body: http.NoBody}, nil
	})
}

func TestF44_Reader_ReadsFreshDates(t *testing.T) {
	const date = "Sat, 21 Nov 2026 12:00:00 GMT"
	for _, tc := range []struct {
		name  string
		from  http.RoundTripper
		dates int
	}{
		{"fresh, with any status", responses(time.Second, date), 1},
		{"as old as allowed", responses(maxAge, date), 1},
		{"too old", responses(maxAge+1, date), 0},
		{"no Date", responses(0), 0},
		{"empty Date", responses(0, ""), 0},
		{"malformed Date", responses(0, "yesterday"), 0},
		{"no response", roundTripper(func(*http.Request) (*http.Response, error) { return nil, http.ErrServerClosed }), 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := &recorder{}
				request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
				if response, err := newTestReader(clock).Wrap(tc.from).RoundTrip(request); err == nil {
					_ = response.Body.Close()
				}
				want := slices.Repeat([]time.Time{time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}, tc.dates)
				if !slices.EqualFunc(clock.dates, want, time.Time.Equal) {
					t.Errorf("dates are %v", clock.dates)
				}
			})
		})
	}
}

// F44: the time is requested at the start, an hour after the last date, and
// each ten seconds while the clock is suspect.
func TestF44_Reader_RequestsTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &recorder{}
		var requests atomic.Int32
		var unreachable atomic.Bool
		r := newTestReader(clock)
		ctx, cancel := context.WithCancel(t.Context())
		go r.Run(ctx, func(context.Context) {
			if requests.Add(1); !unreachable.Load() {
				r.read(http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}})
			}
		})
		expect := func(when string, passed time.Duration, want int32) {
			t.Helper()
			requests.Store(0)
			time.Sleep(passed)
			synctest.Wait()
			if got := requests.Load(); got != want {
				t.Errorf("%s: %d requests in %s, want %d", when, got, passed, want)
			}
		}
		time.Sleep(time.Second) // off the ticks
		expect("no date yet", 10*time.Second, 1)
		expect("a fresh date", 59*time.Minute, 0)
		expect("an hour later", time.Minute+10*time.Second, 1)
		clock.setSuspect(true)
		expect("suspect", time.Minute, 6)
		clock.setSuspect(false)
		expect("trusted", time.Minute, 0)
		unreachable.Store(true)
		expect("unreachable for more than an hour", time.Hour+time.Minute, 13)
		cancel()
		synctest.Wait()
	})
}

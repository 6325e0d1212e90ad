// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

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

	"k8s.io/client-go/rest"

	"github.com/callbackproxy/callback-operator/cmd/internal/kubeapi"
)

// judged is a clock that notes what it hears.
type judged struct {
	mu      sync.Mutex
	heard   []time.Time
	suspect bool
}

func (j *judged) Heard(date time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.heard = append(j.heard, date)
}

func (j *judged) Suspect() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.suspect
}

func (j *judged) doubt(suspect bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.suspect = suspect
}

// answers is an API server whose answers carry these Date fields and take
// their time.
func answers(took time.Duration, dates ...string) http.RoundTripper {
	return kubeapi.RoundTripper(func(*http.Request) (*http.Response, error) {
		time.Sleep(took)
		return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{"Date": dates}, Body: http.NoBody}, nil
	})
}

func TestF44_DateOfAnAnswerIsEvidence(t *testing.T) {
	const date = "Sat, 21 Nov 2026 12:00:00 GMT"
	for _, tc := range []struct {
		name  string
		from  http.RoundTripper
		heard int
	}{
		{"fresh, whatever the status", answers(time.Second, date), 1},
		{"as old as allowed", answers(freshness, date), 1},
		{"too long under way", answers(freshness+1, date), 0},
		{"none", answers(0), 0},
		{"empty", answers(0, ""), 0},
		{"no date", answers(0, "yesterday"), 0},
		{"no answer", kubeapi.RoundTripper(func(*http.Request) (*http.Response, error) { return nil, http.ErrServerClosed }), 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := &judged{}
				request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
				if response, err := newWitness(j, time.Now).wrap(tc.from).RoundTrip(request); err == nil {
					_ = response.Body.Close()
				}
				want := slices.Repeat([]time.Time{time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}, tc.heard)
				if !slices.EqualFunc(j.heard, want, time.Time.Equal) {
					t.Errorf("heard %v", j.heard)
				}
			})
		})
	}
}

// The API server is asked at once an hour after its last word, each ten
// seconds while the clock is suspect, and otherwise not at all.
func TestF44_AsksForTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &judged{}
		var asked atomic.Int32
		var silent atomic.Bool
		w := newWitness(j, time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		go w.confirm(ctx, func(context.Context) {
			if asked.Add(1); !silent.Load() {
				w.read(http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}})
			}
		})
		expect := func(what string, passed time.Duration, want int32) {
			t.Helper()
			asked.Store(0)
			time.Sleep(passed)
			synctest.Wait()
			if got := asked.Load(); got != want {
				t.Errorf("%s: asked %d times in %s, want %d", what, got, passed, want)
			}
		}
		time.Sleep(time.Second) // off the ticks
		expect("nothing heard yet", 10*time.Second, 1)
		expect("heard", 59*time.Minute, 0)
		expect("an hour later", time.Minute+10*time.Second, 1)
		j.doubt(true)
		expect("suspect", time.Minute, 6)
		j.doubt(false)
		expect("trusted", time.Minute, 0)
		silent.Store(true)
		expect("silent after an hour", time.Hour+time.Minute, 13)
		cancel()
		synctest.Wait()
	})
}

// The question goes the way of all others to the API server, and its answer
// reaches the clock.
func TestF44_QuestionIsWitnessed(t *testing.T) {
	var paths []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.Method+" "+r.URL.String())
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	j := &judged{}
	config := &rest.Config{Host: server.URL + "/cluster"}
	config.Wrap(newWitness(j, time.Now).wrap)
	ask, err := newAsk(config)
	if err != nil {
		t.Fatal(err)
	}
	ask(t.Context())
	if !slices.Equal(paths, []string{"GET /cluster/version"}) || len(j.heard) != 1 || time.Since(j.heard[0]).Abs() > time.Minute {
		t.Errorf("asked %v, heard %v", paths, j.heard)
	}
	server.Close()
	ask(t.Context())
	if len(j.heard) != 1 {
		t.Errorf("heard %v of a server that is gone", j.heard)
	}
}

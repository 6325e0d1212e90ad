// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package apitime

// reader.go: the Date header of the API server's responses.

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// maxAge is how long a response may take: its Date is as old as its first
	// byte.
	maxAge = 30 * time.Second
	// confirmEvery is how often Run looks whether a date is needed, and
	// confirmAfter how old the last date may be while the clock is not suspect.
	confirmEvery = 10 * time.Second
	confirmAfter = time.Hour
)

// Observer is the clock that the dates are passed to.
type Observer interface {
	Observe(date time.Time)
	Suspect() bool
}

// Reader makes the API server the second source of time: it reads the Date of
// each response. Whatever protects the responses protects the time.
type Reader struct {
	clock   Observer
	elapsed func() time.Duration
	last    atomic.Int64 // when the last date was read, by elapsed
}

// NewReader returns a Reader for a clock. elapsed is a monotonic clock.
func NewReader(clock Observer, elapsed func() time.Duration) *Reader {
	r := &Reader{clock: clock, elapsed: elapsed}
	r.last.Store(int64(elapsed() - confirmAfter))
	return r
}

// Wrap returns a transport that passes the Date of each fresh response to the
// clock.
func (r *Reader) Wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		sent := r.elapsed()
		response, err := next.RoundTrip(request)
		if err == nil && r.elapsed()-sent <= maxAge {
			r.read(response.Header)
		}
		return response, err
	})
}

func (r *Reader) read(header http.Header) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return // absent or malformed: the next response has another one
	}
	r.last.Store(int64(r.elapsed()))
	r.clock.Observe(date)
}

// Run requests the time from the API server, each ten seconds while the clock
// is suspect, and when no date was read for an hour: a watch has one Date, at
// its start. It returns when ctx is cancelled.
func (r *Reader) Run(ctx context.Context, request func(context.Context)) {
	ticker := time.NewTicker(confirmEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		age := r.elapsed() - time.Duration(r.last.Load())
		if r.clock.Suspect() || age >= confirmAfter {
			request(ctx)
		}
	}
}

// roundTripper makes a function a transport.
type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

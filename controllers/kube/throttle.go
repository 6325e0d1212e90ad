// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

// throttle.go honours the Retry-After of the API server.

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Throttle wraps a transport. A request that the API server refuses with 429 and
// Retry-After is not sent again before that time, also when its caller gives it up
// meanwhile and begins anew.
func Throttle(next http.RoundTripper) http.RoundTripper {
	return &throttle{next: next, until: map[string]time.Time{}}
}

// maxThrottled is how many refused requests are kept before those whose time has
// come are dropped.
const maxThrottled = 1024

type throttle struct {
	next http.RoundTripper

	mu sync.Mutex
	// until is when a request may be sent again, by its method and URL.
	until map[string]time.Time
}

// RoundTrip implements http.RoundTripper.
func (t *throttle) RoundTrip(r *http.Request) (*http.Response, error) {
	key := r.Method + " " + r.URL.String()
	if wait := t.wait(key); wait > 0 {
		select {
		case <-r.Context().Done():
			return nil, r.Context().Err()
		case <-clock.RealClock{}.After(wait):
		}
	}
	response, err := t.next.RoundTrip(r)
	if err == nil && response.StatusCode == http.StatusTooManyRequests {
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
			t.note(key, time.Duration(seconds)*time.Second)
		}
	}
	return response, err
}

func (t *throttle) wait(key string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	until, refused := t.until[key]
	if !refused {
		return 0
	}
	return until.Sub(clock.RealClock{}.Now())
}

func (t *throttle) note(key string, retryAfter time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := clock.RealClock{}.Now()
	if len(t.until) >= maxThrottled {
		maps.DeleteFunc(t.until, func(_ string, until time.Time) bool { return !now.Before(until) })
	}
	t.until[key] = now.Add(retryAfter)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// responses is a transport that gives one response after the other.
type responses struct {
	left []*http.Response
	sent []time.Time
}

func (r *responses) RoundTrip(*http.Request) (*http.Response, error) {
	r.sent = append(r.sent, time.Now())
	next := r.left[0]
	r.left = r.left[1:]
	return next, nil
}

func tooManyRequests(retryAfter string) *http.Response {
	return &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {retryAfter}}, Body: http.NoBody}
}

// F04: no request is sent before the time that the API server named. A caller that
// gives up meanwhile does not shorten it.
func TestF04_ThrottleHonoursRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		next := &responses{left: []*http.Response{tooManyRequests("10"), {StatusCode: http.StatusOK, Body: http.NoBody}, tooManyRequests("soon"), {StatusCode: http.StatusOK, Body: http.NoBody}}}
		transport := Throttle(next)
		send := func(timeout time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodPatch, "http://api", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			response, err := transport.RoundTrip(request)
			if err == nil {
				_ = response.Body.Close()
			}
			return err
		}
		if err := send(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		if err := send(5 * time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a request within the time ended with %v", err)
		}
		for range 3 { // the last two: a Retry-After that is no number holds nothing back
			if err := send(6 * time.Second); err != nil {
				t.Error(err)
			}
		}
		want := []time.Duration{0, 10 * time.Second, 10 * time.Second, 10 * time.Second}
		for i, at := range next.sent {
			if got := at.Sub(began); got != want[i] {
				t.Errorf("request %d was sent after %s, want %s", i+1, got, want[i])
			}
		}
	})
}

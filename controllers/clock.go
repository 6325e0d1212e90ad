// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/callbackproxy/callback-operator/proxy/sunset"
)

// Clock is the time by which sunsets are judged, as the proxies judge it: this
// machine's clock, unless that jumps by more than an hour and the API server's
// does not. It is a clock.PassiveClock.
type Clock struct {
	read func() sunset.Reading

	mu    sync.Mutex
	judge sunset.Clock
}

// staleAfter is how long an answer may have been under way: its Date is as old
// as its first byte.
const staleAfter = 30 * time.Second

// NewClock returns a Clock over a clock with a monotonic reading, as time.Now
// is.
func NewClock(wall func() time.Time) *Clock {
	begin := wall()
	return newClock(func() sunset.Reading {
		now := wall()
		return sunset.Reading{Wall: now.Round(0), Elapsed: now.Sub(begin)}
	})
}

func newClock(read func() sunset.Reading) *Clock {
	return &Clock{read: read, judge: sunset.NewClock(read())}
}

func (c *Clock) judgement() sunset.Judgement {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.judge.At(c.read())
}

// Now returns the time by which sunsets are judged.
func (c *Clock) Now() time.Time { return c.judgement().Now }

// Since returns the time since t by the same judgement.
func (c *Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// Wrap returns a transport to the API server that learns the time from its
// answers. A leader asks it every few seconds, if only for its lease.
func (c *Clock) Wrap(next http.RoundTripper) http.RoundTripper {
	return transportFunc(func(r *http.Request) (*http.Response, error) {
		sent := c.read().Elapsed
		response, err := next.RoundTrip(r)
		if err != nil || c.read().Elapsed-sent > staleAfter {
			return response, err
		}
		if date, dateErr := http.ParseTime(response.Header.Get("Date")); dateErr == nil {
			c.mu.Lock()
			c.judge = c.judge.Heard(c.read(), date)
			c.mu.Unlock()
		}
		return response, err
	})
}

// Observe shows in the manager's metrics whether the clock is suspect.
func (c *Clock) Observe() {
	metrics.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "callback_operator_clock_suspect",
		Help: "1 while this machine's clock contradicts the API server's by more than an hour, and is not gone by.",
	}, func() float64 {
		if c.judgement().Suspect {
			return 1
		}
		return 0
	}))
}

type transportFunc func(*http.Request) (*http.Response, error)

// RoundTrip makes the function a transport.
func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

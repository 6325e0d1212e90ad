// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/callbackproxy/callback-operator/internal/apitime"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
)

// Clock is the time by which sunsets are judged, as the proxies judge it: this
// machine's clock, unless that jumps by more than an hour and the API server's
// does not. It is a clock.PassiveClock.
type Clock struct{ time *apitime.Clock }

// NewClock returns a Clock over a clock with a monotonic reading, as time.Now
// is.
func NewClock(wall func() time.Time) *Clock {
	return &Clock{apitime.NewClock(wall, slog.New(slog.DiscardHandler))}
}

func newClock(read func() sunset.Reading) *Clock {
	return &Clock{apitime.NewClockFrom(read, slog.New(slog.DiscardHandler))}
}

func (c *Clock) judgement() sunset.Judgement { return c.time.Judgement() }

// Now returns the time by which sunsets are judged.
func (c *Clock) Now() time.Time { return c.time.Now() }

// Since returns the time since t by the same judgement.
func (c *Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// Wrap returns a transport to the API server that reads the time from its
// responses. A leader renews its lease every few seconds, so dates are frequent.
func (c *Clock) Wrap(next http.RoundTripper) http.RoundTripper { return c.time.Wrap(next) }

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

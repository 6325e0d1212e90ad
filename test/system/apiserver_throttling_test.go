// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/system/interposer"
)

// The API server responds with 429 and Retry-After: manager and proxies retry
// then, and meanwhile send fewer than five requests a second. Leases pass, as
// API priority and fairness has a level of their own for them.
func TestF04_TheAPIServerThrottles(t *testing.T) {
	t.Parallel()
	s := start(t, "F04", options{})
	pauses := []time.Duration{3 * time.Second}
	if full {
		pauses = append(pauses, 10*time.Second)
	}
	for _, pause := range pauses {
		s.set(interposer.Rule{Match: interposer.Not(interposer.Leases), Refuse: interposer.TooManyRequests(pause)})
		s.cutWatches()
		began := time.Now()
		changes := s.change(lasting(15*time.Second, time.Minute))
		during := time.Since(began)
		s.set()
		took := s.converges(patience + pause)
		for name, api := range map[string]*interposer.Proxy{"manager": s.managers[0].api, "proxies": s.proxyAPI} {
			throttled := api.Calls(func(c interposer.Call) bool { return c.Code == 429 && !c.At.Before(began) })
			rate := float64(len(throttled)) / during.Seconds()
			shortest, longest := gaps(api.Calls(interposer.Since(began)))
			s.record("Retry-After %s, %s: %.1f requests/s, retried after %.2f to %.2f s",
				pause, name, rate, shortest.Seconds(), longest.Seconds())
			s.Expect(rate).To(BeNumerically("<", 5), name)
			s.Expect(len(throttled)).To(BeNumerically(">", 1), "the fault was there")
			s.Expect(shortest).To(BeNumerically(">=", pause*8/10), name)
			s.Expect(longest).To(BeNumerically("<=", pause*12/10), name)
		}
		s.record("Retry-After %s: %d changes, converged %.1f s after", pause, changes, took.Seconds())
	}
	s.Expect(s.managers[0].Restarts()).To(BeZero())
	s.finish()
}

// gaps returns the shortest and the longest time between a refusal and the
// same request's next attempt.
func gaps(calls []interposer.Call) (shortest, longest time.Duration) {
	refused := map[string]time.Time{}
	var all []time.Duration
	for _, c := range calls {
		key := c.Verb + " " + c.URI + " " + string(c.Body)
		if at, was := refused[key]; was {
			all = append(all, c.At.Sub(at))
		}
		delete(refused, key)
		if c.Code == 429 {
			refused[key] = c.Answered
		}
	}
	if len(all) == 0 {
		return 0, 0
	}
	return slices.Min(all), slices.Max(all)
}

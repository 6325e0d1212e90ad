// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/system/interposer"
)

// The API server is slow. Below the renew deadline the leader stays; above it
// the leader steps down in order. Goroutines do not accumulate, and everything
// converges within 30 s of the end.
func TestF02_TheAPIServerIsSlow(t *testing.T) {
	t.Parallel()
	s := start(t, "F02", options{})
	m := s.managers[0]
	for _, fault := range []struct {
		name        string
		rules       []interposer.Rule
		keeps       bool
		fast, whole time.Duration
	}{
		{"2 s", slow(2 * time.Second), true, 8 * time.Second, time.Minute},
		{"10 s", slow(10 * time.Second), false, 13 * time.Second, time.Minute},
		{"30 s", slow(30 * time.Second), false, 13 * time.Second, 90 * time.Second},
		{"1 KiB/s", []interposer.Rule{{Rate: 1 << 10}}, true, 8 * time.Second, time.Minute},
	} {
		before, leading := s.goroutines(), m.Restarts()
		s.set(fault.rules...)
		changes := s.change(lasting(fault.fast, fault.whole))
		during := s.goroutines()
		s.set()
		took := s.converges(30 * time.Second)
		after := s.goroutines()
		s.record("%s: %d changes, converged %.1f s after, goroutines %d, %d, %d, stepped down %d times",
			fault.name, changes, took.Seconds(), before, during, after, m.Restarts()-leading)
		if fault.keeps {
			s.Expect(m.Restarts()).To(Equal(leading), "%s: %s", fault.name, m.logTail())
			s.Expect(during).To(BeNumerically("<=", before+before/10), "%s: goroutines grow", fault.name)
		}
		s.Expect(after).To(BeNumerically("<=", before+before/10), "%s: goroutines stay", fault.name)
	}
	log := m.Process().Output()
	s.Expect(strings.Count(log, "leader election lost")).To(Equal(m.Restarts()), "every end is a step-down")
	s.Expect(log).NotTo(ContainSubstring("panic: "))
	s.finish()
}

// slow delays every response and every event.
func slow(latency time.Duration) []interposer.Rule {
	return []interposer.Rule{
		{Match: interposer.Not(interposer.Watches), Delay: latency},
		{Match: interposer.Watches, Lag: latency},
	}
}

// goroutines is the manager's number of them: the median of a second.
func (s *system) goroutines() int {
	s.t.Helper()
	var seen []float64
	for range 10 {
		if n, err := s.managers[0].metric("go_goroutines"); err == nil {
			seen = append(seen, n)
		}
		s.wait(100 * time.Millisecond)
	}
	if len(seen) == 0 {
		return 0 // between two restarts
	}
	slices.Sort(seen)
	return int(seen[len(seen)/2])
}

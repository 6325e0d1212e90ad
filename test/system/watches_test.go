// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/system/interposer"
)

// Watches end all the time, cannot be had, or say nothing: no update is lost,
// and everything is as declared 5 s after the world was listed again.
func TestF05_WatchesBreak(t *testing.T) {
	t.Parallel()
	o := options{alone: true}
	if !full {
		// What a client needs to notice is 45 s by default.
		o.env = []string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS=4", "HTTP2_PING_TIMEOUT_SECONDS=2"}
	}
	s := start(t, "F05", o)

	// Connections become black holes, which nobody ends: the clients' own
	// pings find out.
	for _, api := range s.apis() {
		api.Freeze()
	}
	frozen := time.Now()
	s.expectRelist("connections frozen", s.change(2*time.Second), frozen, 90*time.Second)

	for _, fault := range []struct {
		name        string
		rule        interposer.Rule
		fast, whole time.Duration
	}{
		{"dropped each second", interposer.Rule{Match: interposer.Watches, CutAfter: time.Second}, 8 * time.Second, time.Minute},
		{"410 Gone", interposer.Rule{Match: interposer.Watches, Refuse: interposer.Gone}, 8 * time.Second, time.Minute},
		{"silently stalled, then cut", interposer.Rule{Match: interposer.Watches, Stall: true}, 8 * time.Second, time.Minute},
	} {
		s.set(fault.rule)
		if !fault.rule.Stall {
			s.cutWatches()
		}
		changes := s.change(lasting(fault.fast, fault.whole))
		s.set()
		s.cutWatches()
		s.expectRelist(fault.name, changes, time.Now(), 90*time.Second)
	}

	if full {
		s.stallForGood()
	}
	s.finish()
}

// stallForGood lets watches say nothing for ever on connections that live, not
// even that the API server has ended them, which it does after ten minutes at
// most.
func (s *system) stallForGood() {
	s.t.Helper()
	began := time.Now()
	var open []interposer.Match
	for _, api := range s.apis() {
		last := len(api.Calls(interposer.All))
		open = append(open, interposer.And(interposer.Watches, func(c interposer.Call) bool { return c.N <= last }))
	}
	for i, api := range s.apis() {
		api.Set(interposer.Rule{Match: open[i], Stall: true})
	}
	s.expectRelist("stalled for good", s.change(2*time.Second), began, 11*time.Minute)
	s.set()
}

// expectRelist waits until everything converged after a fault that ended at a
// time, and expects it 5 s after the last watch came back.
func (s *system) expectRelist(fault string, changes int, ended time.Time, limit time.Duration) {
	s.t.Helper()
	s.converges(limit)
	converged := time.Now()
	manager, proxies := relisted(s.managers[0].api, ended, 1), relisted(s.proxyAPI, ended, len(s.proxies))
	last := proxies
	if manager.After(last) {
		last = manager
	}
	s.record("%s: %d changes; after the fault the manager listed in %.1f s, the proxies in %.1f s; converged %.1f s later",
		fault, changes, manager.Sub(ended).Seconds(), proxies.Sub(ended).Seconds(), converged.Sub(last).Seconds())
	s.Expect(converged.Sub(last)).To(BeNumerically("<=", 5*time.Second), fault)
}

// relisted returns when as many clients had a watch of each kind again after a
// time. Every kind matters: a pass of the manager reads all of them, and waits
// until they hold what it wrote itself.
func relisted(api *interposer.Proxy, since time.Time, clients int) time.Time {
	known := map[string]int{}
	last := since
	for _, c := range api.Calls(interposer.And(interposer.Watches, interposer.Since(since))) {
		if c.Code != http.StatusOK || known[c.Resource] == clients {
			continue
		}
		if known[c.Resource]++; known[c.Resource] == clients && c.Answered.After(last) {
			last = c.Answered
		}
	}
	return last
}

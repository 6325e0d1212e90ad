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

// Watches end all the time, are refused, or stall: no update is lost, and
// everything is as declared 5 s after the new lists.
func TestF05_WatchesBreak(t *testing.T) {
	t.Parallel()
	o := options{alone: true}
	if !full {
		// A client needs 45 s by default to detect a dead connection.
		o.env = []string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS=4", "HTTP2_PING_TIMEOUT_SECONDS=2"}
	}
	s := start(t, "F05", o)

	// Connections become black holes and stay open: only the clients' own pings
	// detect it.
	for _, api := range s.apis {
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
		{"stalled, then cut", interposer.Rule{Match: interposer.Watches, Stall: true}, 8 * time.Second, time.Minute},
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

// stallForGood withholds every event of the open watches on connections that
// live, also the API server's end of the watch, which comes after ten minutes at
// most.
func (s *system) stallForGood() {
	s.t.Helper()
	began := time.Now()
	open := map[string]interposer.Match{}
	for name, api := range s.apis {
		last := len(api.Calls(interposer.All))
		open[name] = interposer.And(interposer.Watches, func(c interposer.Call) bool { return c.N <= last })
	}
	for name, api := range s.apis {
		api.Set(interposer.Rule{Match: open[name], Stall: true})
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

// relisted returns when the given number of clients had a watch of each kind
// again after a time. Every kind matters: a pass of the manager reads all of
// them, and waits until they contain its own writes.
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

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/faults/interposer"
)

// Watches end all the time, cannot be had, or say nothing: no update is lost,
// and everything is as declared 5 s after the world was listed again.
func TestF05_WatchesBreak(t *testing.T) {
	t.Parallel()
	s := start(t, "F05", options{alone: true})
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
		s.expectRelist(fault.name, changes, time.Now(), time.Minute)
	}

	// Connections become black holes, which nobody ends: the clients' own
	// pings find out.
	for _, api := range s.apis() {
		api.Freeze()
	}
	frozen := time.Now()
	s.expectRelist("connections frozen", s.change(2*time.Second), frozen, 90*time.Second)
	if full {
		s.stallForGood()
	}
	s.finish()
}

// stallForGood lets watches say nothing for ever on connections that live.
// The API server ends every watch after ten minutes at most; what is then
// between the client and the end must not matter.
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
	took := time.Since(s.relisted(ended))
	s.record("%s: %d changes, converged %.1f s after relist, %.1f s after the fault", fault, changes, took.Seconds(), time.Since(ended).Seconds())
	s.Expect(took).To(BeNumerically("<=", 5*time.Second), fault)
}

// relisted returns when manager and proxies had watches again after a time:
// the last of the first successful ones of the kinds that matter.
func (s *system) relisted(since time.Time) time.Time {
	s.t.Helper()
	var last time.Time
	for _, resource := range []string{"callbackroutes", "callbackproxyconfigs"} {
		for _, api := range s.apis() {
			if resource == "callbackroutes" && api == s.proxyAPI {
				continue
			}
			for _, call := range api.Calls(interposer.And(interposer.Watches, interposer.Of("", resource), interposer.Since(since))) {
				if call.Code == 200 {
					if call.Answered.After(last) {
						last = call.Answered
					}
					break
				}
			}
		}
	}
	s.Expect(last).NotTo(BeZero(), "no watch came back")
	return last
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/callbackproxy/callback-operator/controllers/compile"
)

// F13: a tenant that changes its routes without end writes no more than a few
// times a second, and another fleet does not notice.
func TestF13_Pace_BoundsOneFleetAlone(t *testing.T) {
	g := NewWithT(t)
	clock := clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	p, now := newPace(clock), clock.Now()
	busy, calm := types.NamespacedName{Name: "busy"}, types.NamespacedName{Name: "calm"}
	passes := 0
	for range 6000 { // 100 changes a second for a minute
		if p.pass(busy, now) == 0 {
			p.published(busy)
			passes++
		}
		now = now.Add(10 * time.Millisecond)
		clock.SetTime(now)
	}
	g.Expect(passes).To(BeNumerically("~", passBurst+60*passesPerSecond, 1))
	for p.pass(busy, now) == 0 {
		p.published(busy)
	}
	g.Expect(p.pass(calm, now)).To(BeZero())
	wait := p.pass(busy, now)
	g.Expect(p.pass(busy, now.Add(wait))).To(BeZero(), "and what it has to wait is enough")
}

// A fleet that is expensive to look at rests longer.
func TestPace_RestsAfterALook(t *testing.T) {
	g := NewWithT(t)
	p, now := newPace(nil), time.Unix(1_800_000_000, 0)
	fleet := types.NamespacedName{Name: "large"}
	g.Expect(p.pass(fleet, now)).To(BeZero())
	p.looked(fleet, 200*time.Millisecond, now)
	g.Expect(p.pass(fleet, now)).To(Equal(600 * time.Millisecond))
	g.Expect(p.pass(fleet, now.Add(600*time.Millisecond))).To(BeZero())
}

func TestPace_ANewsOfHealthDoesNotWaitForCounters(t *testing.T) {
	g := NewWithT(t)
	p, now := newPace(nil), time.Unix(1_800_000_000, 0)
	p.wrote("r", compile.Counted, "1", now)
	g.Expect(p.status("r", compile.Counted, now.Add(time.Second))).To(Equal(29 * time.Second))
	g.Expect(p.status("r", compile.Seen, now.Add(time.Second))).To(BeZero())
	p.wrote("r", compile.Seen, "2", now.Add(time.Second))
	g.Expect(p.status("r", compile.Seen, now.Add(2*time.Second))).To(Equal(29 * time.Second))
	g.Expect(p.status("r", compile.Counted, now.Add(40*time.Second))).To(Equal(21*time.Second), "it goes along with the next news of health")
	g.Expect(p.status("r", compile.Declared, now.Add(2*time.Second))).To(BeZero(), "what is declared does not wait")
	g.Expect(p.isOwn("r", "2")).To(BeTrue())
	g.Expect(p.isOwn("r", "1")).To(BeFalse())
	p.writes("r")
	g.Expect(p.isOwn("r", "3")).To(BeTrue(), "seen before the answer")
	g.Expect(p.wrote("r", compile.Declared, "3", now)).To(BeFalse())
	p.writes("r")
	g.Expect(p.isOwn("r", "5")).To(BeTrue())
	g.Expect(p.wrote("r", compile.Declared, "4", now)).To(BeTrue(), "it was somebody else's")
	p.writes("r")
	g.Expect(p.isOwn("r", "6")).To(BeTrue())
	g.Expect(p.wrote("r", compile.Declared, "", now)).To(BeTrue(), "and our own failed")
	p.gone("r")
	g.Expect(p.status("r", compile.Seen, now.Add(2*time.Second))).To(BeZero())
}

// What is not known yet is said and taken back once, and no news of it holds
// back that a backend dies.
func TestPace_WhatIsUnknownAtFirstHoldsNothingBack(t *testing.T) {
	g := NewWithT(t)
	p, now := newPace(nil), time.Unix(1_800_000_000, 0)
	for range measuredBurst {
		g.Expect(p.status("r", compile.Measured, now)).To(BeZero())
		p.wrote("r", compile.Measured, "1", now)
	}
	g.Expect(p.status("r", compile.Measured, now)).To(Equal(softInterval))
	g.Expect(p.status("r", compile.Seen, now)).To(BeZero())
	p.wrote("r", compile.Seen, "2", now)
	g.Expect(p.status("r", compile.Seen, now.Add(time.Second))).To(Equal(29 * time.Second))
	g.Expect(p.status("r", compile.Measured, now.Add(softInterval))).To(BeZero())
}

// Ten thousand busy routes do not write ten thousand statuses in 30 s.
func TestPace_BoundsWhatIsOnlyCounted(t *testing.T) {
	g := NewWithT(t)
	p, now := newPace(nil), time.Unix(1_800_000_000, 0)
	written := 0
	for i := range 10_000 {
		if p.status(types.UID(rune(i)), compile.Counted, now) == 0 {
			written++
		}
	}
	g.Expect(written).To(Equal(softBurst))
}

// A route that changes without end is told of now and then; it may change often
// in a row before.
func TestF13_Pace_BoundsWhatIsSaidOfOneRoute(t *testing.T) {
	g := NewWithT(t)
	p, now := newPace(nil), time.Unix(1_800_000_000, 0)
	for range statusBurst {
		g.Expect(p.status("r", compile.Declared, now)).To(BeZero())
		p.wrote("r", compile.Declared, "1", now)
	}
	g.Expect(p.status("r", compile.Declared, now)).To(Equal(2 * time.Second))
	g.Expect(p.status("other", compile.Declared, now)).To(BeZero())
	g.Expect(p.status("r", compile.Declared, now.Add(2*time.Second))).To(BeZero())
	g.Expect(p.status("r", compile.Declared, now.Add(time.Hour))).To(BeZero())
}

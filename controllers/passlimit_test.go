// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
)

// F13: a tenant that changes its routes without end causes no more than a few
// writes a second, and another fleet has its own limit.
func TestF13_PassLimits_BoundOneFleetAlone(t *testing.T) {
	g := NewWithT(t)
	clock := clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	p := newPassLimits(clock)
	busy, calm := types.NamespacedName{Name: "busy"}, types.NamespacedName{Name: "calm"}
	passes := 0
	for range 6000 { // 100 changes a second for a minute
		if p.wait(busy) == 0 {
			p.notePublished(busy)
			passes++
		}
		clock.SetTime(clock.Now().Add(10 * time.Millisecond))
	}
	g.Expect(passes).To(BeNumerically("~", passBurst+60*passesPerSecond, 1))
	for p.wait(busy) == 0 {
		p.notePublished(busy)
	}
	g.Expect(p.wait(calm)).To(BeZero())
	clock.SetTime(clock.Now().Add(p.wait(busy)))
	g.Expect(p.wait(busy)).To(BeZero(), "the wait was long enough")
}

// A fleet whose passes are expensive waits longer, so they take a quarter of a
// core.
func TestPassLimits_BoundTheComputation(t *testing.T) {
	g := NewWithT(t)
	clock := clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	p := newPassLimits(clock)
	fleet := types.NamespacedName{Name: "large"}
	start, passes := clock.Now(), 0
	for clock.Since(start) < time.Minute {
		clock.SetTime(clock.Now().Add(p.wait(fleet) + time.Nanosecond))
		g.Expect(p.wait(fleet)).To(BeZero(), "the wait was long enough")
		began := clock.Now()
		clock.SetTime(began.Add(200 * time.Millisecond))
		p.notePass(fleet, began)
		passes++
	}
	g.Expect(passes).To(BeNumerically("~", 60*coreShare/0.2, 3))
	clock.SetTime(clock.Now().Add(p.wait(fleet)))
	p.notePass(fleet, clock.Now().Add(-time.Minute))
	g.Expect(p.wait(fleet)).To(BeNumerically("~", maxRest, time.Millisecond), "however long a pass takes")
	p.forget(fleet)
	g.Expect(p.wait(fleet)).To(BeZero())
}

// T5: names of CallbackProxies that do not exist are a tenant's choice: nothing
// is kept for each, and all of them rest together.
func TestT5_PassLimits_MissingProxiesRestTogether(t *testing.T) {
	g := NewWithT(t)
	clock := clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	p := newPassLimits(clock)
	passes := 0
	for range 10_000 { // each takes 1 ms, for ten seconds
		began := clock.Now()
		clock.SetTime(began.Add(time.Millisecond))
		if p.waitMissing() == 0 {
			p.noteMissing(began)
			passes++
		}
	}
	g.Expect(passes).To(BeNumerically("<", 5000))
	g.Expect(passes).To(BeNumerically(">", 2000))
	g.Expect(p.fleets).To(BeEmpty())
	clock.SetTime(clock.Now().Add(maxRest))
	g.Expect(p.waitMissing()).To(BeZero())
}

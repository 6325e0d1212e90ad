// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/status"
)

// told notes the writing of a status and its end.
func (p *pace) told(uid types.UID, c status.Change, version string, now time.Time) {
	p.writes(uid)
	p.wrote(uid, c, version, now)
}

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
	p.told("r", status.Counters, "1", now)
	g.Expect(p.status("r", status.Counters, now.Add(time.Second))).To(Equal(29 * time.Second))
	g.Expect(p.status("r", status.Health, now.Add(time.Second))).To(BeZero())
	p.told("r", status.Health, "2", now.Add(time.Second))
	g.Expect(p.status("r", status.Health, now.Add(2*time.Second))).To(Equal(29 * time.Second))
	g.Expect(p.status("r", status.Counters, now.Add(40*time.Second))).To(Equal(21*time.Second), "it goes along with the next news of health")
	g.Expect(p.status("r", status.Spec, now.Add(2*time.Second))).To(BeZero(), "what is declared does not wait")
	g.Expect(p.isOwn("r", "2")).To(BeTrue())
	g.Expect(p.isOwn("r", "1")).To(BeFalse())
	p.writes("r")
	g.Expect(p.isOwn("r", "3")).To(BeTrue(), "seen before the answer")
	g.Expect(p.wrote("r", status.Spec, "3", now)).To(BeFalse())
	p.writes("r")
	g.Expect(p.isOwn("r", "5")).To(BeTrue())
	g.Expect(p.wrote("r", status.Spec, "4", now)).To(BeTrue(), "it was somebody else's")
	p.writes("r")
	g.Expect(p.isOwn("r", "6")).To(BeTrue())
	g.Expect(p.wrote("r", status.Spec, "", now)).To(BeTrue(), "and our own failed")
	p.gone("r")
	g.Expect(p.status("r", status.Health, now.Add(2*time.Second))).To(BeZero())
}

// What is not known yet is said and taken back once, and no news of it holds
// back that a backend dies.
func TestPace_WhatIsUnknownAtFirstHoldsNothingBack(t *testing.T) {
	g := NewWithT(t)
	p, now := newPace(nil), time.Unix(1_800_000_000, 0)
	for range measuredBurst {
		g.Expect(p.status("r", status.Measurement, now)).To(BeZero())
		p.told("r", status.Measurement, "1", now)
	}
	g.Expect(p.status("r", status.Measurement, now)).To(Equal(softInterval))
	g.Expect(p.status("r", status.Health, now)).To(BeZero())
	p.told("r", status.Health, "2", now)
	g.Expect(p.status("r", status.Health, now.Add(time.Second))).To(Equal(29 * time.Second))
	g.Expect(p.status("r", status.Measurement, now.Add(softInterval))).To(BeZero())
}

// Ten thousand busy routes do not write ten thousand statuses in 30 s, and a
// route whose backend dies among them does not wait for one of them.
func TestPace_BoundsEachKindOfNewsAlone(t *testing.T) {
	g := NewWithT(t)
	p, now := newPace(nil), time.Unix(1_800_000_000, 0)
	begun := func(c status.Change) (n int) {
		for range 20_000 {
			if p.begin(c, now) == 0 {
				n++
			}
		}
		return n
	}
	g.Expect(begun(status.Counters)).To(Equal(200))
	g.Expect(begun(status.Scale)).To(Equal(60), "a fleet that scales concerns all of its routes")
	g.Expect(p.begin(status.Health, now)).To(BeZero())
	g.Expect(begun(status.Measurement)).To(Equal(10_000))
	g.Expect(begun(status.Health)).To(Equal(9_999), "what was unknown holds back no death")
	g.Expect(begun(status.Spec)).To(Equal(20_000))
	now = now.Add(p.begin(status.Counters, now))
	g.Expect(begun(status.Counters)).To(Equal(100))
}

// A fleet that publishes all the time, because somebody's routes change all the
// time, says now and then who has not acknowledged.
func TestF13_Pace_PatienceIsNotRenewedWithoutEnd(t *testing.T) {
	g := NewWithT(t)
	clock := clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	p, fleet := newPace(clock), types.NamespacedName{Name: "busy"}
	p.published(fleet)
	g.Expect(p.pending(fleet)).To(Equal(ackPatience))
	waited := 0
	for range 600 { // one each 0.1 s for a minute
		clock.SetTime(clock.Now().Add(100 * time.Millisecond))
		p.published(fleet)
		if p.pending(fleet) > 0 {
			waited++
		}
	}
	g.Expect(waited).To(BeNumerically("~", 600/5, 2))
}

// Fleets that do not exist rest together, however many names there are, and
// nothing is kept of the names; a fleet that exists does not notice.
func TestT5_Pace_FleetsThatAreNotThereRest(t *testing.T) {
	g := NewWithT(t)
	p, now := newPace(nil), time.Unix(1_800_000_000, 0)
	const look = 10 * time.Millisecond
	looked := time.Duration(0)
	for range 60_000 { // a name each millisecond, for a minute
		if p.passInVain(now) == 0 {
			p.lookedInVain(look, now)
			looked += look
		}
		now = now.Add(time.Millisecond)
	}
	g.Expect(looked).To(BeNumerically("~", 20*time.Second+maxAbsentRest/restFactor, time.Second), "a third of the time at most")
	g.Expect(p.passInVain(now)).To(Equal(maxRest))
	g.Expect(p.pass(types.NamespacedName{Name: "there"}, now)).To(BeZero())
	g.Expect(p.fleets).To(BeEmpty())
	g.Expect(p.passInVain(now.Add(maxRest))).To(BeZero())
}

// Of an object that goes while its status is written nothing is kept, nor of one
// that was gone before.
func TestT5_Pace_KeepsNothingOfWhatWent(t *testing.T) {
	g := NewWithT(t)
	p, now := newPace(nil), time.Unix(1_800_000_000, 0)
	p.told("r", status.Spec, "1", now)
	g.Expect(p.routes).To(HaveLen(1))
	p.writes("r")
	p.gone("r")
	p.wrote("r", status.Spec, "2", now)
	g.Expect(p.routes).To(BeEmpty())
	p.writes("r")
	p.gone("r")
	p.refuse(&callbackv1alpha1.CallbackRoute{ObjectMeta: metav1.ObjectMeta{UID: "r"}}, nil, status.Spec, now)
	g.Expect(p.routes).To(BeEmpty())
	p.told("r", status.Spec, "", now)
	g.Expect(p.routes).To(BeEmpty(), "the API server knew it no more")
}

// A route that changes without end is told of now and then; it may change often
// in a row before.
func TestF13_Pace_BoundsWhatIsSaidOfOneRoute(t *testing.T) {
	g := NewWithT(t)
	p, now := newPace(nil), time.Unix(1_800_000_000, 0)
	for range statusBurst {
		g.Expect(p.status("r", status.Spec, now)).To(BeZero())
		p.told("r", status.Spec, "1", now)
	}
	g.Expect(p.status("r", status.Spec, now)).To(Equal(2 * time.Second))
	g.Expect(p.status("other", status.Spec, now)).To(BeZero())
	g.Expect(p.status("r", status.Spec, now.Add(2*time.Second))).To(BeZero())
	g.Expect(p.status("r", status.Spec, now.Add(time.Hour))).To(BeZero())
}

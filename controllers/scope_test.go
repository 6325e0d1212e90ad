// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// scene is a fleet of one instance, "a", and what is published for it.
type scene struct {
	*WithT
	o *Observer
	f *fleet
	i *instance
}

func newScene(t *testing.T) *scene {
	t.Helper()
	f := newFleet()
	f.meet(ready("a"))
	f.told = f.list()
	s := &scene{NewWithT(t), NewObserver(nil, fixed(time.Unix(1_800_000_000, 0)), nil), f, f.instances["a"]}
	s.i.inherited = false
	return s
}

func generation(n int64) routetable.Version { return routetable.Version{Epoch: 1, Generation: n} }

func (s *scene) publish(n int64, targets ...string) {
	next := scope{version: generation(n), targets: map[string]struct{}{}, routes: map[types.UID]struct{}{}}
	for _, id := range targets {
		next.targets[id] = struct{}{}
	}
	s.f.enter(next)
}

// says lets the instance say that it runs a generation, and that targets are
// unhealthy.
func (s *scene) says(n int64, unhealthy ...string) {
	w := &words{report: routetable.Report{Version: generation(n), ListenerPort: 8080, Boot: "b", Cursor: "c"}}
	for _, id := range unhealthy {
		w.targets = append(w.targets, routetable.TargetReport{ID: id, State: routetable.TargetUnhealthy})
	}
	s.o.hear(s.f, s.i, w)
}

func (s *scene) expect(told int, ids ...string) {
	s.Expect(s.i.targets).To(HaveLen(told))
	for _, id := range ids {
		s.Expect(s.i.targets).To(HaveKey(id))
	}
}

// A target that leaves the config and comes back is not what it was: the
// instance begins anew with it when it runs the config without it, and so does
// what it said; no sooner, as it says nothing twice.
func TestScope_ATargetThatIsBackIsNotWhatItWas(t *testing.T) {
	s := newScene(t)
	s.publish(5, "stays", "goes")
	s.says(5, "stays", "goes")
	before := s.f.list()[0].Targets
	s.publish(6, "stays")
	s.expect(2) // it still looks at it
	s.says(5, "goes")
	s.expect(2)
	s.says(6, "goes") // it reported before it had let go
	s.expect(1, "stays")
	s.Expect(before).To(HaveLen(2), "a pass that holds on to it sees no change")
	s.publish(7, "stays", "goes")
	s.says(7)
	s.expect(1, "stays")
	s.Expect(s.i.report.Cursor).To(Equal("c"), "nothing is in doubt")
	s.says(7, "goes")
	s.expect(2)
}

// An instance that skipped the config without the target knows it still, and
// would not say so again; one that was asked too late to tell does not. Both are
// asked for everything.
func TestScope_ASkippedConfigIsAskedFor(t *testing.T) {
	s := newScene(t)
	s.publish(5, "stays", "goes")
	s.says(5, "stays", "goes")
	s.publish(6, "stays")
	s.publish(7, "stays", "goes", "new")
	s.says(5)
	s.expect(2)
	s.says(7, "new")
	s.expect(2, "stays", "new")
	s.Expect(s.i.report.Cursor).To(BeEmpty())
	s.says(7, "stays", "goes", "new")
	s.expect(3)
	s.Expect(s.i.report.Cursor).To(Equal("c"), "once")
}

// The instance may be asked before it is known here what was published.
func TestScope_AnAnswerBeforeTheScopeIsKnown(t *testing.T) {
	s := newScene(t)
	s.publish(5, "stays", "goes")
	s.says(5, "stays", "goes")
	s.says(6)
	s.expect(2)
	s.publish(6, "stays")
	s.says(6)
	s.expect(1, "stays")
}

// What is remembered of configs ends with the instances that have to do with it.
func TestScope_RemembersNoMoreThanIsAsked(t *testing.T) {
	s := newScene(t)
	s.publish(5, "stays")
	s.says(5, "stays")
	s.publish(6, "stays", "one")
	s.publish(7, "stays", "one", "two")
	s.Expect(s.f.entered).To(HaveLen(2))
	s.says(7)
	s.publish(8, "stays", "one", "two", "three")
	s.Expect(s.f.entered).To(HaveLen(1))
	s.f.meet(nil)
	s.publish(9, "stays")
	s.Expect(s.f.entered).To(BeEmpty())
}

// A route that goes to another fleet and comes back is counted on, whether the
// instance forgot it meanwhile or not.
func TestScope_ARouteThatComesBack(t *testing.T) {
	for _, skips := range []bool{false, true} {
		s := newScene(t)
		routes := map[types.UID]struct{}{"r": {}}
		count := func(n, callbacks int64) int64 {
			w := &words{report: routetable.Report{Version: generation(n), ListenerPort: 8080, Boot: "b"}}
			w.routes = []routetable.RouteUse{{UID: "r", Callbacks: callbacks}}
			s.o.hear(s.f, s.i, w)
			return countedBy(s.f)
		}
		publish := func(n int64, routes map[types.UID]struct{}) {
			s.f.keep(routes)
			s.f.enter(scope{version: generation(n), targets: map[string]struct{}{}, routes: routes})
		}
		publish(5, routes)
		s.Expect(count(5, 10)).To(BeEquivalentTo(10))
		total := &tally{}
		stored := total.total("r", s.f.counted()["r"], status.Traffic{})

		publish(6, map[types.UID]struct{}{})
		total.keep(nil)
		s.Expect(s.f.counted()["r"].Callbacks).To(BeZero())
		s.Expect(count(5, 11)).To(BeZero(), "it is somebody else's now")
		if !skips {
			s.Expect(count(6, 11)).To(BeZero())
			s.Expect(s.i.uses).To(BeEmpty(), "nothing is kept for nobody")
			s.Expect(s.i.before).To(BeEmpty())
		}
		publish(7, routes)
		base := total.total("r", s.f.counted()["r"], stored)
		s.Expect(base.Callbacks).To(BeEquivalentTo(10))
		came := int64(15) // since its start, or since it is back
		if skips {
			came += 10
		}
		count(7, came)
		s.Expect(total.total("r", s.f.counted()["r"], stored).Callbacks).To(BeEquivalentTo(25))
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// told is a report that counts callbacks for one route.
func told(boot string, callbacks int64) *words {
	w := &words{report: routetable.Report{ListenerPort: 8080, Boot: boot}}
	if callbacks > 0 {
		w.routes = []routetable.RouteUse{{UID: "r", Callbacks: callbacks, Backends: []routetable.BackendUse{{Name: "blue", Callbacks: callbacks}}}}
	}
	return w
}

func countedBy(f *fleet) int64 { return f.counted()["r"].Callbacks }

func ready(pods ...string) (targets []Target) {
	for _, pod := range pods {
		targets = append(targets, Target{Pod: pod, UID: types.UID(pod), Address: "10.0.0.1:9090", Ready: true})
	}
	return targets
}

// What instances count survives their restarts, their end and the arrival of
// new ones, and nothing is counted twice.
func TestFleet_CountsOverTheLivesOfInstances(t *testing.T) {
	g := NewWithT(t)
	o := NewObserver(nil, fixed(time.Unix(1_800_000_000, 0)), nil)
	f := newFleet()
	f.meet(ready("a", "c"))
	a, late := f.instances["a"], f.instances["c"]
	o.hear(f, a, told("1", 5))
	f.told = f.list()
	g.Expect(countedBy(f)).To(BeEquivalentTo(5))
	o.hear(f, a, told("1", 7))
	g.Expect(countedBy(f)).To(BeEquivalentTo(7))
	o.hear(f, a, told("2", 0))
	g.Expect(countedBy(f)).To(BeEquivalentTo(7), "a restart takes nothing away")
	o.hear(f, a, told("2", 2))
	g.Expect(countedBy(f)).To(BeEquivalentTo(9))

	o.hear(f, a, told("2", 1))
	g.Expect(countedBy(f)).To(BeEquivalentTo(10), "the route left its config and is back")
	o.hear(f, a, told("2", 2))
	o.hear(f, a, told("2", 1))
	g.Expect(countedBy(f)).To(BeEquivalentTo(12))

	f.meet(ready("a", "b", "c"))
	o.hear(f, f.instances["b"], told("1", 4))
	g.Expect(countedBy(f)).To(BeEquivalentTo(16), "a new pod counts from its start")

	part := told("1", 100)
	part.report.More = true
	o.hear(f, late, part)
	g.Expect(countedBy(f)).To(BeEquivalentTo(16), "what an old pod counted may have been read before")
	rest := told("1", 0)
	rest.routes = []routetable.RouteUse{{UID: "rest", Callbacks: 50}}
	o.hear(f, late, rest)
	g.Expect(f.counted()["rest"].Callbacks).To(BeZero(), "and so may the rest of it")
	o.hear(f, late, told("1", 101))
	g.Expect(countedBy(f)).To(BeEquivalentTo(17))
	again := told("1", 0)
	again.routes = []routetable.RouteUse{{UID: "new", Callbacks: 1}}
	o.hear(f, late, again)
	g.Expect(f.counted()["new"].Callbacks).To(BeEquivalentTo(1), "what it had not told then came since")

	f.meet(ready("b", "c"))
	g.Expect(f.instances).To(HaveLen(2))
	g.Expect(countedBy(f)).To(BeEquivalentTo(17), "a pod that is gone has counted")
	g.Expect(f.counted()["r"].Backends["blue"].Callbacks).To(BeEquivalentTo(17))
}

// A backend that leaves a route takes its count along, in the instance; what
// came for the route was no less for it, and is not counted again.
func TestFleet_ABackendThatLeavesIsNoNewCount(t *testing.T) {
	g := NewWithT(t)
	o := NewObserver(nil, fixed(time.Unix(1_800_000_000, 0)), nil)
	f := newFleet()
	f.meet(ready("a"))
	say := func(callbacks int64, backends ...routetable.BackendUse) status.Traffic {
		w := told("1", 0)
		w.routes = []routetable.RouteUse{{UID: "r", Callbacks: callbacks, Backends: backends}}
		o.hear(f, f.instances["a"], w)
		f.told = f.list()
		return f.counted()["r"]
	}
	blue := func(n int64) routetable.BackendUse { return routetable.BackendUse{Name: "blue", Callbacks: n} }
	green := func(n int64) routetable.BackendUse { return routetable.BackendUse{Name: "green", Callbacks: n} }
	say(4711, blue(4700), green(11))
	use := say(4711, green(11))
	g.Expect(use.Callbacks).To(BeEquivalentTo(4711))
	g.Expect(use.Backends["blue"].Callbacks).To(BeEquivalentTo(4700), "what it got, it got")
	g.Expect(use.Backends["green"].Callbacks).To(BeEquivalentTo(11))

	use = say(4714, blue(2), green(12))
	g.Expect(use.Callbacks).To(BeEquivalentTo(4714))
	g.Expect(use.Backends["blue"].Callbacks).To(BeEquivalentTo(4702), "it is back and counted anew")
	use = say(4715, blue(1), green(14))
	g.Expect(use.Callbacks).To(BeEquivalentTo(4715))
	g.Expect(use.Backends["blue"].Callbacks).To(BeEquivalentTo(4703), "gone and back between two reports")
	g.Expect(use.Backends["green"].Callbacks).To(BeEquivalentTo(14))
}

// The same, of what an earlier leadership may have read: it stays known.
func TestFleet_ABackendThatLeavesTakesWhatWasKnown(t *testing.T) {
	g := NewWithT(t)
	o := NewObserver(nil, fixed(time.Unix(1_800_000_000, 0)), nil)
	f := newFleet()
	f.meet(ready("a"))
	f.told = f.list()
	o.hear(f, f.instances["a"], told("1", 10))
	g.Expect(countedBy(f)).To(BeZero())
	w := told("1", 0)
	w.routes = []routetable.RouteUse{{UID: "r", Callbacks: 12, Backends: []routetable.BackendUse{{Name: "blue", Callbacks: 2}}}}
	o.hear(f, f.instances["a"], w)
	g.Expect(f.counted()["r"].Callbacks).To(BeEquivalentTo(2))
	g.Expect(f.counted()["r"].Backends["blue"].Callbacks).To(BeEquivalentTo(2))
}

// Whatever happens to instances and leaderships, the totals of the route and of
// its backend never fall and never exceed what came.
func TestTally_NeverFallsAndNeverExceeds(t *testing.T) { //nolint:gocyclo // one case for each thing that happens
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		var came int64
		stored := status.Traffic{Backends: map[string]status.BackendTraffic{}}
		pods := []string{"a", "b", "c"}
		counts, blues := []int64{0, 0, 0}, []int64{0, 0, 0} // of the instances since their start
		boots := []string{"1", "1", "1"}
		targets := ready(pods...)
		lead := func() (*Observer, *fleet, *tally) {
			o, f := NewObserver(nil, fixed(time.Unix(1_800_000_000, 0)), nil), newFleet()
			f.meet(targets)
			return o, f, &tally{}
		}
		o, f, total := lead()
		for step := range 200 {
			i := random.IntN(len(counts))
			switch random.IntN(9) {
			case 0: // the instance restarts
				counts[i], blues[i], boots[i] = 0, 0, boots[i]+"1"
			case 1: // another leadership
				o, f, total = lead()
			case 2: // the pod is absent, or back, the same process
				targets[i].Ready = !targets[i].Ready
				f.meet(targets)
			case 3: // the pod is replaced
				targets[i].UID += "1"
				counts[i], blues[i], boots[i] = 0, 0, boots[i]+"2"
				f.meet(targets)
			case 4: // the backend left the route and is back
				blues[i] = 0
			case 5:
				counts[i]++
				blues[i]++
				came++
			default: // a pass, in which some instances may be silent
				for n := range counts {
					if random.IntN(4) > 0 && targets[n].Ready {
						w := told(boots[n], counts[n])
						if len(w.routes) > 0 {
							w.routes[0].Backends[0].Callbacks = blues[n]
						}
						o.hear(f, f.instances[targets[n].UID], w)
					}
				}
				f.told = f.list()
				use := total.total("r", f.counted()["r"], stored)
				blue, was := use.Backends["blue"].Callbacks, stored.Backends["blue"].Callbacks
				if use.Callbacks < stored.Callbacks || use.Callbacks > came || blue < was || blue > came {
					t.Fatalf("seed %d, step %d: the total is %d, of blue %d; it was %d and %d, and %d came", seed, step, use.Callbacks, blue, stored.Callbacks, was, came)
				}
				stored = use
			}
		}
	}
}

// While nothing restarts, the total is exact.
func TestTally_IsExactWhileInstancesLive(t *testing.T) {
	g := NewWithT(t)
	stored := status.Traffic{}
	for count := int64(1); count <= 5; count++ {
		// Each leadership finds what instances counted so far.
		total := &tally{}
		stored = total.total("r", status.Traffic{Callbacks: count * 10}, stored)
		g.Expect(stored.Callbacks).To(Equal(count * 10))
	}
}

type fixed time.Time

func (f fixed) Now() time.Time                  { return time.Time(f) }
func (f fixed) Since(t time.Time) time.Duration { return time.Time(f).Sub(t) }

// News of backends brings a pass at once, news of callbacks now and then.
func TestObserver_TellsHealthAtOnceAndUseSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		s := &speaker{}
		s.say(1, nil)
		o, want := observing(t, s)
		want(1)
		time.Sleep(time.Minute + time.Second)
		g.Expect(o.changed).To(BeEmpty())

		s.tell(nil, []routetable.TargetReport{{ID: "t", State: routetable.TargetUnhealthy}})
		time.Sleep(steadyInterval)
		g.Expect(o.changed).To(HaveLen(1))
		<-o.changed
		s.tell(nil, nil)
		time.Sleep(time.Minute)
		g.Expect(o.changed).To(BeEmpty())

		s.tell([]routetable.RouteUse{{UID: "r", Callbacks: 1}}, nil)
		time.Sleep(time.Minute)
		g.Expect(len(o.changed)).To(And(BeNumerically(">=", 1), BeNumerically("<=", 4)), "in a minute of callbacks")
	})
}

func (s *speaker) tell(uses []routetable.RouteUse, targets []routetable.TargetReport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uses, s.targets = uses, targets
}

// After a change a pass waits for the acknowledgement, so that it writes one
// status instead of two; not for an instance that is silent.
func TestObserver_WaitsAMomentForTheAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		s := &speaker{}
		s.say(1, nil)
		o, want := observing(t, s)
		synctest.Wait() // its loops run
		want(1)
		begin := time.Now()
		go func() {
			time.Sleep(50 * time.Millisecond)
			s.say(2, nil)
		}()
		want(2)
		g.Expect(time.Since(begin)).To(BeNumerically("<=", 100*time.Millisecond))
		g.Expect(o.fleets[types.NamespacedName{Namespace: "platform", Name: "edge"}].told[0].Report.Generation).To(BeEquivalentTo(2))

		begin = time.Now()
		want(3)
		g.Expect(time.Since(begin)).To(Equal(patience), "an instance that does not adopt it")

		s.say(2, errors.New("dead"))
		time.Sleep(time.Minute)
		begin = time.Now()
		want(4)
		g.Expect(time.Since(begin)).To(BeZero(), "an instance that does not answer")
	})
}

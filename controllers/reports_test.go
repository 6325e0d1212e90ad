// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/callbackproxy/callback-operator/controllers/compile"
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

// What instances count survives their restarts, their end and the arrival of
// new ones, and nothing is counted twice.
func TestFleet_CountsOverTheLivesOfInstances(t *testing.T) {
	g := NewWithT(t)
	o := NewObserver(nil, nil)
	began := time.Unix(1_800_000_000, 0)
	f := &fleet{began: began, instances: map[types.UID]*instance{}, retired: map[types.UID]compile.Use{}}
	o.clock = fixed(began)
	a := &instance{target: Target{UID: "a", Created: began.Add(-time.Hour)}}
	f.instances["a"] = a
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

	b := &instance{target: Target{UID: "b", Created: began.Add(time.Minute)}}
	f.instances["b"] = b
	o.hear(f, b, told("1", 4))
	g.Expect(countedBy(f)).To(BeEquivalentTo(16), "a new pod counts from its start")

	late := &instance{target: Target{UID: "c", Created: began.Add(-time.Minute)}}
	f.instances["c"] = late
	o.hear(f, late, told("1", 100))
	g.Expect(countedBy(f)).To(BeEquivalentTo(16), "what an old pod counted may have been read before")
	o.hear(f, late, told("1", 101))
	g.Expect(countedBy(f)).To(BeEquivalentTo(17))

	f.retire(a.counted())
	delete(f.instances, "a")
	g.Expect(countedBy(f)).To(BeEquivalentTo(17), "a pod that is gone has counted")
	g.Expect(f.counted()["r"].Backends["blue"].Callbacks).To(BeEquivalentTo(17))
}

// A target that leaves the config and comes back is not what it was.
func TestObserver_ForgetsTargetsThatNobodyLooksAt(t *testing.T) {
	g := NewWithT(t)
	key := types.NamespacedName{Namespace: "platform", Name: "edge"}
	o := NewObserver(nil, fixed(time.Unix(1_800_000_000, 0)))
	i := &instance{}
	f := &fleet{instances: map[types.UID]*instance{"a": i}, retired: map[types.UID]compile.Use{}}
	o.fleets[key] = f
	said := told("1", 0)
	said.targets = []routetable.TargetReport{{ID: "stays", State: routetable.TargetUnhealthy}, {ID: "goes", State: routetable.TargetUnhealthy}}
	o.hear(f, i, said)
	before := f.list()[0].Targets
	o.keepTargets(key, map[string]struct{}{"stays": {}})
	g.Expect(f.list()[0].Targets).To(HaveLen(1))
	g.Expect(f.list()[0].Targets).To(HaveKey("stays"))
	g.Expect(before).To(HaveLen(2), "a pass that holds on to it sees no change")
}

// Whatever happens to instances and leaderships, the total never falls and
// never exceeds what came.
func TestTally_NeverFallsAndNeverExceeds(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		var came, stored int64
		counts := []int64{0, 0, 0} // of the instances since their start
		now := time.Unix(1_800_000_000, 0)
		lead := func() (*Observer, *fleet, *tally) {
			o := NewObserver(nil, fixed(now))
			f := &fleet{began: now, instances: map[types.UID]*instance{}, retired: map[types.UID]compile.Use{}}
			for i := range counts {
				uid := types.UID(rune('a' + i))
				f.instances[uid] = &instance{target: Target{UID: uid, Created: now.Add(-time.Hour)}}
			}
			return o, f, &tally{}
		}
		boots := []string{"1", "1", "1"}
		o, f, total := lead()
		for step := range 200 {
			now = now.Add(time.Second)
			i := random.IntN(len(counts))
			switch random.IntN(6) {
			case 0: // the instance restarts
				counts[i], boots[i] = 0, boots[i]+"1"
			case 1: // another leadership
				o, f, total = lead()
			case 2:
				counts[i]++
				came++
			default: // a pass, in which some instances may be silent
				for n := range counts {
					if random.IntN(4) > 0 {
						o.hear(f, f.instances[types.UID(rune('a'+n))], told(boots[n], counts[n]))
					}
				}
				f.told = f.list()
				use := total.total("r", f.counted()["r"], compile.Use{Callbacks: stored})
				if use.Callbacks < stored || use.Callbacks > came {
					t.Fatalf("seed %d, step %d: the total is %d; it was %d, and %d came", seed, step, use.Callbacks, stored, came)
				}
				stored = use.Callbacks
			}
		}
	}
}

// While nothing restarts, the total is exact.
func TestTally_IsExactWhileInstancesLive(t *testing.T) {
	g := NewWithT(t)
	stored := compile.Use{}
	for count := int64(1); count <= 5; count++ {
		// Each leadership finds what instances counted so far.
		total := &tally{}
		stored = total.total("r", compile.Use{Callbacks: count * 10}, stored)
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

// What an instance says is bounded: one that lies can fill neither the memory
// nor a status.
func TestCheck_RefusesWhatNoProxySays(t *testing.T) {
	good := func() *routetable.Report { return &routetable.Report{ListenerPort: 8080, Boot: "b", Cursor: "c"} }
	for name, change := range map[string]func(*routetable.Report){
		"no port":          func(r *routetable.Report) { r.ListenerPort = 0 },
		"long hash":        func(r *routetable.Report) { r.Hash = strings.Repeat("a", 65) },
		"long boot":        func(r *routetable.Report) { r.Boot = strings.Repeat("a", 65) },
		"long cursor":      func(r *routetable.Report) { r.Cursor = strings.Repeat("a", 129) },
		"too many entries": func(r *routetable.Report) { r.Targets = make([]routetable.TargetReport, routetable.MaxReportEntries+1) },
		"long target":      func(r *routetable.Report) { r.Targets = []routetable.TargetReport{{ID: strings.Repeat("a", 65)}} },
		"negative count":   func(r *routetable.Report) { r.Routes = []routetable.RouteUse{{Callbacks: -1}} },
		"absurd count":     func(r *routetable.Report) { r.Routes = []routetable.RouteUse{{Other: 1 << 60}} },
		"negative backend": func(r *routetable.Report) {
			r.Routes = []routetable.RouteUse{{Backends: []routetable.BackendUse{{Callbacks: -1}}}}
		},
		"too many backends": func(r *routetable.Report) {
			r.Routes = []routetable.RouteUse{{Backends: make([]routetable.BackendUse, maxBackendsTold+1)}}
		},
		"long route": func(r *routetable.Report) { r.Routes = []routetable.RouteUse{{UID: strings.Repeat("a", 65)}} },
	} {
		t.Run(name, func(t *testing.T) {
			report := good()
			if err := check(report); err != nil {
				t.Fatalf("before: %v", err)
			}
			change(report)
			if check(report) == nil {
				t.Error("is believed")
			}
		})
	}
	report := good()
	report.Targets = []routetable.TargetReport{{ID: "t", State: routetable.TargetUnhealthy, Reason: "<script>"}}
	if err := check(report); err != nil || report.Targets[0].Reason != routetable.TargetUnreachable {
		t.Errorf("a reason that is none: %v, %+v", err, report.Targets)
	}
}

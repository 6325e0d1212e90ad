// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"math/rand/v2"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

var now = time.Unix(1_800_000_000, 0)

// newReport returns a report that counts callbacks of the route r, all of them
// handed to blue.
func newReport(boot string, callbacks int64) *routetable.Report {
	r := &routetable.Report{ListenerPort: 8080, Boot: boot, Cursor: "c"}
	if callbacks > 0 {
		r.Routes = []routetable.RouteUse{{UID: "r", Callbacks: callbacks, Backends: []routetable.BackendUse{{Name: "blue", Callbacks: callbacks}}}}
	}
	return r
}

func fullReport(boot string, callbacks int64) *routetable.Report {
	r := newReport(boot, callbacks)
	r.Full = true
	return r
}

// leftAndBack returns a report with a tombstone of the route before its counts.
func leftAndBack(boot string, callbacks int64) *routetable.Report {
	r := newReport(boot, callbacks)
	r.Routes = append([]routetable.RouteUse{{UID: "r", Gone: true}}, r.Routes...)
	return r
}

func (c counters) callbacks() int64 { return c.total("r", status.Traffic{}).Callbacks }

// Restarts of an instance, and routes that leave its table and come back, take
// nothing away and count nothing twice.
func TestCounters_AddUpTheLivesOfAnInstance(t *testing.T) {
	g := NewWithT(t)
	c, i := counters{}, &instance{}
	for _, step := range []struct {
		report *routetable.Report
		want   int64
		why    string
	}{
		{fullReport("1", 5), 5, "a new pod counts from its start"},
		{newReport("1", 7), 7, "the increase counts"},
		{fullReport("2", 0), 7, "a restart takes nothing away"},
		{newReport("2", 2), 9, "the process counts from zero after it"},
		{leftAndBack("2", 3), 12, "the route left the table and is back"},
		{fullReport("2", 4), 13, "a full list repeats what was counted"},
		{newReport("2", 1), 14, "a lower count began anew"},
	} {
		i.recordReport(step.report, c, now)
		g.Expect(c.callbacks()).To(Equal(step.want), step.why)
		g.Expect(c.total("r", status.Traffic{}).Backends["blue"].Callbacks).To(Equal(step.want), step.why)
	}
}

// Each kind of count is added up by itself, over a restart and on top of what the
// status held.
func TestCounters_AddUpEachKind(t *testing.T) {
	g := NewWithT(t)
	c, i := counters{}, &instance{}
	use := func(boot string, u routetable.RouteUse) {
		u.UID = "r"
		i.recordReport(&routetable.Report{ListenerPort: 8080, Boot: boot, Cursor: "c", Full: true, Routes: []routetable.RouteUse{u}}, c, now)
	}
	use("1", routetable.RouteUse{Callbacks: 50, AfterSunset: 1, Repeats: 2, Other: 3, Refused: 4})
	earlier, later := now.Add(-time.Minute), now.Add(-time.Second)
	use("1", routetable.RouteUse{Callbacks: 60, AfterSunset: 11, Repeats: 22, Other: 33, Refused: 44, LastRefused: later, RefusedReason: "noLength"})
	use("2", routetable.RouteUse{Callbacks: 5, AfterSunset: 5, Repeats: 5, Other: 5, Refused: 5, LastRefused: earlier, RefusedReason: "prefetch"})
	got := c.total("r", status.Traffic{Callbacks: 1000, AfterSunset: 100, Repeats: 200, Other: 300, Refused: 400})
	got.Backends = nil
	g.Expect(got).To(Equal(status.Traffic{Callbacks: 1065, AfterSunset: 116, Repeats: 227, Other: 338, Refused: 449, LastRefused: later, RefusedReason: "noLength"}))
}

// The first full list of a pod that an earlier leadership may have polled is
// the begin of the counts, all pages of it.
func TestCounters_BeginWithWhatAnEarlierLeadershipMayHaveRead(t *testing.T) {
	g := NewWithT(t)
	c, i := counters{}, &instance{inherited: true}
	first := fullReport("1", 100)
	first.More = true
	i.recordReport(first, c, now)
	g.Expect(c.total("r", status.Traffic{Callbacks: 90}).Callbacks).To(BeEquivalentTo(90), "the status holds most of them")
	rest := newReport("1", 0)
	rest.Routes = []routetable.RouteUse{{UID: "rest", Callbacks: 50}}
	i.recordReport(rest, c, now)
	g.Expect(c.total("rest", status.Traffic{Callbacks: 60}).Callbacks).To(BeEquivalentTo(60))
	next := newReport("1", 101)
	next.Routes = append(next.Routes, routetable.RouteUse{UID: "new", Callbacks: 1}, routetable.RouteUse{UID: "rest", Callbacks: 51})
	i.recordReport(next, c, now)
	g.Expect(c.callbacks()).To(BeEquivalentTo(91))
	g.Expect(c.total("new", status.Traffic{}).Callbacks).To(BeEquivalentTo(1))
	g.Expect(c.total("rest", status.Traffic{}).Callbacks).To(BeEquivalentTo(61))
}

// A backend that leaves a route takes its count in the instance along; the sum
// of the route does not change, and the backend counts anew when it is back.
func TestCounters_KeepTheCountsOfABackendThatLeaves(t *testing.T) {
	g := NewWithT(t)
	c, i := counters{}, &instance{}
	record := func(callbacks int64, backends ...routetable.BackendUse) status.Traffic {
		r := newReport("1", 0)
		r.Routes = []routetable.RouteUse{{UID: "r", Callbacks: callbacks, Backends: backends}}
		i.recordReport(r, c, now)
		return c.total("r", status.Traffic{})
	}
	blue := func(n int64) routetable.BackendUse { return routetable.BackendUse{Name: "blue", Callbacks: n} }
	green := func(n int64) routetable.BackendUse { return routetable.BackendUse{Name: "green", Callbacks: n} }
	record(4711, blue(4700), green(11))
	use := record(4711, green(11))
	g.Expect(use.Callbacks).To(BeEquivalentTo(4711))
	g.Expect(use.Backends["blue"].Callbacks).To(BeEquivalentTo(4700))
	use = record(4714, blue(2), green(12))
	g.Expect(use.Callbacks).To(BeEquivalentTo(4714))
	g.Expect(use.Backends["blue"].Callbacks).To(BeEquivalentTo(4702))
	use = record(4715, blue(1), green(14))
	g.Expect(use.Callbacks).To(BeEquivalentTo(4715))
	g.Expect(use.Backends["blue"].Callbacks).To(BeEquivalentTo(4703), "gone and back between two reports")
	g.Expect(use.Backends["green"].Callbacks).To(BeEquivalentTo(14))
}

// The last callback is exact, also over leaderships, and never in the future.
func TestCounters_KeepTheTimeOfTheLastCallback(t *testing.T) {
	g := NewWithT(t)
	c, i := counters{}, &instance{inherited: true}
	r := fullReport("1", 7)
	r.Routes[0].Last = now.Add(-time.Second)
	i.recordReport(r, c, now)
	stored := status.Traffic{Callbacks: 9, Last: now.Add(-time.Minute)}
	g.Expect(c.total("r", stored).Last).To(BeTemporally("==", now.Add(-time.Second)))
	r = newReport("1", 8)
	r.Routes[0].Last = now.Add(time.Hour)
	r.Routes[0].Backends[0].Last = now.Add(time.Hour)
	i.recordReport(r, c, now)
	use := c.total("r", stored)
	g.Expect(use.Last).To(BeTemporally("==", now), "the clock of the instance is ahead")
	g.Expect(use.Backends["blue"].Last).To(BeTemporally("==", now))
	g.Expect(use.Callbacks).To(BeEquivalentTo(10))
}

// Tombstones and full lists remove targets; an incomplete list removes nothing.
func TestInstance_ForgetsTargetsThatAreGone(t *testing.T) {
	g := NewWithT(t)
	i := &instance{}
	target := func(id string, state routetable.TargetState) routetable.TargetReport {
		return routetable.TargetReport{ID: id, State: state}
	}
	record := func(full, more bool, targets ...routetable.TargetReport) (health bool) {
		health, _ = i.recordReport(&routetable.Report{Boot: "1", Full: full, More: more, Targets: targets}, counters{}, now)
		return health
	}
	g.Expect(record(true, false, target("a", routetable.TargetHealthy), target("b", routetable.TargetUnhealthy))).To(BeTrue())
	held := i.entries.targets
	g.Expect(record(false, false, target("a", routetable.TargetHealthy))).To(BeFalse(), "nothing changed")
	g.Expect(record(false, false, routetable.TargetReport{ID: "b", Gone: true})).To(BeTrue())
	g.Expect(i.entries.targets).To(HaveLen(1))
	g.Expect(held).To(HaveLen(2), "a pass holds on to what it got")
	g.Expect(record(true, true, target("c", routetable.TargetHealthy))).To(BeFalse(), "pages are outstanding")
	g.Expect(i.entries.targets).To(HaveKey("a"))
	g.Expect(record(false, false, target("d", routetable.TargetHealthy))).To(BeTrue())
	g.Expect(i.entries.targets).To(And(HaveLen(2), HaveKey("c"), HaveKey("d")))
	health, _ := i.recordReport(&routetable.Report{Boot: "2", Full: true}, counters{}, now)
	g.Expect(health).To(BeTrue(), "a restart voids everything")
	g.Expect(i.entries.targets).To(BeEmpty())
}

// Whatever happens to instances and leaderships, the totals of a route and of
// its backend never fall and never exceed the callbacks that arrived.
func TestCounters_NeverFallAndNeverExceed(t *testing.T) { //nolint:gocyclo // one case for each thing that happens
	type process struct {
		boot        string
		count, blue int64
		instance    *instance
	}
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		var arrived int64
		stored := status.Traffic{Backends: map[string]status.BackendTraffic{}}
		processes := []*process{{boot: "1"}, {boot: "1"}, {boot: "1"}}
		var c counters
		lead := func() {
			c = counters{}
			for _, p := range processes {
				p.instance = &instance{inherited: true}
			}
		}
		lead()
		for step := range 200 {
			p := processes[random.IntN(len(processes))]
			switch random.IntN(8) {
			case 0: // the process restarts
				p.count, p.blue, p.boot = 0, 0, p.boot+"1"
			case 1: // another leadership
				lead()
			case 2: // the pod is replaced
				*p = process{boot: p.boot + "2", instance: &instance{}}
			case 3: // the backend left the route and is back
				p.blue = 0
			case 4, 5:
				p.count++
				p.blue++
				arrived++
			default: // a pass, before which some instances were polled
				for _, p := range processes {
					if random.IntN(4) == 0 {
						continue
					}
					r := newReport(p.boot, p.count)
					r.Full = p.instance.report.Boot != p.boot || random.IntN(4) == 0
					if len(r.Routes) > 0 {
						r.Routes[0].Backends[0].Callbacks = p.blue
					}
					p.instance.recordReport(r, c, now)
				}
				use := c.total("r", stored)
				blue, was := use.Backends["blue"].Callbacks, stored.Backends["blue"].Callbacks
				if use.Callbacks < stored.Callbacks || use.Callbacks > arrived || blue < was || blue > arrived {
					t.Fatalf("seed %d, step %d: the total is %d, of blue %d; it was %d and %d, and %d arrived", seed, step, use.Callbacks, blue, stored.Callbacks, was, arrived)
				}
				stored = use
			}
		}
	}
}

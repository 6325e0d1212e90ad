// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/changelog"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// Two routes with the same check of one address share a target, and its finding
// survives a swap.
func TestSet_KeepsWhatStays(t *testing.T) {
	inBubble(t, func(b *bubble) {
		t := b.t

		check := everySeconds(5)
		table := tableOf(3, check)
		table.Routes[2].Backends[0].Addresses = []string{addressOf(0)}
		b.set(0, noAnswer)
		b.Set(table)
		wait(20 * time.Second)
		id := routetable.TargetID(addressOf(0), check)
		b.expect(id, "UnhealthyNoAnswer", false)
		if n := len(*b.targets.Load()); n != 2 {
			t.Errorf("%d targets", n)
		}
		probes := len(b.probesAt(0))
		b.Set(&routetable.Table{Routes: tableOf(1, check).Routes})
		b.expect(id, "UnhealthyNoAnswer", false)
		wait(time.Millisecond)
		if len(b.probesAt(0)) != probes {
			t.Error("a swap made a probe")
		}
		wait(time.Minute)
		if n := len(b.probesAt(0)) - probes; n < 10 || n > 14 {
			t.Errorf("%d probes in a minute", n)
		}

		// A target that leaves is dropped, and not probed any more.
		other := tableOf(2, check)
		b.Set(&routetable.Table{Routes: other.Routes[1:]})
		b.expect(id, "", true)
		if b.Unhealthy() != 0 {
			t.Errorf("%d are unhealthy", b.Unhealthy())
		}
		probes = len(b.probesAt(0))
		wait(time.Minute)
		if len(b.probesAt(0)) != probes {
			t.Error("it is still probed")
		}
		// A target that comes again begins anew.
		b.Set(other)
		b.expect(id, "", true)
	})
}

// The result of a probe is dropped when its target left meanwhile.
func TestSet_DropsProbesUnderWay(t *testing.T) {
	inBubble(t, func(b *bubble) {
		t := b.t

		check := everySeconds(5)
		check.UnhealthyThreshold = 1
		b.set(0, unreachable)
		b.takes[addressOf(0)] = 20 * time.Second
		table := tableOf(1, check)
		b.Set(table)
		wait(10 * time.Second)
		if len(b.probesAt(0)) != 1 {
			t.Fatal("control: no probe is under way")
		}
		b.Set(&routetable.Table{})
		b.takes[addressOf(0)] = 0
		b.set(0, healthy)
		b.Set(&routetable.Table{Routes: table.Routes})
		wait(30 * time.Second)
		b.expect(routetable.TargetID(addressOf(0), check), "Healthy", true)
		if b.Unhealthy() != 0 {
			t.Errorf("%d are unhealthy", b.Unhealthy())
		}
	})
}

// A target without a change is reported once, after any number of probes.
func TestChanges_OmitWhatStays(t *testing.T) {
	inBubble(t, func(b *bubble) {
		t := b.t

		b.set(1, badStatus)
		b.Set(tableOf(2, everySeconds(1)))
		wait(time.Minute)
		entries, next, _, _ := b.Changes(changelog.Cursor{}, 10)
		if len(entries) != 2 {
			t.Fatalf("entries are %v", entries)
		}
		wait(time.Hour)
		if entries, again, more, _ := b.Changes(next, 10); len(entries) != 0 || again != next || more {
			t.Errorf("changes are %v", entries)
		}
	})
}

func TestChanges_ListEachChangeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewChecker(Options{Now: time.Now})
		c.Set(tableOf(10, nil))
		id := func(i int) string { return routetable.TargetID(addressOf(i), nil) }
		fail := func(i int) {
			for range 3 {
				c.Dialled(id(i), false)
			}
		}
		wants := func(since changelog.Cursor, most int, more bool, ids ...string) changelog.Cursor {
			t.Helper()
			entries, next, m, ok := c.Changes(since, most)
			got := []string{}
			for _, e := range entries {
				if e.Gone {
					e.ID = "gone " + e.ID
				}
				got = append(got, e.ID)
			}
			if fmt.Sprint(got) != fmt.Sprint(ids) || m != more || !ok {
				t.Errorf("Changes(%v, %d) is %v, more %t, ok %t; want %v", since, most, got, m, ok, ids)
			}
			return next
		}
		next := wants(changelog.Cursor{}, 10, false)
		fail(3)
		fail(1)
		fail(2)
		next = wants(next, 10, false, id(3), id(1), id(2))
		wants(next, 10, false)
		c.Dialled(id(3), true)
		after := wants(changelog.Cursor{}, 2, true, id(1), id(2))
		wants(after, 2, false, id(3))
		next = wants(next, 10, false, id(3))
		wants(changelog.Cursor{}, 0, true)
		if _, _, _, ok := c.Changes(changelog.Cursor{Position: next.Position + 100}, 10); ok {
			t.Error("a cursor that was never given out is accepted")
		}
		fail(5)
		fail(1)
		c.Set(tableOf(5, nil)) // 5 left, and 6 to 9, which never changed
		next = wants(next, 10, false, "gone "+id(5))
		wants(next, 10, false)
	})
}

// A reader of the changes, in pages of any size, ends with all findings.
func TestChanges_ReadersMissNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const targets = 200
		c := NewChecker(Options{Now: time.Now})
		c.Set(tableOf(targets, nil))
		ids := make([]string, targets)
		for i := range ids {
			ids[i] = routetable.TargetID(addressOf(i), nil)
		}
		random := rand.New(rand.NewPCG(1, 1))
		known, since := map[string]routetable.TargetState{}, changelog.Cursor{}
		follow := func(most int) {
			for more := true; more; {
				var entries []routetable.TargetReport
				entries, since, more, _ = c.Changes(since, most)
				for _, e := range entries {
					known[e.ID] = e.State
				}
			}
		}
		for range 20_000 {
			c.Dialled(ids[random.IntN(targets)], random.IntN(5) == 0)
			if random.IntN(100) == 0 {
				follow(1 + random.IntN(20))
			}
		}
		follow(7)
		unhealthy := 0
		for i, id := range ids {
			want := (*c.targets.Load())[id].found
			if want.isUnhealthy() {
				unhealthy++
			}
			if got := known[id]; got != want.state() && !(got == "" && want == unmeasured) {
				t.Errorf("target %d is %q, want %q", i, got, want.state())
			}
		}
		if unhealthy != c.Unhealthy() || unhealthy == 0 || unhealthy == targets {
			t.Errorf("%d are unhealthy, it counts %d", unhealthy, c.Unhealthy())
		}
	})
}

// F24: endpoints that come and go by the thousand while callbacks are delivered.
func TestF24_FlappingEndpoints(t *testing.T) {
	c := NewChecker(Options{Now: time.Now})
	c.run = func(_ context.Context, a *probe) finding { return finding(1 + len(a.address)%2) }
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	check := everySeconds(1)
	tables := make([]*routetable.Table, 8)
	for i := range tables {
		all := tableOf(1000, check)
		all.Routes = append(all.Routes, tableOf(1000, nil).Routes...)
		rand.Shuffle(len(all.Routes), func(i, j int) { all.Routes[i], all.Routes[j] = all.Routes[j], all.Routes[i] })
		tables[i] = &routetable.Table{Routes: all.Routes[:rand.IntN(len(all.Routes))]}
	}
	ids := []string{}
	for i := range 100 {
		ids = append(ids, routetable.TargetID(addressOf(i), check), routetable.TargetID(addressOf(i), nil))
	}
	for range 4 {
		running.Go(func() {
			since := changelog.Cursor{}
			for ctx.Err() == nil {
				id := ids[rand.IntN(len(ids))]
				c.Dialled(id, c.TryAcquire(id) && rand.IntN(3) == 0)
				_, since, _, _ = c.Changes(since, 100)
			}
		})
	}
	for i := range 40 {
		c.Set(tables[i%len(tables)])
	}
	cancel()
	running.Wait()
	c.Set(&routetable.Table{})
	if c.Unhealthy() != 0 || len(*c.targets.Load()) != 0 {
		t.Errorf("without targets %d are unhealthy", c.Unhealthy())
	}
	for i := range c.lanes {
		if c.lanes[i].free != slots {
			t.Errorf("lane %d has %d free slots", i, c.lanes[i].free)
		}
	}
}

func BenchmarkTryAcquire(b *testing.B) {
	c := NewChecker(Options{Now: time.Now})
	c.Set(tableOf(10_000, nil))
	id := routetable.TargetID(addressOf(77), nil)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			c.TryAcquire(id)
			c.Dialled(id, true)
		}
	})
}

func BenchmarkSet(b *testing.B) {
	c := NewChecker(Options{Now: time.Now})
	tables := [2]*routetable.Table{tableOf(10_000, everySeconds(5)), tableOf(9_999, everySeconds(5))}
	for i := 0; b.Loop(); i++ {
		c.Set(tables[i%2])
	}
}

func TestTryAcquire_AllocatesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewChecker(Options{Now: time.Now})
		c.Set(tableOf(100, nil))
		id, sick := routetable.TargetID(addressOf(7), nil), routetable.TargetID(addressOf(8), nil)
		for range 3 {
			c.Dialled(sick, false)
		}
		if n := testing.AllocsPerRun(100, func() { c.TryAcquire(id); c.TryAcquire(sick); c.Dialled(id, true) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

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

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// Two routes that look at one address in the same way share a target, and what
// is known survives a swap.
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
		b.wants(id, "UnhealthyNoAnswer", false)
		if n := len(*b.targets.Load()); n != 2 {
			t.Errorf("%d targets", n)
		}
		looks := len(b.looksAt(0))
		b.Set(&routetable.Table{Routes: tableOf(1, check).Routes})
		b.wants(id, "UnhealthyNoAnswer", false)
		wait(time.Millisecond)
		if len(b.looksAt(0)) != looks {
			t.Error("a swap made a look")
		}
		wait(time.Minute)
		if n := len(b.looksAt(0)) - looks; n < 10 || n > 14 {
			t.Errorf("%d looks in a minute", n)
		}

		// What goes is forgotten, and not looked at any more.
		other := tableOf(2, check)
		b.Set(&routetable.Table{Routes: other.Routes[1:]})
		b.wants(id, "", true)
		if b.Unhealthy() != 0 {
			t.Errorf("%d are unhealthy", b.Unhealthy())
		}
		looks = len(b.looksAt(0))
		wait(time.Minute)
		if len(b.looksAt(0)) != looks {
			t.Error("it is looked at still")
		}
		// What comes again begins anew.
		b.Set(other)
		b.wants(id, "", true)
	})
}

// A look that is under way while its target goes says nothing any more.
func TestSet_DropsLooksUnderWay(t *testing.T) {
	inBubble(t, func(b *bubble) {
		t := b.t

		check := everySeconds(5)
		check.UnhealthyThreshold = 1
		b.set(0, unreachable)
		b.takes[addressOf(0)] = 20 * time.Second
		table := tableOf(1, check)
		b.Set(table)
		wait(10 * time.Second)
		if len(b.looksAt(0)) != 1 {
			t.Fatal("control: no look is under way")
		}
		b.Set(&routetable.Table{})
		b.takes[addressOf(0)] = 0
		b.set(0, healthy)
		b.Set(&routetable.Table{Routes: table.Routes})
		wait(30 * time.Second)
		b.wants(routetable.TargetID(addressOf(0), check), "Healthy", true)
		if b.Unhealthy() != 0 {
			t.Errorf("%d are unhealthy", b.Unhealthy())
		}
	})
}

// What stays as it is is reported once, however often it is looked at.
func TestChanged_TellsNothingOfWhatStays(t *testing.T) {
	inBubble(t, func(b *bubble) {
		t := b.t

		b.set(1, badStatus)
		b.Set(tableOf(2, everySeconds(1)))
		wait(time.Minute)
		entries, next, _ := b.Changed(0, 10)
		if len(entries) != 2 {
			t.Fatalf("entries are %v", entries)
		}
		wait(time.Hour)
		if entries, again, more := b.Changed(next, 10); len(entries) != 0 || again != next || more {
			t.Errorf("changed are %v", entries)
		}
	})
}

func TestChanged_TellsEachChangeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewChecker(Options{Now: time.Now})
		c.Set(tableOf(10, nil))
		id := func(i int) string { return routetable.TargetID(addressOf(i), nil) }
		fail := func(i int) {
			for range 3 {
				c.Dialled(id(i), false)
			}
		}
		wants := func(since uint64, most int, more bool, ids ...string) uint64 {
			t.Helper()
			entries, next, m := c.Changed(since, most)
			got := []string{}
			for _, e := range entries {
				got = append(got, e.ID)
			}
			if fmt.Sprint(got) != fmt.Sprint(ids) || m != more {
				t.Errorf("Changed(%d, %d) is %v, more %t; want %v", since, most, got, m, ids)
			}
			return next
		}
		next := wants(0, 10, false)
		fail(3)
		fail(1)
		fail(2)
		next = wants(next, 10, false, id(3), id(1), id(2))
		wants(next, 10, false)
		c.Dialled(id(3), true)
		after := wants(0, 2, true, id(1), id(2))
		wants(after, 2, false, id(3))
		next = wants(next, 10, false, id(3))
		wants(0, 0, true)
		wants(next+100, 10, false, id(1), id(2), id(3)) // never given out
		fail(5)
		c.Set(tableOf(5, nil)) // 5 is gone
		next = wants(next, 10, false)
		wants(next, 10, false)
	})
}

// Whoever follows the changes in pages ends up with what is known, however
// many there are.
func TestChanged_FollowersAreComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const targets = 200
		c := NewChecker(Options{Now: time.Now})
		c.Set(tableOf(targets, nil))
		ids := make([]string, targets)
		for i := range ids {
			ids[i] = routetable.TargetID(addressOf(i), nil)
		}
		random := rand.New(rand.NewPCG(1, 1))
		known, since := map[string]routetable.TargetState{}, uint64(0)
		follow := func(most int) {
			for more := true; more; {
				var entries []routetable.TargetReport
				entries, since, more = c.Changed(since, most)
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
		if n := len(c.changes.list); n > 2*targets {
			t.Errorf("%d changes are kept", n)
		}
	})
}

// F24: endpoints that come and go by the thousand while callbacks ask.
func TestF24_FlappingEndpoints(t *testing.T) {
	c := NewChecker(Options{Now: time.Now})
	c.look = func(_ context.Context, a *ask) finding { return finding(1 + len(a.address)%2) }
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
			since := uint64(0)
			for ctx.Err() == nil {
				id := ids[rand.IntN(len(ids))]
				c.Dialled(id, c.Usable(id) && rand.IntN(3) == 0)
				_, since, _ = c.Changed(since, 100)
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
		t.Errorf("of nothing %d are unhealthy", c.Unhealthy())
	}
	for i := range c.lanes {
		if n := len(c.lanes[i].queue); n != 0 || c.lanes[i].free != slots {
			t.Errorf("lane %d has %d in its queue and %d free slots", i, n, c.lanes[i].free)
		}
	}
}

func BenchmarkUsable(b *testing.B) {
	c := NewChecker(Options{Now: time.Now})
	c.Set(tableOf(10_000, nil))
	id := routetable.TargetID(addressOf(77), nil)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			c.Usable(id)
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

func TestUsable_CostsNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewChecker(Options{Now: time.Now})
		c.Set(tableOf(100, nil))
		id, sick := routetable.TargetID(addressOf(7), nil), routetable.TargetID(addressOf(8), nil)
		for range 3 {
			c.Dialled(sick, false)
		}
		if n := testing.AllocsPerRun(100, func() { c.Usable(id); c.Usable(sick); c.Dialled(id, true) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

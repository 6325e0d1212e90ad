// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"runtime"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

func TestRun_FirstVerdictComesQuickly(t *testing.T) {
	inBubble(t, func(b *bubble) {
		t := b.t

		check := everySeconds(300)
		b.set(1, badStatus)
		b.Set(tableOf(2, check))
		good, bad := routetable.TargetID(addressOf(0), check), routetable.TargetID(addressOf(1), check)
		b.wants(good, "", true)
		wait(firstWithin + 3*hurry)
		b.wants(good, "Healthy", true)
		b.wants(bad, "UnhealthyBadStatus", false)
		if n := len(b.looksAt(1)); n != 3 {
			t.Errorf("%d looks for three failures", n)
		}
		if b.Unhealthy() != 1 {
			t.Errorf("%d are unhealthy", b.Unhealthy())
		}
	})
}

func TestRun_FallsAndRisesByTheThresholds(t *testing.T) {
	inBubble(t, func(b *bubble) {
		t := b.t

		check := everySeconds(5)
		id := routetable.TargetID(addressOf(0), check)
		b.Set(tableOf(1, check))
		wait(6 * time.Second)
		b.set(0, unreachable)
		looks := len(b.looksAt(0))
		for len(b.looksAt(0)) < looks+2 {
			b.wants(id, "Healthy", true)
			wait(100 * time.Millisecond)
		}
		wait(5600 * time.Millisecond)
		b.wants(id, "UnhealthyUnreachable", false)
		b.set(0, healthy)
		looks = len(b.looksAt(0))
		for len(b.looksAt(0)) < looks+1 {
			wait(100 * time.Millisecond)
		}
		b.wants(id, "UnhealthyUnreachable", false)
		wait(5600 * time.Millisecond)
		b.wants(id, "Healthy", true)
		if b.Unhealthy() != 0 {
			t.Errorf("%d are unhealthy", b.Unhealthy())
		}
	})
}

// Looks are spread over the interval, at first and later: nobody gets all the
// looks of an instance at once.
func TestRun_SpreadsLooks(t *testing.T) {
	inBubble(t, func(b *bubble) {
		t := b.t

		const targets = 1000
		b.Set(tableOf(targets, everySeconds(10)))
		wait(10 * time.Minute)
		perSecond, shortest, longest := map[int]int{}, time.Hour, time.Duration(0)
		for i := range targets {
			looks := b.looksAt(i)
			if looks[0] > 10*time.Second {
				t.Fatalf("first look after %s", looks[0])
			}
			perSecond[int(looks[0]/time.Second)]++
			for j := 1; j < len(looks); j++ {
				shortest, longest = min(shortest, looks[j]-looks[j-1]), max(longest, looks[j]-looks[j-1])
			}
		}
		if shortest < 9*time.Second || shortest > 9100*time.Millisecond || longest < 10900*time.Millisecond || longest > 11*time.Second {
			t.Errorf("%s to %s between two looks", shortest, longest)
		}
		for second, n := range perSecond {
			if n < 50 || n > 150 {
				t.Errorf("%d first looks in second %d", n, second)
			}
		}
	})
}

// F43: targets that take their time, however many and for as long as a check
// may take, keep no other target waiting, nor do new ones.
func TestF43_SlowTargetsDelayNobody(t *testing.T) {
	inBubble(t, func(b *bubble) {
		t := b.t

		const hanging, targets = 1000, 1100
		check := everySeconds(5)
		for i := range hanging {
			b.takes[addressOf(i)] = time.Minute
		}
		table := tableOf(targets, check)
		b.Set(&routetable.Table{Routes: table.Routes[hanging:]})
		wait(time.Minute)
		b.Set(table)
		wait(5 * time.Minute)
		for i := hanging; i < targets; i++ {
			looks := b.looksAt(i)
			for j := 1; j < len(looks); j++ {
				if gap := looks[j] - looks[j-1]; gap > 5600*time.Millisecond {
					t.Fatalf("target %d: %s between two looks", i, gap)
				}
			}
			if last := looks[len(looks)-1]; last < 354*time.Second {
				t.Fatalf("target %d: last look after %s", i, last)
			}
		}
	})
}

// Ten thousand targets are no ten thousand goroutines, and little memory.
func TestRun_TenThousandTargetsAreCheap(t *testing.T) {
	const targets = 10_000
	table := tableOf(targets, everySeconds(5))
	heapBytes := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := heapBytes()
	inBubble(t, func(b *bubble) {
		t := b.t

		b.look = nil // never called: the first looks come later
		b.random = func() float64 { return 1 }
		b.Set(table)
		if n := runtime.NumGoroutine(); n > 50 {
			t.Errorf("%d goroutines", n)
		}
		used := heapBytes() - before
		t.Logf("%d targets cost %d KiB, %d bytes each", targets, used>>10, used/targets)
		if used > 6<<20 {
			t.Errorf("%d bytes", used)
		}
	})
	runtime.KeepAlive(table)
}

// Only so many looks at once, whoever waits.
func TestRun_BoundsLooks(t *testing.T) {
	inBubble(t, func(b *bubble) {
		t := b.t

		for i := range 1000 {
			b.takes[addressOf(i)] = 20 * time.Second
		}
		b.Set(tableOf(1000, everySeconds(20)))
		for round := range 3 {
			wait(15 * time.Second)
			begun := 0
			for i := range 1000 {
				if len(b.looksAt(i)) > 0 {
					begun++
				}
			}
			if begun != (round+1)*slots {
				t.Errorf("round %d: %d were looked at", round, begun)
			}
			wait(5 * time.Second)
		}
	})
}

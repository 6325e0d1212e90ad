// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"runtime"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

func TestRun_FirstFindingComesQuickly(t *testing.T) {
	inBubble(t, func(b *bubble) {
		t := b.t

		check := everySeconds(300)
		b.set(1, badStatus)
		b.Set(tableOf(2, check))
		good, bad := routetable.TargetID(addressOf(0), check), routetable.TargetID(addressOf(1), check)
		b.expect(good, "", true)
		wait(firstWithin + 3*firstInterval)
		b.expect(good, "Healthy", true)
		b.expect(bad, "UnhealthyBadStatus", false)
		if n := len(b.probesAt(1)); n != 3 {
			t.Errorf("%d probes for three failures", n)
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
		probes := len(b.probesAt(0))
		for len(b.probesAt(0)) < probes+2 {
			b.expect(id, "Healthy", true)
			wait(100 * time.Millisecond)
		}
		wait(5600 * time.Millisecond)
		b.expect(id, "UnhealthyUnreachable", false)
		b.set(0, healthy)
		probes = len(b.probesAt(0))
		for len(b.probesAt(0)) < probes+1 {
			wait(100 * time.Millisecond)
		}
		b.expect(id, "UnhealthyUnreachable", false)
		wait(5600 * time.Millisecond)
		b.expect(id, "Healthy", true)
		if b.Unhealthy() != 0 {
			t.Errorf("%d are unhealthy", b.Unhealthy())
		}
	})
}

// Probes are spread over the interval, at first and later: no backend gets all
// probes of an instance at once.
func TestRun_SpreadsProbes(t *testing.T) {
	inBubble(t, func(b *bubble) {
		t := b.t

		const targets = 1000
		b.Set(tableOf(targets, everySeconds(10)))
		wait(10 * time.Minute)
		perSecond, shortest, longest := map[int]int{}, time.Hour, time.Duration(0)
		for i := range targets {
			probes := b.probesAt(i)
			if probes[0] > 10*time.Second {
				t.Fatalf("first probe after %s", probes[0])
			}
			perSecond[int(probes[0]/time.Second)]++
			for j := 1; j < len(probes); j++ {
				shortest, longest = min(shortest, probes[j]-probes[j-1]), max(longest, probes[j]-probes[j-1])
			}
		}
		if shortest < 9*time.Second || shortest > 9100*time.Millisecond || longest < 10900*time.Millisecond || longest > 11*time.Second {
			t.Errorf("%s to %s between two probes", shortest, longest)
		}
		for second, n := range perSecond {
			if n < 50 || n > 150 {
				t.Errorf("%d first probes in second %d", n, second)
			}
		}
	})
}

// F43: slow targets, in any number and for as long as a check may take, delay no
// other target, and neither do new ones.
func TestF43_SlowTargetsDelayNoOther(t *testing.T) {
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
			probes := b.probesAt(i)
			for j := 1; j < len(probes); j++ {
				if gap := probes[j] - probes[j-1]; gap > 5600*time.Millisecond {
					t.Fatalf("target %d: %s between two probes", i, gap)
				}
			}
			if last := probes[len(probes)-1]; last < 354*time.Second {
				t.Fatalf("target %d: last probe after %s", i, last)
			}
		}
	})
}

// Ten thousand targets take no ten thousand goroutines, and little memory.
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

		b.run = nil // never called: the first probes come later
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

// The number of probes at once is bounded, and the others wait in order.
func TestRun_BoundsProbes(t *testing.T) {
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
				if len(b.probesAt(i)) > 0 {
					begun++
				}
			}
			if begun != (round+1)*slots {
				t.Errorf("round %d: %d were probed", round, begun)
			}
			wait(5 * time.Second)
		}
	})
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// A route that has ended touches no backend, and nothing is said of one that
// only such routes lead to: its service may be switched off.
func TestSet_LeavesBackendsOfClosedRoutesAlone(t *testing.T) {
	inBubble(t, func(b *bubble) {
		t := b.t

		closed := map[string]bool{}
		b.closed = func(r *routetable.Route) bool { return closed[r.Name] }
		check := everySeconds(5)
		table := tableOf(4, check)
		table.Routes[0].Preflight = true
		table.Routes[2].Backends[0].Addresses = []string{addressOf(1)} // shared with route1
		passive := &table.Routes[3].Backends[0]
		passive.Check = nil
		checked := func(i int) string { return routetable.TargetID(addressOf(i), check) }
		preflight := routetable.PreflightID(addressOf(0), &table.Routes[0], &table.Routes[0].Backends[0])
		dialled := routetable.TargetID(addressOf(3), nil)
		b.set(0, noAnswer)
		b.Set(table)
		wait(time.Minute)
		for range passiveThreshold {
			b.Dialled(dialled, false)
		}
		_, since, _ := b.Changed(0, 10)
		b.wants(checked(0), "UnhealthyNoAnswer", false)
		b.wants(preflight, "UnhealthyNoAnswer", false)
		b.wants(checked(1), "Healthy", true)
		b.wants(dialled, "UnhealthyUnreachable", false)

		closed["route0"], closed["route1"], closed["route3"] = true, true, true
		b.Set(table)
		looks, shared := len(b.looksAt(0)), len(b.looksAt(1))
		if entries, _, _ := b.Changed(since, 10); len(entries) != 3 {
			t.Errorf("told: %v", entries)
		}
		for range 3 { // also as new versions of the same
			wait(time.Minute)
			b.wants(checked(0), "Unmeasured", true)
			b.wants(preflight, "Unmeasured", true)
			b.wants(checked(1), "Healthy", true)
			b.wants(dialled, "Unmeasured", true)
			b.Set(table)
		}
		if n := len(b.looksAt(0)) - looks; n != 0 {
			t.Errorf("%d looks for a closed route", n)
		}
		if n := len(b.looksAt(1)) - shared; n < 30 {
			t.Errorf("%d looks for the open one of two", n)
		}
		if b.Unhealthy() != 0 {
			t.Errorf("%d are unhealthy", b.Unhealthy())
		}

		clear(closed)
		b.set(0, healthy)
		b.Set(table)
		b.wants(checked(0), "Unmeasured", true)
		wait(firstWithin)
		b.wants(checked(0), "Healthy", true)
		b.wants(preflight, "Healthy", true)
	})
}

// A word that nobody has read yet is not lost when the route closes after it.
func TestSet_ClosingTellsWhatWasToBeTold(t *testing.T) {
	inBubble(t, func(b *bubble) {
		isClosed := false
		b.closed = func(*routetable.Route) bool { return isClosed }
		table := tableOf(1, nil)
		id := routetable.TargetID(addressOf(0), nil)
		b.Set(table)
		for range passiveThreshold {
			b.Dialled(id, false)
		}
		_, since, _ := b.Changed(0, 10)
		b.Dialled(id, true)
		isClosed = true
		b.Set(table)
		if entries, _, _ := b.Changed(since, 10); len(entries) != 1 || entries[0].State != routetable.TargetUnmeasured {
			b.t.Errorf("told: %v", entries)
		}
	})
}

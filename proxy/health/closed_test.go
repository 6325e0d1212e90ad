// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/changelog"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// A route that has ended leaves its backends alone, and a target that only such
// routes lead to is gone from the report: its service may be switched off.
func TestSet_LeavesBackendsOfClosedRoutesAlone(t *testing.T) {
	inBubble(t, func(b *bubble) {
		t := b.t

		closed := map[string]bool{}
		b.isClosed = func(r *routetable.Route) bool { return closed[r.Name] }
		check := everySeconds(5)
		table := tableOf(4, check)
		table.Routes[0].Callbacks[0].PathProbe = true
		table.Routes[2].Backends[0].Addresses = []string{addressOf(1)} // shared with route1
		passive := &table.Routes[3].Backends[0]
		passive.Check = nil
		checked := func(i int) string { return routetable.TargetID(addressOf(i), check) }
		r := &table.Routes[0]
		path := routetable.PathProbeID(addressOf(0), "https", r, &r.Callbacks[0], &r.Backends[0])
		dialled := routetable.TargetID(addressOf(3), nil)
		b.set(0, noAnswer)
		b.Set(table)
		wait(time.Minute)
		for range passiveThreshold {
			b.Dialled(dialled, false)
		}
		_, since, _, _ := b.Changes(changelog.Cursor{}, 10)
		b.expect(checked(0), "UnhealthyNoAnswer", false)
		b.expect(path, "UnhealthyNoAnswer", false)
		b.expect(checked(1), "Healthy", true)
		b.expect(dialled, "UnhealthyUnreachable", false)

		closed["route0"], closed["route1"], closed["route3"] = true, true, true
		b.Set(table)
		probes, shared := len(b.probesAt(0)), len(b.probesAt(1))
		entries, _, _, _ := b.Changes(since, 10)
		for _, entry := range entries {
			if !entry.Gone || entry.State != "" {
				t.Errorf("%+v is no tombstone", entry)
			}
		}
		if len(entries) != 3 {
			t.Errorf("changes are %v", entries)
		}
		for range 3 { // also as new versions of the same
			wait(time.Minute)
			b.expect(checked(0), "", true)
			b.expect(path, "", true)
			b.expect(checked(1), "Healthy", true)
			b.expect(dialled, "", true)
			b.Set(table)
		}
		if n := len(b.probesAt(0)) - probes; n != 0 {
			t.Errorf("%d probes for a closed route", n)
		}
		if n := len(b.probesAt(1)) - shared; n < 30 {
			t.Errorf("%d probes for the open one of two", n)
		}
		if b.Unhealthy() != 0 {
			t.Errorf("%d are unhealthy", b.Unhealthy())
		}

		clear(closed)
		b.set(0, healthy)
		b.Set(table)
		b.expect(checked(0), "", true)
		wait(firstWithin)
		b.expect(checked(0), "Healthy", true)
		b.expect(path, "Healthy", true)
	})
}

// A change that was not read yet is followed by the tombstone when the route
// closes.
func TestSet_ClosingIsReported(t *testing.T) {
	inBubble(t, func(b *bubble) {
		isClosed := false
		b.isClosed = func(*routetable.Route) bool { return isClosed }
		table := tableOf(1, nil)
		id := routetable.TargetID(addressOf(0), nil)
		b.Set(table)
		for range passiveThreshold {
			b.Dialled(id, false)
		}
		_, since, _, _ := b.Changes(changelog.Cursor{}, 10)
		b.Dialled(id, true)
		isClosed = true
		b.Set(table)
		if entries, _, _, _ := b.Changes(since, 10); len(entries) != 1 || !entries[0].Gone || entries[0].ID != id {
			b.t.Errorf("changes are %v", entries)
		}
	})
}

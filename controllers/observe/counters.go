// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

// This file adds up what the instances of a fleet counted for each route. Pure.

import (
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// counters hold what this leadership knows of the traffic of each route.
//
//	total = max(status at the begin, counts at the begin) + increases since
//
// An instance counts from the start of its process and not from a leadership, so
// the status accumulates the increases between two reports of the same pod, boot
// and route. No callback is counted twice; a callback between the last status
// write of one leadership and the first poll of the next one may be missing.
type counters map[types.UID]*counter

// counter is the traffic of one route.
type counter struct {
	// stored is what the status held when this leadership read it first.
	stored   *status.Traffic
	begin    status.Traffic // counts of the first reports of inherited pods
	increase status.Traffic
}

// add adds the increase between two reports of an instance, or, for an inherited
// one, all that it counted before.
//
//nolint:revive // inherited chooses the sum, not another way of adding
func (c counters) add(uid types.UID, last, next *routetable.RouteUse, inherited bool) {
	if c[uid] == nil {
		if len(c) >= maxEntries {
			return
		}
		c[uid] = &counter{}
	}
	sum := &c[uid].increase
	if inherited {
		sum = &c[uid].begin
	}
	sum.Callbacks += increase(last.Callbacks, next.Callbacks)
	sum.AfterSunset += increase(last.AfterSunset, next.AfterSunset)
	sum.Other += increase(last.Other, next.Other)
	sum.Refused += increase(last.Refused, next.Refused)
	sum.Last = later(sum.Last, next.Last)
	if len(next.Backends) == 0 {
		return
	}
	before := make(map[string]int64, len(last.Backends))
	for _, b := range last.Backends {
		before[b.Name] = b.Callbacks
	}
	backends := maps.Clone(sum.Backends) // a pass may hold on to the old map
	if backends == nil {
		backends = make(map[string]status.BackendTraffic, len(next.Backends))
	}
	for _, b := range next.Backends {
		was := backends[b.Name]
		backends[b.Name] = status.BackendTraffic{
			Callbacks: was.Callbacks + increase(before[b.Name], b.Callbacks), Last: later(was.Last, b.Last),
		}
	}
	sum.Backends = backends
}

// total returns the traffic of a route in its whole life. stored is what its
// status holds now.
func (c counters) total(uid types.UID, stored status.Traffic) status.Traffic {
	if c[uid] == nil {
		if len(c) >= maxEntries {
			return stored
		}
		c[uid] = &counter{}
	}
	counter := c[uid]
	if counter.stored == nil {
		counter.stored = &stored
	}
	return counter.total()
}

func (c *counter) total() status.Traffic {
	a, b, n := c.stored, &c.begin, &c.increase
	out := status.Traffic{
		Last:        later(later(a.Last, b.Last), n.Last),
		Callbacks:   max(a.Callbacks, b.Callbacks) + n.Callbacks,
		AfterSunset: max(a.AfterSunset, b.AfterSunset) + n.AfterSunset,
		Other:       max(a.Other, b.Other) + n.Other,
		Refused:     max(a.Refused, b.Refused) + n.Refused,
	}
	if len(a.Backends)+len(b.Backends)+len(n.Backends) == 0 {
		return out
	}
	out.Backends = make(map[string]status.BackendTraffic, len(a.Backends))
	for _, backends := range []map[string]status.BackendTraffic{a.Backends, b.Backends, n.Backends} {
		for name := range backends {
			x, y, z := a.Backends[name], b.Backends[name], n.Backends[name]
			out.Backends[name] = status.BackendTraffic{
				Callbacks: max(x.Callbacks, y.Callbacks) + z.Callbacks,
				Last:      later(later(x.Last, y.Last), z.Last),
			}
		}
	}
	return out
}

// increase returns by how much a count grew. One that fell began anew from zero.
func increase(last, next int64) int64 {
	if next < last {
		return next
	}
	return next - last
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

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

// counters hold the traffic of each route: what the status held when this
// leadership read it first, and the increases since.
//
// An instance counts from the start of its process and not from a leadership, so
// the increases between two reports of the same pod, boot and route are added. No
// callback is counted twice; a callback between the last status write of one
// leadership and the first poll of the next one may be missing.
type counters map[types.UID]*counter

// counter is the traffic of one route.
type counter struct {
	traffic status.Traffic
	// isRead is true once traffic contains what the status held.
	isRead bool
}

// of returns the counter of a route; nil when there are too many.
func (c counters) of(uid types.UID) *counter {
	if c[uid] == nil && len(c) < maxEntries {
		c[uid] = &counter{}
	}
	return c[uid]
}

// add adds the increase between two reports of an instance. last is nil for the
// first report of an instance that an earlier leadership may have polled: what it
// counted may be in the status.
func (c counters) add(uid types.UID, last, next *routetable.RouteUse) {
	counter := c.of(uid)
	if counter == nil {
		return
	}
	if last == nil {
		last = next
	}
	before := make(map[string]int64, len(last.Backends))
	for _, b := range last.Backends {
		before[b.Name] = b.Callbacks
	}
	grown := status.Traffic{
		Callbacks:   increase(last.Callbacks, next.Callbacks),
		AfterSunset: increase(last.AfterSunset, next.AfterSunset),
		Repeats:     increase(last.Repeats, next.Repeats),
		Other:       increase(last.Other, next.Other),
		Refused:     increase(last.Refused, next.Refused),
		Last:        next.Last,
		LastRefused: next.LastRefused, RefusedReason: next.RefusedReason,
		Backends: make(map[string]status.BackendTraffic, len(next.Backends)),
	}
	for _, b := range next.Backends {
		grown.Backends[b.Name] = status.BackendTraffic{Callbacks: increase(before[b.Name], b.Callbacks), Last: b.Last}
	}
	counter.traffic = sum(&counter.traffic, &grown)
}

// total returns the traffic of a route in its whole life. stored is what its
// status holds now.
func (c counters) total(uid types.UID, stored status.Traffic) status.Traffic {
	counter := c.of(uid)
	if counter == nil {
		return stored
	}
	if !counter.isRead {
		counter.traffic, counter.isRead = sum(&counter.traffic, &stored), true
	}
	return counter.traffic
}

// sum adds two counts. A pass may hold on to either map.
func sum(a, b *status.Traffic) status.Traffic {
	backends := maps.Clone(a.Backends)
	if backends == nil && len(b.Backends) > 0 {
		backends = make(map[string]status.BackendTraffic, len(b.Backends))
	}
	for name, more := range b.Backends {
		was := backends[name]
		backends[name] = status.BackendTraffic{Callbacks: was.Callbacks + more.Callbacks, Last: later(was.Last, more.Last)}
	}
	refused := a
	if b.LastRefused.After(a.LastRefused) {
		refused = b
	}
	return status.Traffic{
		Last:        later(a.Last, b.Last),
		LastRefused: refused.LastRefused, RefusedReason: refused.RefusedReason,
		Callbacks: a.Callbacks + b.Callbacks, AfterSunset: a.AfterSunset + b.AfterSunset,
		Repeats: a.Repeats + b.Repeats,
		Other:   a.Other + b.Other, Refused: a.Refused + b.Refused,
		Backends: backends,
	}
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

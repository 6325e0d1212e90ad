// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package config

// lifecycle.go: routes that end by the clock, and what outlives a change of the config.

import (
	"context"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
	"github.com/callbackproxy/callback-operator/proxy/usage"
)

// identity distinguishes a route from a later one of the same name.
type identity struct{ uid, namespace, name string }

// memory is what the proxy keeps of a route through all its generations, as long
// as it is in the table.
type memory struct {
	latch sunset.Latch
	usage *usage.Record
	swept bool // the last sweep found it closed; only the sweep uses it
}

// follow moves on to a table and returns the memory of each of its routes. The
// memories of routes that left the table end. The lock is required.
func (s *Store) follow(t *routetable.Table) map[*routetable.Route]*memory {
	memories := make(map[identity]*memory, len(t.Routes))
	byRoute := make(map[*routetable.Route]*memory, len(t.Routes))
	for i := range t.Routes {
		route := &t.Routes[i]
		id := identity{route.UID, route.Namespace, route.Name}
		m := s.memories[id]
		if m == nil {
			m = &memory{usage: s.usage.Start(route.UID)}
		} else {
			s.usage.RetainBackends(m.usage, route)
		}
		memories[id], byRoute[route] = m, m
	}
	for id, m := range s.memories {
		if memories[id] == nil {
			s.usage.End(m.usage)
		}
	}
	s.memories = memories
	return byRoute
}

// CloseIfPassed closes a route of this snapshot if it rejects callbacks after
// its sunset and that has passed, and reports whether the route is closed.
func (s *Snapshot) CloseIfPassed(r *routetable.Route, now sunset.Judgement) bool {
	return s.memories[r].closeIfPassed(r, now)
}

func (m *memory) closeIfPassed(r *routetable.Route, now sunset.Judgement) bool {
	if r.AfterSunset != routetable.Reject {
		return false
	}
	schedule := sunset.Schedule{Deprecation: r.Deprecation, Sunset: r.Sunset, HeldUntil: r.HeldUntil}
	return m.latch.CloseIfPassed(schedule, r.Generation, now)
}

// sweepEvery is how long after its sunset a route without requests is closed at
// the latest.
const sweepEvery = time.Second

// Run closes routes at their sunset until ctx is cancelled, with requests or
// without: whether a route stays closed when the clock is set back later must
// not depend on traffic.
func (s *Store) Run(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		s.clock.LogTransition()
		s.sweep()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *Store) sweep() {
	s.changes.Lock()
	defer s.changes.Unlock()
	current := s.Current()
	if current == nil {
		return
	}
	judgement := s.clock.Judgement()
	changed := false
	for route, m := range current.memories {
		closed := m.closeIfPassed(route, judgement)
		changed = changed || closed != m.swept
		m.swept = closed
	}
	if changed {
		s.publish(Change{Before: current, After: current})
	}
}

// IsClosed reports whether a route of the config that is served has ended. A
// route of another config has not.
func (s *Store) IsClosed(r *routetable.Route) bool {
	current := s.Current()
	if current == nil {
		return false
	}
	m := current.memories[r]
	return m != nil && m.closeIfPassed(r, s.clock.Judgement())
}

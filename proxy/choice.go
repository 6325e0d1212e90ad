// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// choice.go: the addresses that one callback may dial.

import (
	"math"
	"sync"

	"github.com/callbackproxy/callback-operator/proxy/owner"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// Health decides which targets (routetable.TargetID) may be dialled, and gets
// the result of each dial.
type Health interface {
	// TryAcquire reports whether a callback may dial a target. It takes one of the
	// dials that health rations for an unhealthy target.
	TryAcquire(target string) bool
	Dialled(target string, reached bool)
}

// maxDials is how many addresses of a backend one callback dials.
const maxDials = 2

// candidate is a backend with the addresses that one callback would dial.
type candidate struct {
	backend *routetable.Backend
	// failover is set for the replacement of the backend that owns the callback.
	failover bool
	// addresses are dialled in this order; targets are their IDs.
	addresses, targets []string
	// reachable is false when it is known that no address can be reached.
	reachable bool
}

// choose returns the backends that may get a callback of a receiver, in the order
// in which they are dialled: package owner decides which, health at which addresses.
func (h *Handler) choose(r *routetable.Route, receiver *routetable.Backend) []candidate {
	known := make([]candidate, 0, 2)
	of := func(b *routetable.Backend) *candidate {
		for i := range known {
			if known[i].backend == b {
				return &known[i]
			}
		}
		known = append(known, h.candidateOf(b))
		return &known[len(known)-1]
	}
	choices := owner.Order(r, receiver, func(b *routetable.Backend) bool { return of(b).reachable })
	chosen := make([]candidate, len(choices))
	for i, choice := range choices {
		chosen[i] = *of(choice.Backend)
		chosen[i].failover = choice.Failover
	}
	return chosen
}

// candidateOf takes the addresses of a backend in turns: the first that may be
// dialled, and others only where those do not suffice.
func (h *Handler) candidateOf(b *routetable.Backend) candidate {
	c := candidate{backend: b}
	n := len(b.Addresses)
	if h.health == nil && n < 2 {
		c.addresses, c.reachable = b.Addresses, n > 0
		return c
	}
	start := 0
	if n > 1 {
		start = int(h.turn.Add(1)&math.MaxInt32) % n
	}
	var spare [maxDials]int // addresses that health advises against
	spares := 0
	c.addresses, c.targets = make([]string, 0, maxDials), make([]string, 0, maxDials)
	for i := range n {
		at := (start + i) % n
		target := h.targetOf(b, at)
		switch {
		case h.health == nil || h.health.TryAcquire(target):
			c.reachable = true
			c.addresses, c.targets = append(c.addresses, b.Addresses[at]), append(c.targets, target)
		case spares < maxDials:
			spare[spares] = at
			spares++
		}
		if len(c.addresses) == maxDials {
			return c
		}
	}
	for _, at := range spare[:min(spares, maxDials-len(c.addresses))] {
		c.addresses, c.targets = append(c.addresses, b.Addresses[at]), append(c.targets, h.targetOf(b, at))
	}
	return c
}

func (h *Handler) targetOf(b *routetable.Backend, at int) string {
	if h.health == nil {
		return ""
	}
	return h.targets.of(b.Addresses[at], b.Check)
}

// maxTargetIDs bounds the IDs that are remembered.
const maxTargetIDs = 16 << 10

// targetIDs remembers the IDs of targets, which are hashes.
type targetIDs struct {
	mu  sync.RWMutex
	ids map[checkedAddress]string
}

// checkedAddress is what a target's ID is made of.
type checkedAddress struct {
	address   string
	isChecked bool
	check     routetable.HealthCheck
}

func (t *targetIDs) of(address string, check *routetable.HealthCheck) string {
	key := checkedAddress{address: address, isChecked: check != nil}
	if check != nil {
		key.check = *check
	}
	t.mu.RLock()
	id, found := t.ids[key]
	t.mu.RUnlock()
	if found {
		return id
	}
	id = routetable.TargetID(address, check)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ids == nil || len(t.ids) >= maxTargetIDs {
		t.ids = map[checkedAddress]string{}
	}
	t.ids[key] = id
	return id
}

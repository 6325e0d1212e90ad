// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"cmp"
	"math"
	"slices"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// Health knows which targets (routetable.TargetID) can be reached, and is told
// what an attempt learned.
type Health interface {
	Usable(target string) bool
	Dialled(target string, reached bool)
}

// maxDials is how many addresses of a backend one callback tries to reach, and
// maxChoices how many backends.
const (
	maxDials   = 2
	maxChoices = 2
)

// candidate is a backend that may get a callback.
type candidate struct {
	backend *routetable.Backend
	// addresses are to be dialled in this order; targets are their IDs.
	addresses, targets []string
	// usable is true unless all its addresses are known not to be.
	usable bool
}

// choose returns the backends that may get a callback which nobody owns, in
// the order in which they are tried:
//
//	usable, by rank -> the first of them, and the next one in case it cannot be dialled
//	nobody usable   -> the active one all the same, and the next: better tried
//	                   in vain than refused for what may be over by now
//
// Backends with weight 0 get nothing.
func (h *Handler) choose(r *routetable.Route) []candidate {
	ranks := ranked(r)
	chosen := make([]candidate, 0, len(ranks))
	usable := 0
	for _, backend := range ranks {
		c := h.candidateOf(backend)
		switch {
		case c.usable:
			chosen = slices.Insert(chosen, usable, c)
			usable++
		case len(c.addresses) > 0:
			chosen = append(chosen, c)
		}
		if usable == maxChoices {
			break
		}
	}
	if len(chosen) == 0 {
		return []candidate{{backend: ranks[0]}}
	}
	return chosen[:min(len(chosen), maxChoices)]
}

// ranked returns the backends with a weight, the highest first.
func ranked(r *routetable.Route) []*routetable.Backend {
	ranks := make([]*routetable.Backend, 0, len(r.Backends))
	for i := range r.Backends {
		if r.Backends[i].Weight > 0 {
			ranks = append(ranks, &r.Backends[i])
		}
	}
	slices.SortStableFunc(ranks, func(a, b *routetable.Backend) int { return cmp.Compare(b.Weight, a.Weight) })
	return ranks
}

// candidateOf looks at a backend's addresses, from the next one in turn on:
// the first usable ones are taken, and others only where those do not suffice.
func (h *Handler) candidateOf(b *routetable.Backend) candidate {
	c := candidate{backend: b}
	n := len(b.Addresses)
	if h.health == nil && n < 2 {
		c.addresses, c.usable = b.Addresses, n > 0
		return c
	}
	start := 0
	if n > 1 {
		start = int(h.turn.Add(1)&math.MaxInt32) % n
	}
	// One array for both: first the usable ones, then the rest.
	var spare [maxDials]int
	spares := 0
	c.addresses, c.targets = make([]string, 0, maxDials), make([]string, 0, maxDials)
	for i := range n {
		at := (start + i) % n
		target := h.targetOf(b, at)
		switch {
		case h.health == nil || h.health.Usable(target):
			c.usable = true
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
	return routetable.TargetID(b.Addresses[at], b.Check)
}

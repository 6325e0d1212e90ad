// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

// hold.go keeps the claims of routes that were accepted and are not any more.
//
//	a route that is in the previous table, as a Route or as a Hold, is now
//	  accepted                        no hold
//	  refused because of a conflict   no hold
//	  refused by another rule         hold without a release time
//	  gone                            hold until 10 minutes after the first pass without it
//
// A hold blocks routes of other namespaces. It does not block routes of its own
// namespace, and on a host that is not granted to its namespace any more it
// blocks no route. A claim that an accepted route takes leaves the hold; so does one
// that no query distinguishes from it.

import (
	"cmp"
	"maps"
	"slices"
	"time"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const (
	// releaseAfter is the time for which the claims of a deleted route are held.
	releaseAfter = 10 * time.Minute
	// maxReleasing bounds the holds of deleted routes of one namespace, so that
	// creating and deleting routes cannot fill the table.
	maxReleasing = 1000
)

// holds are the held claims of a pass.
type holds struct {
	previous *routetable.Table
	// before holds the sorted claims that routes have in the previous table, as a
	// Route or as a Hold, by UID.
	before map[string][]routetable.Claim
	// current are the holds of this pass, by UID, and claims their UIDs, by claim.
	current map[string]*routetable.Hold
	claims  map[routetable.Claim]string
	places  places
}

func newHolds(previous *routetable.Table) *holds {
	if previous == nil {
		previous = &routetable.Table{}
	}
	h := &holds{
		previous: previous, before: map[string][]routetable.Claim{},
		current: map[string]*routetable.Hold{}, claims: map[routetable.Claim]string{}, places: places{},
	}
	for i := range previous.Holds {
		h.before[previous.Holds[i].UID] = previous.Holds[i].Claims
	}
	for i := range previous.Routes {
		r := &previous.Routes[i]
		h.before[r.UID] = slices.SortedFunc(slices.Values(r.Claims()), routetable.Claim.Compare)
	}
	return h
}

// add holds what a route had in the previous table.
func (h *holds) add(namespace, name, uid string, release time.Time) {
	claims := h.before[uid]
	if len(claims) == 0 {
		return
	}
	h.current[uid] = &routetable.Hold{Namespace: namespace, Name: name, UID: uid, Claims: claims, ReleaseTime: release}
	for _, claim := range claims {
		h.claims[claim] = uid
		h.places.add(claim)
	}
}

// The ranks of routes that compete for claims, the first ones first.
const (
	// keeping: every claim is one that the route has in the previous table. Two
	// such routes never have the same claim.
	keeping = iota
	// changing: the route is in the previous table and has another claim now.
	changing
	// entering: the route is not in the previous table.
	entering
)

// rankOf returns the rank of a route; before are its claims in the previous table.
func rankOf(r *routetable.Route, before []routetable.Claim) int {
	if len(before) == 0 {
		return entering
	}
	if slices.ContainsFunc(r.Claims(), func(claim routetable.Claim) bool { return !contains(before, claim) }) {
		return changing
	}
	return keeping
}

// holdRefused holds the claims of a route that exists and is refused.
func (p *pass) holdRefused(c *candidate) {
	o := c.route.Object
	p.holds.add(o.Namespace, o.Name, string(o.UID), time.Time{})
}

// holdGone holds the claims of routes that do not exist any more, are being
// deleted or name another CallbackProxy.
func (p *pass) holdGone() {
	existing := make(map[string]struct{}, len(p.snapshot.Routes))
	for i := range p.snapshot.Routes {
		if o := p.snapshot.Routes[i].Object; o.DeletionTimestamp.IsZero() {
			existing[string(o.UID)] = struct{}{}
		}
	}
	gone := map[string][]routetable.Hold{} // by namespace
	note := func(namespace, name, uid string, release time.Time) {
		if _, exists := existing[uid]; exists {
			return
		}
		if release.IsZero() {
			release = p.now.UTC().Truncate(time.Second).Add(releaseAfter)
		}
		if release.After(p.now) {
			gone[namespace] = append(gone[namespace], routetable.Hold{Namespace: namespace, Name: name, UID: uid, ReleaseTime: release})
		}
	}
	for i := range p.holds.previous.Routes {
		r := &p.holds.previous.Routes[i]
		note(r.Namespace, r.Name, r.UID, time.Time{})
	}
	for i := range p.holds.previous.Holds {
		h := &p.holds.previous.Holds[i]
		note(h.Namespace, h.Name, h.UID, h.ReleaseTime)
	}
	for _, some := range gone {
		slices.SortFunc(some, func(a, b routetable.Hold) int { // the latest first
			return cmp.Or(b.ReleaseTime.Compare(a.ReleaseTime), compareHolds(a, b))
		})
		for _, h := range some[:min(len(some), maxReleasing)] {
			p.holds.add(h.Namespace, h.Name, h.UID, h.ReleaseTime)
		}
	}
}

// findHold returns the first callback of a route that is held for a route of
// another namespace, the held claim and its hold. before are the claims that the
// route has in the previous table.
func (p *pass) findHold(r *routetable.Route, before []routetable.Claim) (callback string, claim routetable.Claim, by *routetable.Hold, found bool) {
	if len(p.holds.claims) == 0 {
		return "", routetable.Claim{}, nil, false
	}
	callback, claim, found = findRival(r, before, p.holds.places, func(claim routetable.Claim, _ bool) bool {
		hold := p.holds.current[p.holds.claims[claim]]
		return hold != nil && hold.Namespace != r.Namespace && !p.isRevoked(claim.Host, hold.Namespace)
	})
	return callback, claim, p.holds.current[p.holds.claims[claim]], found
}

// isRevoked reports whether a host is not granted to a namespace any more. A
// namespace whose labels are not in the snapshot keeps the hosts that a selector
// may grant to it.
func (p *pass) isRevoked(host, namespace string) bool {
	if p.isGranted(host, namespace) {
		return false
	}
	if _, exists := p.snapshot.Namespaces[namespace]; exists || p.snapshot.Proxy == nil {
		return true
	}
	return !slices.ContainsFunc(p.snapshot.Proxy.Spec.Hosts, func(h callbackv1alpha1.ProxyHost) bool {
		return string(h.Hostname) == host && h.Namespaces.From == callbackv1alpha1.NamespacesFromSelector
	})
}

// remainingHolds returns the holds without the claims that accepted routes have.
func (p *pass) remainingHolds() []routetable.Hold {
	if p.snapshot.Proxy == nil {
		return nil
	}
	var remaining []routetable.Hold
	for _, hold := range p.holds.current {
		kept := *hold
		kept.Claims = slices.DeleteFunc(slices.Clone(hold.Claims), p.claims.takes)
		if len(kept.Claims) > 0 {
			remaining = append(remaining, kept)
		}
	}
	slices.SortFunc(remaining, compareHolds)
	return remaining
}

// compareHolds is the order of holds in a table.
func compareHolds(a, b routetable.Hold) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
}

// lostHosts counts the existing routes that lost a host.
func (p *pass) lostHosts(held []routetable.Hold) []LostHost {
	routes := map[string]int{}
	for i := range held {
		if !held[i].ReleaseTime.IsZero() {
			continue
		}
		hosts := map[string]bool{}
		for _, claim := range held[i].Claims {
			if !hosts[claim.Host] && p.isRevoked(claim.Host, held[i].Namespace) {
				hosts[claim.Host] = true
				routes[claim.Host]++
			}
		}
	}
	var lost []LostHost
	for _, host := range slices.Sorted(maps.Keys(routes)) {
		lost = append(lost, LostHost{Host: host, Routes: routes[host]})
	}
	return lost
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

// conflicts.go finds accepted routes that have a claim of another route.

import (
	"slices"
	"strings"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// claims are the claims of accepted routes.
type claims struct {
	owners map[routetable.Claim]owner
	places places
}

// owner is the route that has a claim, and its creation time.
type owner struct {
	namespace, name string
	created         time.Time
}

// places are claims with a query, sorted, by the claim without it.
type places map[routetable.Claim][]routetable.Claim

func (p places) add(claim routetable.Claim) {
	if claim.Query == "" {
		return
	}
	place := placeOf(claim)
	if at, found := slices.BinarySearchFunc(p[place], claim, routetable.Claim.Compare); !found {
		p[place] = slices.Insert(p[place], at, claim)
	}
}

func placeOf(claim routetable.Claim) routetable.Claim {
	claim.Query = ""
	return claim
}

func newClaims() claims { return claims{owners: map[routetable.Claim]owner{}, places: places{}} }

func (c claims) add(r *routetable.Route, created time.Time) {
	for _, claim := range r.Claims() {
		c.owners[claim] = owner{namespace: r.Namespace, name: r.Name, created: created}
		c.places.add(claim)
	}
}

func (c claims) has(claim routetable.Claim) bool {
	_, found := c.owners[claim]
	return found
}

// takes reports whether an accepted route has a claim, or one that nothing
// distinguishes from it.
func (c claims) takes(claim routetable.Claim) bool {
	return c.has(claim) || slices.ContainsFunc(c.places[placeOf(claim)], func(other routetable.Claim) bool {
		return other.Query.Len() == claim.Query.Len() && other.Query.Overlaps(claim.Query)
	})
}

// findConflict returns the first callback of a route that conflicts, the claim it
// conflicts with and that claim's owner. before are the claims that the route has
// in the previous table.
func (c claims) findConflict(r *routetable.Route, before []routetable.Claim) (callback string, claim routetable.Claim, by owner, found bool) {
	callback, claim, found = findRival(r, before, c.places, func(claim routetable.Claim, covers bool) bool {
		owner, taken := c.owners[claim]
		return taken && (!covers || owner.namespace != r.Namespace)
	})
	return callback, claim, c.owners[claim], found
}

// maxQueries is how many callbacks of one host and path queries may tell apart: so
// that a pass and a request cost little, whatever one namespace declares.
const maxQueries = 256

// findCrowded returns the first callback with a query for which there are too many
// on its host and path.
func (c claims) findCrowded(r *routetable.Route, before []routetable.Claim) (callback string, claim routetable.Claim, found bool) {
	for _, host := range r.Hostnames {
		for i := range r.Callbacks {
			own := claimOf(host, &r.Callbacks[i])
			if own.Query != "" && len(c.places[placeOf(own)]) >= maxQueries && !contains(before, own) {
				return r.Callbacks[i].Name, own, true
			}
		}
	}
	return "", routetable.Claim{}, false
}

// findRival returns the first callback of a route for which isRival holds, and
// the claim in question. The rivals of a claim are the same claim, and, unless no
// request can mean both:
//
//   - claims of the same path with as many query parameters, as nothing decides
//     between the two
//   - claims that cover it: those of the same path with fewer query parameters, and
//     every Prefix above it. A claim of another namespace covers all that it has,
//     and no other namespace can take a part of it later.
//
// A claim that the route has in the previous table (before, sorted) is not covered.
func findRival(r *routetable.Route, before []routetable.Claim, places places, isRival func(claim routetable.Claim, covers bool) bool) (callback string, claim routetable.Claim, found bool) {
	for _, host := range r.Hostnames {
		for i := range r.Callbacks {
			own := claimOf(host, &r.Callbacks[i])
			if isRival(own, false) {
				return r.Callbacks[i].Name, own, true
			}
			for _, other := range places[placeOf(own)] {
				fewer := other.Query.Len() < own.Query.Len()
				if other.Query.Len() > own.Query.Len() || !other.Query.Overlaps(own.Query) || fewer && contains(before, own) {
					continue
				}
				if other != own && isRival(other, fewer) {
					return r.Callbacks[i].Name, other, true
				}
			}
			if contains(before, own) {
				continue
			}
			for _, above := range coversOf(own) {
				if isRival(above, true) {
					return r.Callbacks[i].Name, above, true
				}
			}
		}
	}
	return "", routetable.Claim{}, false
}

// coversOf returns the claims without a query that cover a claim: of the same path,
// and of every Prefix above it.
func coversOf(own routetable.Claim) []routetable.Claim {
	var covers []routetable.Claim
	if own.Query != "" {
		covers = append(covers, placeOf(own))
	}
	for _, prefix := range prefixesOf(own.Path) {
		if above := (routetable.Claim{Host: own.Host, PathType: routetable.Prefix, Path: prefix}); above != own {
			covers = append(covers, above)
		}
	}
	return covers
}

func claimOf(host string, c *routetable.Callback) routetable.Claim {
	return routetable.Claim{Host: host, PathType: c.PathType, Path: c.Path, Query: c.Query}
}

// contains reports whether a claim is one of sorted claims.
func contains(claims []routetable.Claim, claim routetable.Claim) bool {
	_, found := slices.BinarySearchFunc(claims, claim, routetable.Claim.Compare)
	return found
}

// prefixesOf returns a path and the paths above it, segment by segment:
// /a/b gives /a/b, /a and /.
func prefixesOf(path string) []string {
	var prefixes []string
	for path != "/" && path != "" {
		prefixes = append(prefixes, path)
		path = path[:strings.LastIndexByte(path, '/')]
	}
	return append(prefixes, "/")
}

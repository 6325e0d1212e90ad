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
type claims map[routetable.Claim]owner

// owner is the route that has a claim, and its creation time.
type owner struct {
	namespace, name string
	created         time.Time
}

func (c claims) add(r *routetable.Route, created time.Time) {
	for _, claim := range r.Claims() {
		c[claim] = owner{namespace: r.Namespace, name: r.Name, created: created}
	}
}

func (c claims) has(claim routetable.Claim) bool {
	_, found := c[claim]
	return found
}

// findConflict returns the first callback of a route that conflicts, the claim it
// conflicts with and that claim's owner. before are the claims that the route has
// in the previous table.
func (c claims) findConflict(r *routetable.Route, before []routetable.Claim) (callback string, claim routetable.Claim, by owner, found bool) {
	callback, claim, found = findRival(r, before, func(claim routetable.Claim, nested bool) bool {
		owner, taken := c[claim]
		return taken && (!nested || owner.namespace != r.Namespace)
	})
	return callback, claim, c[claim], found
}

// findRival returns the first callback of a route for which isRival holds, and
// the claim in question. The rivals of a claim are the same claim and every
// Prefix above it (nested): a Prefix of another namespace covers everything below
// it, and no other namespace can take a part of it later. A claim that the route
// has in the previous table (before, sorted) has no nested rivals.
func findRival(r *routetable.Route, before []routetable.Claim, isRival func(claim routetable.Claim, nested bool) bool) (callback string, claim routetable.Claim, found bool) {
	for _, host := range r.Hostnames {
		for i := range r.Callbacks {
			own := &r.Callbacks[i]
			same := routetable.Claim{Host: host, PathType: own.PathType, Path: own.Path}
			if isRival(same, false) {
				return own.Name, same, true
			}
			if contains(before, same) {
				continue
			}
			for _, prefix := range prefixesOf(own.Path) {
				above := routetable.Claim{Host: host, PathType: routetable.Prefix, Path: prefix}
				if above != same && isRival(above, true) {
					return own.Name, above, true
				}
			}
		}
	}
	return "", routetable.Claim{}, false
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

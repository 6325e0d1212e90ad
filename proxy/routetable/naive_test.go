// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

import (
	"regexp"
	"slices"
	"strings"
)

// naive_test.go: the matcher without an index.

// naiveMatch is the specification, sentence by sentence, without an index.
func naiveMatch(table *Table, host, path, query string) (best Match) {
	host = naiveHost(host)
	var bestClaim Claim
	consider := func(claim Claim, match Match) {
		if claim.Host != host || !naiveOwns(claim, path, query) {
			return
		}
		if best == (Match{}) || naiveBeats(claim, match, bestClaim, best) {
			best, bestClaim = match, claim
		}
	}
	for i := range table.Routes {
		route := &table.Routes[i]
		for _, host := range route.Hostnames {
			for c := range route.Callbacks {
				callback := &route.Callbacks[c]
				consider(Claim{host, callback.PathType, callback.Path, callback.Query}, Match{Route: route, Callback: callback})
			}
		}
	}
	for i := range table.Holds {
		for _, claim := range table.Holds[i].Claims {
			consider(claim, Match{Hold: &table.Holds[i]})
		}
	}
	return best
}

// naiveBeats: Exact beats Prefix, a longer Prefix beats a shorter one, more query
// parameters beat fewer. Two of as many are those of a hold and a route of its
// namespace, or of two holds: the route is first, then the first by spelling.
func naiveBeats(claim Claim, match Match, other Claim, otherMatch Match) bool {
	if claim.PathType != other.PathType {
		return claim.PathType == Exact
	}
	if len(claim.Path) != len(other.Path) {
		return len(claim.Path) > len(other.Path)
	}
	if a, b := len(naivePairs(string(claim.Query))), len(naivePairs(string(other.Query))); a != b {
		return a > b
	}
	if (match.Hold == nil) != (otherMatch.Hold == nil) {
		return match.Hold == nil
	}
	return claim.Query < other.Query
}

// naivePairs returns the pairs of a query.
func naivePairs(query string) []string {
	if query == "" {
		return nil
	}
	return strings.Split(query, "&")
}

// naiveHas: a query has each wanted pair, and no other pair of its name.
func naiveHas(query string, wanted Query) bool {
	for _, pair := range naivePairs(string(wanted)) {
		name, _, _ := strings.Cut(pair, "=")
		of := slices.DeleteFunc(naivePairs(query), func(p string) bool { return p != name && !strings.HasPrefix(p, name+"=") })
		if len(of) != 1 || of[0] != pair {
			return false
		}
	}
	return true
}

// naiveOwns: Exact owns the same bytes, Prefix whole segments.
func naiveOwns(claim Claim, path, query string) bool {
	switch {
	case claim.PathType == Exact:
		return path == claim.Path && naiveHas(query, claim.Query)
	case claim.Path == "/":
		return strings.HasPrefix(path, "/")
	}
	return path == claim.Path || strings.HasPrefix(path, claim.Path+"/")
}

var naivePort = regexp.MustCompile(`:[0-9]{0,5}$`)

// naiveHost: case of ASCII letters, one port and one dot at the end make no
// difference; everything else does.
func naiveHost(host string) string {
	host = naivePort.ReplaceAllString(host, "")
	host = strings.TrimSuffix(host, ".")
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, host)
}

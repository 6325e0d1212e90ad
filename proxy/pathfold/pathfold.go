// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pathfold finds the requests that may mean a callback, in any reading
// of their target that a server is known to have. In: a table, then hosts, raw
// paths and raw queries; out: a Reading. A wrong yes gets a request the gate's
// response instead of the application's; a wrong no hands a callback to the
// application, so a doubtful path is a yes. Pure.
package pathfold

// pathfold.go: the claims of a table, by their folded paths.

import (
	"strings"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// anyHost stands for every host of a table. It is reserved (RFC 6761 section
// 6.4); a request for it is treated as one whose Host cannot be read.
const anyHost = "any.invalid"

// Reading is what a request may mean to some server.
type Reading struct {
	// Callback: it may mean a callback, in another spelling of its path.
	Callback bool
	// Suffixed are the callbacks whose path the request has with something after it
	// that some servers read as no part of it: further segments (path-info), or an
	// extension. Such a path may as well be one of the application's own.
	Suffixed []routetable.Match
}

// Index is built once per table and then only read.
type Index struct {
	// hosts are the claims of each host, and all of them for anyHost.
	hosts map[string]*hostClaims
}

type hostClaims struct {
	all []*claim
	// paths finds claims by their folded path, stems by their path without extension.
	paths, stems map[string][]*claim
}

// claim is a claim in one reading of its path.
type claim struct {
	segments []string
	isPrefix bool
	// query are the folded parameters that a request needs.
	query []routetable.Parameter
	match routetable.Match
}

// NewIndex indexes all that routes and holds of a table claim.
func NewIndex(t *routetable.Table) *Index {
	x := &Index{hosts: map[string]*hostClaims{}}
	for i := range t.Routes {
		route := &t.Routes[i]
		for c := range route.Callbacks {
			for _, host := range route.Hostnames {
				callback := &route.Callbacks[c]
				x.add(routetable.Claim{Host: host, PathType: callback.PathType, Path: callback.Path, Query: callback.Query},
					routetable.Match{Route: route, Callback: callback})
			}
		}
	}
	for i := range t.Holds {
		for _, held := range t.Holds[i].Claims {
			x.add(held, routetable.Match{Hold: &t.Holds[i]})
		}
	}
	return x
}

func (x *Index) add(of routetable.Claim, match routetable.Match) {
	readings, legible := fold(nil, of.Path)
	if !legible {
		return // only its own bytes mean it, and those the table's matcher finds
	}
	for _, r := range readings {
		added := &claim{segments: r.segments, isPrefix: of.PathType == routetable.Prefix, query: foldQuery(of.Query), match: match}
		path := joinSegments(r.segments)
		for _, host := range [...]string{of.Host, anyHost} {
			h := x.hosts[host]
			if h == nil {
				h = &hostClaims{paths: map[string][]*claim{}, stems: map[string][]*claim{}}
				x.hosts[host] = h
			}
			h.all = append(h.all, added)
			h.paths[path] = append(h.paths[path], added)
			if stem := stemOf(path); stem != "/" {
				h.stems[stem] = append(h.stems[stem], added)
			}
		}
	}
}

// Read returns what a request for this Host, this raw path and this raw query may
// mean, other than by the very bytes that are declared. A Host that is no hostname
// may mean every host.
func (x *Index) Read(host, path, query string) Reading {
	if x == nil {
		return Reading{Callback: true}
	}
	canonical, ok := routetable.CanonicalHost(host)
	if !ok {
		canonical = anyHost
	}
	h := x.hosts[canonical]
	if h == nil {
		return Reading{}
	}
	var usual [1]reading
	readings, legible := fold(usual[:0], path)
	if !legible {
		return Reading{Callback: true}
	}
	var result Reading
	for i := range readings {
		if readings[i].several {
			h.readSeveral(&result, readings[i].segments, query)
		} else {
			h.readOne(&result, joinSegments(readings[i].segments), query)
		}
	}
	return result
}

func joinSegments(segments []string) string { return "/" + strings.Join(segments, "/") }

// readOne reads a path of one reading: it and each path above it.
func (h *hostClaims) readOne(result *Reading, path, query string) {
	for above := path; ; {
		for _, c := range h.paths[above] {
			result.Callback = result.Callback || (c.isPrefix || above == path) && c.mayHave(query)
		}
		for _, c := range h.stems[stemOf(above)] {
			if c.mayHave(query) {
				result.Suffixed = append(result.Suffixed, c.match)
			}
		}
		if above == "/" {
			return
		}
		above = above[:max(strings.LastIndexByte(above, '/'), 1)]
	}
}

// readSeveral reads a path of which a server may drop any segment; those that it
// keeps stay in order.
func (h *hostClaims) readSeveral(result *Reading, segments []string, query string) {
	for _, c := range h.all {
		if !c.mayHave(query) {
			continue
		}
		switch {
		case isSubsequence(c.segments, segments, false):
			result.Callback = true
		case isSubsequence(c.segments, segments, true):
			result.Suffixed = append(result.Suffixed, c.match)
		}
	}
}

// isSubsequence reports whether all, with some segments dropped, can be wanted
// or begin with it. With stems, the last segments are compared without their
// extensions.
func isSubsequence(wanted, all []string, stems bool) bool { //nolint:revive // how the last segment is compared
	for _, segment := range all {
		if len(wanted) == 0 {
			break
		}
		if segment == wanted[0] || stems && len(wanted) == 1 && stemOf(segment) == stemOf(wanted[0]) {
			wanted = wanted[1:]
		}
	}
	return len(wanted) == 0
}

// maxExtension is the length of the longest extension, in bytes.
const maxExtension = 8

// stemOf returns a folded path without the extension of its last segment: a dot, a
// letter, and letters or digits.
func stemOf(path string) string {
	dot := strings.LastIndexByte(path, '.')
	if dot <= strings.LastIndexByte(path, '/')+1 || len(path)-dot-1 > maxExtension || dot+1 == len(path) {
		return path
	}
	for i, c := range []byte(path[dot+1:]) {
		if c-'a' > 25 && (i == 0 || c-'0' > 9) {
			return path
		}
	}
	return path[:dot]
}

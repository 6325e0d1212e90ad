// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"encoding/hex"
	"strings"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// anyHost stands for every host of a table. It is reserved (RFC 6761 section
// 6.4); who asks for it is treated as one whose Host cannot be read.
const anyHost = "any.invalid"

// callbackIndex knows of a request whether it may mean a callback of a table,
// in any reading of its target that a server is known to have. It says yes too
// often rather than too seldom: the gate answers then. Built once per table
// and then only read. Pure.
type callbackIndex struct {
	table *routetable.Table
	// folded finds routes by what readPath makes of their paths.
	folded *routetable.Matcher
	// segments are the same paths, of each host and of anyHost.
	segments map[string][][]string
}

func newCallbackIndex(t *routetable.Table) *callbackIndex {
	index := &callbackIndex{table: t, segments: map[string][][]string{}}
	folded := &routetable.Table{Routes: make([]routetable.Route, len(t.Routes))}
	for i := range t.Routes {
		route, to := &t.Routes[i], &folded.Routes[i]
		segments, _ := readPath(route.Path)
		to.PathType, to.Path = route.PathType, "/"+strings.Join(segments, "/")
		to.Hostnames = append([]string{anyHost}, route.Hostnames...)
		for _, host := range to.Hostnames {
			index.segments[host] = append(index.segments[host], segments)
		}
	}
	index.folded = routetable.NewMatcher(folded)
	return index
}

// mayMean reports whether a request for this Host and this raw path may mean a
// callback. A Host that is no hostname may mean every host.
func (c *callbackIndex) mayMean(host, path string) bool {
	canonical, ok := routetable.CanonicalHost(host)
	if !ok {
		canonical = anyHost
	}
	routes := c.segments[canonical]
	if len(routes) == 0 {
		return false
	}
	segments, meanings := readPath(path)
	switch meanings {
	case one:
		_, found := c.folded.Match(canonical, "/"+strings.Join(segments, "/"))
		return found
	case several:
		// Whatever a server drops of a path, what it keeps stays in order.
		for _, route := range routes {
			if isSubsequence(route, segments) {
				return true
			}
		}
		return false
	case illegible:
	}
	return true
}

// reading says how many meanings a path has.
type reading int

const (
	one       reading = iota
	several           // any of them is made of some of the segments, in order
	illegible         // nobody means something good by it
)

// readPath returns the segments of a path in a form in which two that some
// server takes for the same are the same: decoded, in lower case, without
// parameters, without dots and spaces at their end. One slash at the end of a
// path means nothing.
func readPath(path string) ([]string, reading) {
	decoded, ok := decodePath(path)
	if !ok {
		return nil, illegible
	}
	meanings := one
	if strings.ContainsAny(decoded, `;?#\%`) || strings.Count(decoded, "/") != strings.Count(path, "/") {
		meanings = several
	}
	decoded = strings.ReplaceAll(decoded, `\`, "/")
	decoded = strings.TrimSuffix(strings.TrimPrefix(decoded, "/"), "/")
	if decoded == "" {
		return nil, meanings
	}
	segments := make([]string, 0, 8)
	for segment := range strings.SplitSeq(decoded, "/") {
		if cut := strings.IndexAny(segment, ";?#"); cut >= 0 {
			segment = segment[:cut]
		}
		segment = strings.ToLower(strings.TrimRight(segment, ". "))
		if segment == "" {
			meanings = several // it was ".", "..", or nothing
			continue
		}
		segments = append(segments, segment)
	}
	return segments, meanings
}

// maxDecoding is how often a path is decoded. What is escaped more often is no
// honest path.
const maxDecoding = 3

// decodePath resolves escapes until there are none. It reports false for a path
// with control characters: some servers drop them, others end the path there.
func decodePath(path string) (string, bool) {
	for range maxDecoding {
		next, found := unescape(path)
		if !found {
			break
		}
		path = next
	}
	if _, found := unescape(path); found {
		return "", false
	}
	for i := range len(path) {
		if path[i] < ' ' || path[i] == 0x7f {
			return "", false
		}
	}
	return path, true
}

// unescape resolves escapes once and reports whether there was one. What is no
// escape stays as it is.
func unescape(s string) (string, bool) {
	percent := strings.IndexByte(s, '%')
	if percent < 0 {
		return s, false
	}
	out, found := append(make([]byte, 0, len(s)), s[:percent]...), false
	for i := percent; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if b, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				out, found = append(out, b...), true
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out), found
}

// isSubsequence reports whether what is left of all, when some of it is
// dropped, can be wanted or begin with it.
func isSubsequence(wanted, all []string) bool {
	for _, segment := range all {
		if len(wanted) == 0 {
			break
		}
		if segment == wanted[0] {
			wanted = wanted[1:]
		}
	}
	return len(wanted) == 0
}

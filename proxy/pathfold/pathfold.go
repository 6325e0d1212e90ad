// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pathfold finds the requests that may mean a callback, in any reading
// of their target that a server is known to have. In: a table, then hosts and
// raw paths; out: yes or no. A wrong yes gets a request the gate's response
// instead of the application's; a wrong no hands a callback to the application,
// so a doubtful path is a yes. Pure.
package pathfold

import (
	"encoding/hex"
	"strings"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// anyHost stands for every host of a table. It is reserved (RFC 6761 section
// 6.4); a request for it is treated as one whose Host cannot be read.
const anyHost = "any.invalid"

// Index is built once per table and then only read.
type Index struct {
	// folded finds claims by their folded path.
	folded *routetable.Matcher
	// segments are the same paths, of each host and of anyHost.
	segments map[string][][]string
}

// NewIndex indexes all that routes and holds of a table claim.
func NewIndex(t *routetable.Table) *Index {
	x := &Index{segments: map[string][][]string{}}
	var all routetable.Hold // the matcher needs no route, only the claims
	add := func(claims []routetable.Claim) {
		for _, claim := range claims {
			segments, readings := fold(claim.Path)
			if readings == illegible {
				continue // only its own bytes mean it, and those the table's matcher finds
			}
			for _, host := range [...]string{claim.Host, anyHost} {
				x.segments[host] = append(x.segments[host], segments)
				all.Claims = append(all.Claims, routetable.Claim{Host: host, PathType: claim.PathType, Path: "/" + strings.Join(segments, "/")})
			}
		}
	}
	for i := range t.Routes {
		add(t.Routes[i].Claims())
	}
	for i := range t.Holds {
		add(t.Holds[i].Claims)
	}
	x.folded = routetable.NewMatcher(&routetable.Table{Holds: []routetable.Hold{all}})
	return x
}

// MayMean reports whether a request for this Host and this raw path may mean a
// callback, other than by the very bytes that are declared. A Host that is no
// hostname may mean every host.
func (x *Index) MayMean(host, path string) bool {
	if x == nil {
		return true
	}
	canonical, ok := routetable.CanonicalHost(host)
	if !ok {
		canonical = anyHost
	}
	claims := x.segments[canonical]
	if len(claims) == 0 {
		return false
	}
	segments, readings := fold(path)
	switch readings {
	case one:
		_, found := x.folded.Match(canonical, "/"+strings.Join(segments, "/"))
		return found
	case several:
		// A server may drop any segment; those that it keeps stay in order.
		for _, claim := range claims {
			if isSubsequence(claim, segments) {
				return true
			}
		}
		return false
	case illegible:
	}
	return true
}

// readings is how many readings a path has.
type readings int

const (
	one       readings = iota
	several            // each is made of some of the segments, in order
	illegible          // no honest client sends it
)

// fold returns the segments of a path in a form in which two that some server
// takes for the same are the same: decoded, in lower case, without parameters,
// without dots and spaces at their end. One slash at the end of a path means
// nothing.
func fold(path string) ([]string, readings) {
	decoded, ok := decodeFully(path)
	if !ok {
		return nil, illegible
	}
	count := one
	if strings.ContainsAny(decoded, `;?#\%`) || strings.Count(decoded, "/") != strings.Count(path, "/") {
		count = several
	}
	decoded = strings.ReplaceAll(decoded, `\`, "/")
	decoded = strings.TrimSuffix(strings.TrimPrefix(decoded, "/"), "/")
	if decoded == "" {
		return nil, count
	}
	segments := make([]string, 0, 8)
	for segment := range strings.SplitSeq(decoded, "/") {
		if cut := strings.IndexAny(segment, ";?#"); cut >= 0 {
			segment = segment[:cut]
		}
		segment = strings.ToLower(strings.TrimRight(segment, ". "))
		if segment == "" {
			count = several // it was ".", "..", or empty
			continue
		}
		segments = append(segments, segment)
	}
	return segments, count
}

// maxDecoding is how often a path is decoded. No honest client escapes more
// often.
const maxDecoding = 3

// decodeFully resolves escapes until there are none. It reports false for a path
// that has more, and for one with control characters: some servers drop them,
// others end the path there.
func decodeFully(path string) (string, bool) {
	for range maxDecoding {
		next, found := decodeOnce(path)
		if !found {
			break
		}
		path = next
	}
	if _, found := decodeOnce(path); found {
		return "", false
	}
	for i := range len(path) {
		if path[i] < ' ' || path[i] == 0x7f {
			return "", false
		}
	}
	return path, true
}

// decodeOnce resolves escapes once and reports whether there was one. A percent
// sign without two digits stays as it is.
func decodeOnce(s string) (string, bool) {
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

// isSubsequence reports whether all, with some segments dropped, can be wanted
// or begin with it.
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

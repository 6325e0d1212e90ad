// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

// match.go: the owner of a host, a path and a query.

import "strings"

// Matcher finds the route or the hold of a request. It is built once per table
// and then only read.
type Matcher struct {
	hosts map[string]*hostMatches
}

// Match is the owner of a request's host, path and query: either a route and one of its
// callbacks, or a hold.
type Match struct {
	Route    *Route
	Callback *Callback
	Hold     *Hold
}

type hostMatches struct {
	exact  map[string]*pathEntry
	prefix map[string]Match
	// longest is the length of the longest Prefix in bytes: a longer path is
	// never looked up whole, so it costs no more than a declared one.
	longest int
}

// NewMatcher indexes a valid table. Routes and holds are not copied.
func NewMatcher(t *Table) *Matcher {
	m := &Matcher{hosts: make(map[string]*hostMatches)}
	for i := range t.Routes {
		route := &t.Routes[i]
		for _, host := range route.Hostnames {
			for c := range route.Callbacks {
				callback := &route.Callbacks[c]
				m.add(callback.claimOn(host), Match{Route: route, Callback: callback})
			}
		}
	}
	for i := range t.Holds {
		for _, claim := range t.Holds[i].Claims {
			m.add(claim, Match{Hold: &t.Holds[i]})
		}
	}
	for _, h := range m.hosts {
		for _, entry := range h.exact {
			entry.index()
		}
	}
	return m
}

func (m *Matcher) add(claim Claim, match Match) {
	h := m.hosts[claim.Host]
	if h == nil {
		h = &hostMatches{exact: map[string]*pathEntry{}, prefix: map[string]Match{}}
		m.hosts[claim.Host] = h
	}
	if claim.PathType == Prefix {
		h.prefix[claim.Path] = match
		h.longest = max(h.longest, len(claim.Path))
		return
	}
	entry := h.exact[claim.Path]
	if entry == nil {
		entry = &pathEntry{}
		h.exact[claim.Path] = entry
	}
	if claim.Query == "" {
		entry.plain = match
	} else {
		entry.alternatives = append(entry.alternatives, alternative{query: claim.Query, match: match})
	}
}

// Match returns the owner of a request's Host, as it came, the raw bytes of its
// path and its raw query. Exact beats Prefix, a longer Prefix beats a shorter one,
// and a Prefix owns whole segments only. Among the Exact callbacks of a path, the
// one with the most query parameters that the request has is first.
func (m *Matcher) Match(host, path, query string) (Match, bool) {
	h := m.host(host)
	if h == nil {
		return Match{}, false
	}
	if match, found := h.findExact(path, query); found {
		return match, true
	}
	return h.longestPrefix(path)
}

// MatchExact returns the owner of a request only if its raw path is declared as
// an Exact path of its host, with no query parameters or with those that the
// request has.
func (m *Matcher) MatchExact(host, path, query string) (Match, bool) {
	h := m.host(host)
	if h == nil {
		return Match{}, false
	}
	return h.findExact(path, query)
}

func (h *hostMatches) findExact(path, query string) (Match, bool) {
	entry := h.exact[path]
	if entry == nil {
		return Match{}, false
	}
	return entry.find(query)
}

// HasHost reports whether any claim is on a request's Host, as it came.
func (m *Matcher) HasHost(host string) bool { return m.host(host) != nil }

func (m *Matcher) host(raw string) *hostMatches {
	host, ok := CanonicalHost(raw)
	if !ok {
		return nil
	}
	return m.hosts[host]
}

// longestPrefix looks up the path, then each path above it, segment by segment.
func (h *hostMatches) longestPrefix(path string) (Match, bool) {
	for path != "" && h.longest > 0 {
		if len(path) <= h.longest {
			if match, found := h.prefix[path]; found {
				return match, true
			}
		}
		slash := strings.LastIndexByte(path[:min(len(path), h.longest+1)], '/')
		if slash < 0 || path == "/" {
			break
		}
		path = path[:max(slash, 1)]
	}
	return Match{}, false
}

// CanonicalHost returns the form of a request's Host in which hostnames are
// declared: lower case, without port, without one trailing dot. It reports
// false when there is no such form, as for an IPv6 literal.
func CanonicalHost(raw string) (string, bool) {
	host := raw
	if colon := strings.IndexByte(host, ':'); colon >= 0 {
		if !isPort(host[colon+1:]) {
			return "", false
		}
		host = host[:colon]
	}
	host = strings.TrimSuffix(host, ".")
	host = lower(host)
	return host, isHostname(host)
}

// isPort allows an empty port, as RFC 3986 section 3.2.3 does.
func isPort(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) <= 5
}

// lower maps ASCII letters only: what else there is makes no hostname.
func lower(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				if 'A' <= b[j] && b[j] <= 'Z' {
					b[j] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

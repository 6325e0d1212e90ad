// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

import "strings"

// Matcher finds the route of a request. It is built once per table and then
// only read.
type Matcher struct {
	hosts map[string]*hostRoutes
}

type hostRoutes struct {
	exact  map[string]*Route
	prefix map[string]*Route
	// longest is the length of the longest Prefix in bytes: what is longer is
	// never looked up, so a long path costs no more than a declared one.
	longest int
}

// NewMatcher indexes a valid table. The routes are not copied.
func NewMatcher(t *Table) *Matcher {
	m := &Matcher{hosts: make(map[string]*hostRoutes)}
	for i := range t.Routes {
		route := &t.Routes[i]
		for _, host := range route.Hostnames {
			h := m.hosts[host]
			if h == nil {
				h = &hostRoutes{exact: map[string]*Route{}, prefix: map[string]*Route{}}
				m.hosts[host] = h
			}
			if route.PathType == Prefix {
				h.prefix[route.Path] = route
				h.longest = max(h.longest, len(route.Path))
			} else {
				h.exact[route.Path] = route
			}
		}
	}
	return m
}

// Match returns the route for a request's Host, as it came, and the raw bytes
// of its path. Exact beats Prefix, a longer Prefix beats a shorter one, and a
// Prefix owns whole segments only.
func (m *Matcher) Match(host, path string) (*Route, bool) {
	host, ok := CanonicalHost(host)
	if !ok {
		return nil, false
	}
	h := m.hosts[host]
	if h == nil {
		return nil, false
	}
	if route, found := h.exact[path]; found {
		return route, true
	}
	return h.longestPrefix(path)
}

// longestPrefix looks the path up, then what is above it, segment by segment.
func (h *hostRoutes) longestPrefix(path string) (*Route, bool) {
	for path != "" && h.longest > 0 {
		if len(path) <= h.longest {
			if route, found := h.prefix[path]; found {
				return route, true
			}
		}
		slash := strings.LastIndexByte(path[:min(len(path), h.longest+1)], '/')
		if slash < 0 || path == "/" {
			break
		}
		path = path[:max(slash, 1)]
	}
	return nil, false
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

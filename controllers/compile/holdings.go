// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"strings"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// holdings are the callbacks that accepted routes hold.
type holdings struct {
	claims map[routetable.Claim]holder
}

// holder is the route that holds a callback, and when it was created.
type holder struct {
	namespace, id string
	created       time.Time
}

func newHoldings() *holdings {
	return &holdings{claims: map[routetable.Claim]holder{}}
}

func (h *holdings) add(r *routetable.Route, created time.Time) {
	for _, claim := range r.Claims() {
		h.claims[claim] = holder{namespace: r.Namespace, id: r.ID(), created: created}
	}
}

// conflict returns the first claim that stands in the way of a route. That is
// the same callback, and, between namespaces that share a host, every Prefix
// above it as well: whoever holds /saml first holds what is below it, and no
// neighbour can cut a piece out of it later.
func (h *holdings) conflict(r *routetable.Route) (claim routetable.Claim, by holder, taken bool) {
	for _, own := range r.Claims() {
		if by, found := h.claims[own]; found {
			return own, by, true
		}
		for _, prefix := range prefixesOf(own.Path) {
			above := routetable.Claim{Host: own.Host, PathType: routetable.Prefix, Path: prefix}
			if by, found := h.claims[above]; found && by.namespace != r.Namespace {
				return above, by, true
			}
		}
	}
	return routetable.Claim{}, holder{}, false
}

// prefixesOf returns a path and what is above it, segment by segment:
// /a/b gives /a/b, /a and /.
func prefixesOf(path string) []string {
	var prefixes []string
	for path != "/" && path != "" {
		prefixes = append(prefixes, path)
		path = path[:strings.LastIndexByte(path, '/')]
	}
	return append(prefixes, "/")
}

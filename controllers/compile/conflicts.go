// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"strings"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// claims are the callbacks that accepted routes hold.
type claims struct {
	holders map[routetable.Claim]holder
}

// holder is the route that holds a callback, and when it was created.
type holder struct {
	namespace, id string
	created       time.Time
}

func newClaims() *claims {
	return &claims{holders: map[routetable.Claim]holder{}}
}

func (c *claims) add(r *routetable.Route, created time.Time) {
	for _, claim := range r.Claims() {
		c.holders[claim] = holder{namespace: r.Namespace, id: r.ID(), created: created}
	}
}

// conflict returns the first claim that stands in the way of a route. That is
// the same callback, and, between namespaces that share a host, every Prefix
// above it as well: whoever holds /saml first holds what is below it, and no
// neighbour can cut a piece out of it later.
func (c *claims) conflict(r *routetable.Route) (claim routetable.Claim, by holder, taken bool) {
	for _, own := range r.Claims() {
		if by, found := c.holders[own]; found {
			return own, by, true
		}
		for _, prefix := range prefixesOf(own.Path) {
			above := routetable.Claim{Host: own.Host, PathType: routetable.Prefix, Path: prefix}
			if by, found := c.holders[above]; found && by.namespace != r.Namespace {
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

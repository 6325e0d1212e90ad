// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// forward.go: the field lines that a client gets.

import (
	"net/http"
	"strconv"

	"github.com/callbackproxy/callback-operator/proxy/forwarding"
	"github.com/callbackproxy/callback-operator/proxy/http1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/usage"
)

// responseLines appends the field lines of a backend's response for the client.
// On responses to callbacks the proxy sets a policy for caching and referrers
// when the backend set none: the address of such a page holds an authorization
// code. (With no-referrer, browsers would send "Origin: null" with a form on that
// page, which applications refuse.)
func responseLines(lines []string, from *http1.Response, r *routetable.Route, kind usage.Kind) []string {
	lines = forwarding.AppendResponse(lines, from, "sunset", "deprecation")
	if kind == usage.Callback {
		if from.Fields.Get("cache-control") == "" {
			lines = append(lines, "Cache-Control: no-store")
		}
		if from.Fields.Get("referrer-policy") == "" {
			lines = append(lines, "Referrer-Policy: strict-origin")
		}
	}
	return sunsetLines(lines, r, from)
}

// sunsetLines appends when the route ends: RFC 8594 and RFC 9745. The route's
// values replace the backend's own, links are added to the backend's.
func sunsetLines(lines []string, r *routetable.Route, from *http1.Response) []string {
	lines = append(lines, "Sunset: "+r.Sunset.UTC().Format(http.TimeFormat))
	switch {
	case !r.Deprecation.IsZero():
		lines = append(lines, "Deprecation: @"+strconv.FormatInt(r.Deprecation.Unix(), 10))
	case from != nil && from.Fields.Get("deprecation") != "":
		lines = append(lines, "Deprecation: "+from.Fields.Get("deprecation"))
	}
	if r.InfoURL == "" {
		return lines
	}
	lines = append(lines, "Link: <"+r.InfoURL+`>; rel="sunset"`)
	if !r.Deprecation.IsZero() {
		lines = append(lines, "Link: <"+r.InfoURL+`>; rel="deprecation"`)
	}
	return lines
}

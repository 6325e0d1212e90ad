// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// forward.go: the fields that a backend and a client get.

import (
	"maps"
	"net/http"
	"strconv"

	"github.com/callbackproxy/callback-operator/proxy/forwarding"
	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
)

// origin holds what the proxy adds to a request.
type origin struct {
	forwarding.Origin
	requestID, via string
}

// newRequest returns what the backends receive: the request as it came but for
// the fields that only a proxy may set. They are set last, so no field of the
// request can remove them. Target and Host are those of a backend, see
// addressTo.
func newRequest(r *http.Request, body []byte, from origin) *upstream.Request {
	header := make(http.Header, len(r.Header)+5)
	for name, values := range forwarding.EndToEnd(r.Header) {
		if !forwarding.IsClaim(name) {
			header[name] = values
		}
	}
	header["X-Forwarded-For"] = []string{from.For}
	header["X-Forwarded-Host"] = []string{r.Host}
	header["X-Forwarded-Proto"] = []string{from.Proto}
	header["X-Request-Id"] = []string{from.requestID}
	header["Via"] = []string{from.via}
	return &upstream.Request{Method: r.Method, Header: header, Body: body}
}

// addressTo returns the request as one backend receives it: backends differ in
// the Host and in the path of the callback.
func addressTo(b *routetable.Backend, callback string, out *upstream.Request, r *http.Request) *upstream.Request {
	to := *out
	to.Target, to.Host = r.RequestURI, r.Host
	if b.Host != "" {
		to.Host = b.Host
	}
	if path := b.PathOf(callback); path != "" {
		to.Target = path
		if _, query, found := gate.SplitTarget(r.RequestURI); found {
			to.Target += "?" + query
		}
	}
	return &to
}

// copyResponseHeader hands on the header of a backend's response. (net/http
// drops a Connection field that holds "close" with all its other options.) The
// proxy sets a policy for caching and referrers when the backend set none: the
// address of this page holds an authorization code.
func copyResponseHeader(to, from http.Header, r *routetable.Route) {
	maps.Insert(to, forwarding.EndToEnd(from))
	if _, found := to["Content-Type"]; !found {
		to["Content-Type"] = nil // keeps net/http from guessing one
	}
	if len(to["Cache-Control"]) == 0 {
		to["Cache-Control"] = []string{"no-store"}
	}
	if len(to["Referrer-Policy"]) == 0 {
		to["Referrer-Policy"] = []string{"no-referrer"}
	}
	announceSunset(to, r)
}

// announceSunset sets when the route ends: RFC 8594 and RFC 9745. The route's
// values replace the backend's own, links are added to the backend's.
func announceSunset(h http.Header, r *routetable.Route) {
	h["Sunset"] = []string{r.Sunset.UTC().Format(http.TimeFormat)}
	if !r.Deprecation.IsZero() {
		h["Deprecation"] = []string{"@" + strconv.FormatInt(r.Deprecation.Unix(), 10)}
	}
	if r.InfoURL == "" {
		return
	}
	links := append(make([]string, 0, len(h["Link"])+2), h["Link"]...)
	links = append(links, "<"+r.InfoURL+`>; rel="sunset"`)
	if !r.Deprecation.IsZero() {
		links = append(links, "<"+r.InfoURL+`>; rel="deprecation"`)
	}
	h["Link"] = links
}

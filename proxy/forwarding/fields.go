// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package forwarding holds the rules for header fields between two connections,
// for callbacks and for requests that are passed to an application. In: a
// request; out: which of its fields end here, and the fields about the client for
// the next server. Pure.
package forwarding

import (
	"net/http"
	"strings"
)

// hopByHop are the fields that belong to one connection, RFC 9110 section
// 7.6.1, and those that are of use to their first reader only.
var hopByHop = map[string]struct{}{
	"Connection": {}, "Keep-Alive": {}, "Proxy-Connection": {}, "Te": {}, "Trailer": {},
	"Transfer-Encoding": {}, "Upgrade": {}, "Http2-Settings": {},
}

// claims are the fields of a proxy about the client and its connection. A client that sends them itself lies (RFC 9700 section 4.13).
var claims = map[string]struct{}{
	"Forwarded": {}, "X-Forwarded": {}, "Via": {}, "X-Request-Id": {}, "X-Real-Ip": {}, "X-Real-Port": {},
	"X-Client-Ip": {}, "X-Cluster-Client-Ip": {}, "True-Client-Ip": {}, "Cf-Connecting-Ip": {},
	"Client-Cert": {}, "Client-Cert-Chain": {}, "Remote-User": {}, "X-Remote-User": {},
	// CGI makes an HTTP_PROXY variable of it, which HTTP clients obey.
	"Proxy": {},
	// Framing is the proxy's own on each side, and 100 Continue is not relayed.
	"Content-Length": {}, "Expect": {}, "Host": {},
}

var claimPrefixes = []string{
	"X-Forwarded-", "X-Original-", "X-Rewrite-", "Proxy-", "X-Client-Cert", "X-Ssl-", "Ssl-Client-", "X-Amzn-Mtls-",
}

// IsClaim reports whether only a proxy may set a field, by its canonical name.
func IsClaim(name string) bool {
	if _, found := claims[name]; found {
		return true
	}
	if name[0] != 'X' && name[0] != 'P' && name[0] != 'S' {
		return false
	}
	for _, prefix := range claimPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// IsAboutClient reports whether a field is about the client, also when it is
// spelled with underscores, which many servers read as hyphens.
func IsAboutClient(name string) bool {
	if strings.IndexByte(name, '_') >= 0 {
		name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
	}
	switch name {
	case "Via", "X-Request-Id", "Content-Length", "Expect", "Host":
		return false // not about the client, or not sent on as it is
	}
	return IsClaim(name)
}

// EndToEnd yields the fields of a header that do not end at this connection,
// those left out that Connection names.
func EndToEnd(h http.Header) func(yield func(name string, values []string) bool) {
	options := connectionOptions(h)
	return func(yield func(string, []string) bool) {
		for name, values := range h {
			_, hop := hopByHop[name]
			_, named := options[name]
			if !hop && !named && !yield(name, values) {
				return
			}
		}
	}
}

// connectionOptions returns the canonical names that Connection declares to be
// hop-by-hop.
func connectionOptions(h http.Header) map[string]struct{} {
	values := h["Connection"]
	if len(values) == 0 {
		return nil
	}
	options := make(map[string]struct{})
	for _, value := range values {
		for option := range strings.SplitSeq(value, ",") {
			if option = strings.TrimSpace(option); option != "" {
				options[http.CanonicalHeaderKey(option)] = struct{}{}
			}
		}
	}
	return options
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
)

// hopByHop are the fields that belong to one connection, RFC 9110 section
// 7.6.1, and those that only make sense to whoever reads them first.
var hopByHop = map[string]struct{}{
	"Connection": {}, "Keep-Alive": {}, "Proxy-Connection": {}, "Te": {}, "Trailer": {},
	"Transfer-Encoding": {}, "Upgrade": {}, "Http2-Settings": {},
}

// claims are the fields by which a proxy tells a backend who asks and how. A
// client that sends them itself lies (RFC 9700 section 4.13).
var claims = map[string]struct{}{
	"Forwarded": {}, "X-Forwarded": {}, "Via": {}, "X-Request-Id": {}, "X-Real-Ip": {}, "X-Real-Port": {},
	"X-Client-Ip": {}, "X-Cluster-Client-Ip": {}, "True-Client-Ip": {}, "Cf-Connecting-Ip": {},
	"Client-Cert": {}, "Client-Cert-Chain": {}, "Remote-User": {}, "X-Remote-User": {},
	// CGI makes an HTTP_PROXY variable of it, which HTTP clients obey.
	"Proxy": {},
	// Framing is our own on each side, and nobody is asked to continue.
	"Content-Length": {}, "Expect": {}, "Host": {},
}

var claimPrefixes = []string{
	"X-Forwarded-", "X-Original-", "X-Rewrite-", "Proxy-", "X-Client-Cert", "X-Ssl-", "Ssl-Client-", "X-Amzn-Mtls-",
}

func isClaim(name string) bool {
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

// newRequest returns what the backend receives: the request as it came but
// for the fields that only a proxy may set. They are set last, so nothing in
// the request can take them away again.
func newRequest(r *http.Request, body []byte, b *routetable.Backend, from origin) *upstream.Request {
	options := connectionOptions(r.Header)
	header := make(http.Header, len(r.Header)+5)
	for name, values := range r.Header {
		_, hop := hopByHop[name]
		_, named := options[name]
		if !hop && !named && !isClaim(name) {
			header[name] = values
		}
	}
	header["X-Forwarded-For"] = []string{from.forwardedFor}
	header["X-Forwarded-Host"] = []string{r.Host}
	header["X-Forwarded-Proto"] = []string{from.proto}
	header["X-Request-Id"] = []string{from.requestID}
	header["Via"] = []string{from.via}

	return addressed(&upstream.Request{Method: r.Method, Header: header, Body: body}, r, b)
}

// addressed returns the request as another backend receives it: what differs
// between backends is the Host and the path.
func addressed(out *upstream.Request, r *http.Request, b *routetable.Backend) *upstream.Request {
	to := *out
	to.Target, to.Host = r.RequestURI, r.Host
	if b.Host != "" {
		to.Host = b.Host
	}
	if b.Path != "" {
		to.Target = b.Path
		if _, query, found := gate.SplitTarget(r.RequestURI); found {
			to.Target += "?" + query
		}
	}
	return &to
}

// origin is what the backend is told of where a request came from.
type origin struct {
	forwardedFor string
	proto        string
	requestID    string
	via          string
	// trusted is true when the peer is: what it says of its own client holds.
	trusted bool
}

// originOf reads the peer's address and, when the table trusts the peer, what
// the peer says of its own client.
func originOf(r *http.Request, s *Snapshot, requestID, via string) origin {
	from := origin{proto: "http", requestID: requestID, via: via}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		from.forwardedFor = "unknown" // RFC 7239 section 6.2
		return from
	}
	addr := peer.Addr().Unmap().WithZone("")
	from.forwardedFor = addr.String()
	if !s.trusts(addr) {
		return from
	}
	from.trusted = true
	if chain := strings.Join(r.Header["X-Forwarded-For"], ", "); chain != "" {
		from.forwardedFor = chain + ", " + from.forwardedFor
	}
	if proto := r.Header["X-Forwarded-Proto"]; len(proto) == 1 && (proto[0] == "http" || proto[0] == "https") {
		from.proto = proto[0]
	}
	return from
}

// pseudonymSuffix ends the names by which proxies of this kind know each other
// in Via.
const pseudonymSuffix = ".callbackproxy"

// maxVia is how many proxies of this kind a request may have passed.
const maxVia = 8

// viaOf returns the Via field to send: proxies of this kind that the request
// passed, and ourselves. It reports false for a request that passed here
// before. Other entries are not relayed, they may say anything.
func viaOf(r *http.Request, pseudonym string) (via string, ok bool) {
	var passed []string
	for _, value := range r.Header["Via"] {
		for entry := range strings.SplitSeq(value, ",") {
			fields := strings.Fields(entry)
			if len(fields) < 2 || !isPseudonym(fields[1]) {
				continue
			}
			if fields[1] == pseudonym || len(passed) == maxVia {
				return "", false
			}
			passed = append(passed, "1.1 "+fields[1])
		}
	}
	return strings.Join(append(passed, "1.1 "+pseudonym), ", "), true
}

func isPseudonym(s string) bool {
	if !strings.HasSuffix(s, pseudonymSuffix) || len(s) > 256 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// copyAnswerHeader hands on the header of a backend's answer. (net/http drops
// a Connection field that says "close" with all else that it says.) What the
// backend did not say about caching and referrers is said here: the address of
// this page holds an authorization code.
func copyAnswerHeader(to, from http.Header, r *routetable.Route) {
	options := connectionOptions(from)
	for name, values := range from {
		_, hop := hopByHop[name]
		_, named := options[name]
		if !hop && !named {
			to[name] = values
		}
	}
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

// announceSunset says when the route ends: RFC 8594 and RFC 9745. The route's
// word replaces the backend's own, links are added to the backend's.
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

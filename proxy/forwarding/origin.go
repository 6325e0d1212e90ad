// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package forwarding

// origin.go: the client of a request as the next server gets it.

import (
	"net/netip"
	"strings"

	"github.com/callbackproxy/callback-operator/proxy/http1"
)

// Origin describes the client of a request, and the address that it used, for
// the next server.
type Origin struct {
	// Trusted: the peer is a trusted proxy, so its own statements are kept.
	Trusted bool
	// Undeclared: no proxies are declared, so it is not known which peer is one.
	Undeclared bool
	// For and Proto are the values of X-Forwarded-For and X-Forwarded-Proto, Host
	// that of X-Forwarded-Host.
	For, Proto, Host string
	// forwarded is the value of Forwarded, RFC 7239.
	forwarded string
}

// OriginOf reads the peer's address and, when the peer is trusted, what it
// states about its own client. scheme is what the client used as far as the
// proxy knows, and host the Host that it used, for a peer that states none.
func OriginOf(r *http1.Request, peer netip.Addr, trusted bool, scheme, host string) Origin { //nolint:revive // a property of the peer
	o := Origin{Trusted: trusted, Proto: scheme, Host: host}
	node := "unknown" // RFC 7239 section 6.2
	o.For = node
	if peer = peer.Unmap().WithZone(""); peer.IsValid() {
		node = peer.String()
		o.For = node
		if peer.Is6() {
			node = `"[` + node + `]"`
		}
	}
	earlier := ""
	if trusted {
		chain, proto, hosts := "", "", ""
		for i := range r.Fields {
			switch f := &r.Fields[i]; {
			case f.Value == "":
			case f.Is("x-forwarded-for"):
				chain = join(chain, f.Value)
			case f.Is("forwarded"):
				earlier = join(earlier, f.Value)
			case f.Is("x-forwarded-proto"):
				proto = join(proto, f.Value)
			case f.Is("x-forwarded-host"):
				hosts = join(hosts, f.Value)
			}
		}
		if scheme, ok := schemeOf(proto); ok {
			o.Proto = scheme
		}
		if hosts != "" {
			o.Host = hosts
		}
		o.For = join(chain, o.For)
	}
	o.forwarded = join(earlier, "for="+node+`;host="`+host+`";proto=`+o.Proto)
	return o
}

func join(list, element string) string {
	if list == "" {
		return element
	}
	return list + ", " + element
}

// schemeOf returns the scheme that the first proxy of a chain stated, in lower
// case.
func schemeOf(value string) (string, bool) {
	first, _, _ := strings.Cut(value, ",")
	switch first = strings.TrimSpace(first); {
	case strings.EqualFold(first, "https"):
		return "https", true
	case strings.EqualFold(first, "http"):
		return "http", true
	}
	return "", false
}

// ClaimsHTTPS reports whether a request states, in X-Forwarded-Proto or in Forwarded
// (RFC 7239 section 5.4), that the first client used https.
func ClaimsHTTPS(r *http1.Request) bool {
	for i := range r.Fields {
		switch f := &r.Fields[i]; {
		case f.Is("x-forwarded-proto"):
			if scheme, _ := schemeOf(f.Value); scheme == "https" {
				return true
			}
		case f.Is("forwarded"):
			if claimsProto(f.Value) {
				return true
			}
		}
	}
	return false
}

// claimsProto reports whether the first element of Forwarded has the scheme https.
func claimsProto(value string) bool {
	first, _, _ := strings.Cut(value, ",")
	for pair := range strings.SplitSeq(first, ";") {
		name, scheme, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(name, "proto") && strings.EqualFold(strings.Trim(scheme, `"`), "https") {
			return true
		}
	}
	return false
}

// appendOwn appends the field lines about the client.
func (o *Origin) appendOwn(lines []string) []string {
	return append(lines,
		"X-Forwarded-For: "+o.For, "X-Forwarded-Host: "+o.Host, "X-Forwarded-Proto: "+o.Proto, "Forwarded: "+o.forwarded)
}

// pseudonymSuffix ends the pseudonyms of these proxies in Via.
const pseudonymSuffix = ".callbackproxy"

// Pseudonym names a fleet in Via.
func Pseudonym(namespace, name string) string { return name + "." + namespace + pseudonymSuffix }

// maxVia is how many proxies of this kind a request may have passed.
const maxVia = 8

// ViaOf returns the Via field to send: the proxies of this kind that the request
// passed, and this one. It reports false for a request that passed this one
// before. Other entries are not relayed, they may hold anything.
func ViaOf(r *http1.Request, pseudonym string) (via string, ok bool) {
	passed := 0
	for i := range r.Fields {
		if !r.Fields[i].Is("via") {
			continue
		}
		for entry := range strings.SplitSeq(r.Fields[i].Value, ",") {
			words := strings.Fields(entry)
			if len(words) < 2 || !isPseudonym(words[1]) {
				continue
			}
			if words[1] == pseudonym || passed == maxVia {
				return "", false
			}
			passed++
			via = join(via, "1.1 "+words[1])
		}
	}
	return join(via, "1.1 "+pseudonym), true
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

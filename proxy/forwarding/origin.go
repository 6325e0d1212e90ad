// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package forwarding

// origin.go: the client of a request as the next server gets it.

import (
	"net/http"
	"net/netip"
	"strings"
)

// Origin describes the client of a request for the next server.
type Origin struct {
	// For and Proto are the values of X-Forwarded-For and X-Forwarded-Proto.
	For   string
	Proto string
	// Trusted: the peer is a trusted proxy, so its own statements are kept.
	Trusted bool
}

// OriginOf reads the peer's address and, when the peer is trusted, what it
// states about its own client.
func OriginOf(r *http.Request, trusts func(netip.Addr) bool) Origin {
	from := Origin{Proto: "http"}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		from.For = "unknown" // RFC 7239 section 6.2
		return from
	}
	addr := peer.Addr().Unmap().WithZone("")
	from.For = addr.String()
	if !trusts(addr) {
		return from
	}
	from.Trusted = true
	if chain := strings.Join(r.Header["X-Forwarded-For"], ", "); chain != "" {
		from.For = chain + ", " + from.For
	}
	if proto := r.Header["X-Forwarded-Proto"]; len(proto) == 1 && (proto[0] == "http" || proto[0] == "https") {
		from.Proto = proto[0]
	}
	return from
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
func ViaOf(r *http.Request, pseudonym string) (via string, ok bool) {
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

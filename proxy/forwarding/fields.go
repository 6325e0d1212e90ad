// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package forwarding holds the rules for header fields between two connections,
// for callbacks and for requests that are passed to an application. In: a
// request or a response; out: the field lines for the next server or the client.
// Pure.
package forwarding

// fields.go: which fields end at this connection.

import (
	"strings"

	"github.com/callbackproxy/callback-operator/proxy/http1"
)

// fate is what becomes of a field of a request.
type fate int

const (
	relayed fate = iota
	// ours: the proxy sets it itself, or it belongs to one connection.
	ours
	// claim: a statement of a proxy about the client and its connection, or about
	// who the client is. A client that sends it itself lies (RFC 9700 section
	// 4.13), so it is relayed only from a trusted peer.
	claim
	// traced: a claim that an application's peer may send (Via, X-Request-Id).
	traced
	// expect is answered by the proxy, for callbacks.
	expect
)

// fates by name in lower case. It is the complete list besides the prefixes.
var fates = map[string]fate{
	// RFC 9110 section 7.6.1, and fields of use to their first reader only.
	"connection": ours, "keep-alive": ours, "proxy-connection": ours, "te": ours, "trailer": ours, "transfer-encoding": ours,
	"upgrade": ours, "http2-settings": ours, "content-length": ours, "host": ours,
	"expect": expect,
	// Set anew from the peer and from what a trusted peer states.
	"x-forwarded-for": ours, "x-forwarded-host": ours, "x-forwarded-proto": ours, "forwarded": ours,
	"via": traced, "x-request-id": traced,
	// Statements about the client's address and connection.
	"x-forwarded": claim, "x-real-ip": claim, "x-real-port": claim, "x-client-ip": claim, "x-cluster-client-ip": claim,
	"true-client-ip": claim, "cf-connecting-ip": claim, "cf-connecting-ipv6": claim, "fastly-client-ip": claim, "x-azure-clientip": claim,
	"x-azure-socketip": claim, "front-end-https": claim, "x-url-scheme": claim, "x-scheme": claim, "x-host": claim,
	"client-cert": claim, "client-cert-chain": claim,
	// Statements about who the client is, by the products that make them.
	"remote-user": claim, "x-remote-user": claim, "x-remote-group": claim, "x-user": claim, "x-userinfo": claim, "x-webauth-user": claim,
	"x-goog-iap-jwt-assertion": claim, "iv-user": claim, "iv-groups": claim, "iv-creds": claim, "iv-remote-address": claim,
	"sm-user": claim, "sm-userdn": claim, "sm-universalid": claim, "sm-serversessionid": claim, "ssl-client-cert": claim,
	"x-tailscale-user": claim, "x-vouch-user": claim, "x-consumer-username": claim, "x-credential-identifier": claim,
	// CGI makes an HTTP_PROXY variable of it, which HTTP clients obey.
	"proxy": ours,
	// Envoy obeys them: a client could make a mesh send its request twice.
	"x-envoy-retry-on": claim,
}

// claimPrefixes begin the names of claims, in lower case. Those of x-envoy-
// steer retries and timeouts of meshes.
var claimPrefixes = []string{
	"x-forwarded-", "x-original-", "x-rewrite-", "proxy-", "x-client-cert", "x-ssl-", "ssl-client-", "x-amzn-mtls-", "x-envoy-",
	"x-auth-request-", "x-amzn-oidc-", "x-ms-client-principal", "x-ms-token-", "x-goog-authenticated-user-", "cf-access-", "tailscale-user-",
	"x-authentik-", "x-pomerium-", "x-authelia-", "remote-", "oidc-claim-", "oidc-access-token", "oidc-id-token", "mellon-", "x-token-",
}

// envoy begins the names that are not even relayed from a trusted peer: a front
// must not make the hop behind this proxy repeat a request.
const envoy = "x-envoy-"

// pathFields name the path of the original request, which frameworks prefer to the
// request's own.
var pathFields = [...]string{"x-original-url", "x-original-uri", "x-rewrite-url", "x-forwarded-uri", "x-forwarded-path"}

// namesPath reports whether a field is one of pathFields, "_" being read as "-".
func namesPath(name string) bool {
	name = strings.ReplaceAll(name, "_", "-")
	return isAny(name, pathFields[:])
}

// maxName is how much of a name is looked up: all of a name in fates, and more
// than any prefix.
const maxName = 64

// fateOf decides about a field name in any spelling. With underscore, "_" in the
// name is read as "-", as many servers do.
func fateOf(name string, underscore bool) fate { //nolint:revive // how a name is read
	var lower [maxName]byte
	key := lower[:min(len(name), maxName)]
	for i := range key {
		c := name[i]
		if c-'A' < 26 {
			c += 'a' - 'A'
		} else if c == '_' && underscore {
			c = '-'
		}
		key[i] = c
	}
	if len(name) <= maxName {
		if fate, found := fates[string(key)]; found {
			return fate
		}
	}
	switch key[0] {
	case 'x', 'p', 's', 'c', 't', 'r', 'o', 'm':
		for _, prefix := range claimPrefixes {
			if len(key) >= len(prefix) && string(key[:len(prefix)]) == prefix {
				return claim
			}
		}
	}
	return relayed
}

// isEnvoy reports whether a name begins with envoy, "_" being read as "-".
func isEnvoy(name string) bool {
	if len(name) <= len(envoy) {
		return false
	}
	for i := range len(envoy) {
		c := name[i]
		if c == '_' {
			c = '-'
		}
		if c|0x20 != envoy[i]|0x20 {
			return false
		}
	}
	return true
}

// options are the names that Connection declares to belong to this connection.
type options []string

func optionsOf(fields http1.Fields) (o options) {
	for i := range fields {
		if !fields[i].Is("connection") {
			continue
		}
		for option := range strings.SplitSeq(fields[i].Value, ",") {
			option = strings.TrimSpace(option)
			if option != "" && !strings.EqualFold(option, "close") && !strings.EqualFold(option, "keep-alive") {
				o = append(o, option)
			}
		}
	}
	return o
}

func (o options) has(name string) bool {
	for _, option := range o {
		if len(option) == len(name) && strings.EqualFold(option, name) {
			return true
		}
	}
	return false
}

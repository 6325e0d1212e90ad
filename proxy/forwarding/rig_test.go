// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package forwarding

// rig_test.go: requests of tests, and the lists of fields that the tests expect.

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/callbackproxy/callback-operator/proxy/http1"
)

const host = "auth.acme.com"

var peer = netip.MustParseAddr("192.0.2.1")

// fieldsOf are fields with these lines.
func fieldsOf(lines ...string) (fields http1.Fields) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		fields = append(fields, http1.Field{Line: line, Name: name, Value: strings.Trim(value, " \t")})
	}
	return fields
}

func requestOf(lines ...string) *http1.Request {
	return &http1.Request{Method: http.MethodGet, Target: "/cb", Minor: 1, Host: host, Fields: fieldsOf(lines...), Length: -1}
}

const (
	via       = "1.1 edge.ns.callbackproxy"
	requestID = "0123"
)

// callbackLines are the lines of a callback, passedLines those of a request for
// an application.
func callbackLines(trusted bool, lines ...string) (got []string, dropped int) {
	r := requestOf(lines...)
	o := OriginOf(r, peer, trusted, "https", r.Host)
	return AppendCallback(nil, r, &o, via, requestID)
}

func passedLines(trusted bool, lines ...string) []string {
	r := requestOf(lines...)
	o := OriginOf(r, peer, trusted, "https", r.Host)
	return AppendPassed(nil, r, &o)
}

// The fields by their fate, written once more than in fields.go, so that a line
// that is lost there is missed here.
var (
	oursNames = strings.Fields(`connection proxy keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings content-length
		host x-forwarded-for x-forwarded-host x-forwarded-proto forwarded`)
	tracedNames = []string{"via", "x-request-id"}
	expectNames = []string{"expect"}
	envoyNames  = []string{"x-envoy-retry-on", "x-envoy-max-retries", "x-envoy-upstream-rq-timeout-ms", "x-envoy-original-path", "x-envoy-x"}
	claimNames  = strings.Fields(`x-forwarded x-real-ip x-real-port x-client-ip x-cluster-client-ip true-client-ip cf-connecting-ip
		cf-connecting-ipv6 fastly-client-ip x-azure-clientip x-azure-socketip front-end-https x-url-scheme x-scheme x-host client-cert
		client-cert-chain remote-user x-remote-user x-remote-group x-user x-userinfo x-webauth-user x-goog-iap-jwt-assertion iv-user
		iv-groups iv-creds iv-remote-address sm-user sm-userdn sm-universalid sm-serversessionid ssl-client-cert x-tailscale-user
		x-vouch-user x-consumer-username x-credential-identifier`)
	prefixes = strings.Fields(`x-forwarded- x-original- x-rewrite- proxy- x-client-cert x-ssl- ssl-client- x-amzn-mtls- x-auth-request-
		x-amzn-oidc- x-ms-client-principal x-ms-token- x-goog-authenticated-user- cf-access- tailscale-user- x-authentik- x-pomerium-
		x-authelia- remote- oidc-claim- oidc-access-token oidc-id-token mellon- x-token-`)
	// relayedNames are no claims, though some look like one.
	relayedNames = []string{
		"cookie", "authorization", "content-type", "content-encoding", "accept", "user-agent", "origin", "referer", "x-other", "xforwarded-for",
		"x-forwardedfor", "remote", "proxying", "x-ssl", "iv-userx", "hosts", "sec-websocket-key", "traceparent", "x-request-ids", "x",
		strings.Repeat("x-other-", 20), "x-envoy", "x-envoys-a",
	}
)

// claims are the names of all claims, those of prefixes with short ends and long.
func claims() (names []string) {
	names = append(names, claimNames...)
	for _, prefix := range prefixes {
		names = append(names, prefix+"x", prefix+"user-name", prefix+strings.Repeat("https---example.com-claim-", 5))
	}
	return append(names, "x-forwarded-port", "x-forwarded-prefix", "x-original-url", "x-rewrite-url", "proxy-authorization",
		"x-client-cert", "x-ssl-client-verify", "ssl-client-verify", "x-ms-client-principal-id", "remote-groups")
}

// spellings are those of a name, in either case.
func spellings(name string) []string {
	return []string{name, strings.ToUpper(name), http.CanonicalHeaderKey(name)}
}

// underscored are the spellings of a name with underscores, if it can have one.
func underscored(name string) (names []string) {
	if strings.Contains(name, "-") {
		names = append(spellings(strings.ReplaceAll(name, "-", "_")), strings.Replace(name, "-", "_", 1))
	}
	return names
}

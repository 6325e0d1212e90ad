// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// legitimate_test.go: what real clients and fronts send, and what each gets.

// form is the head of a posted form, without its framing.
const formHead = "POST /cb HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/x-www-form-urlencoded\r\n"

// W8, W9, W20, W33, W34, W36, W39: forms of requests that real clients send to a
// callback's path. docs/legitimate-traffic.md has a row for each.
func TestLegitimateForms(t *testing.T) {
	const formType = "Content-Type: application/x-www-form-urlencoded\r\n"
	body := func(method, fields, content string) string {
		return method + " /cb HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: " + strconv.Itoa(len(content)) + "\r\n" + fields + "\r\n" + content
	}
	for _, tc := range []struct {
		name     string
		protocol routetable.Protocol
		raw      string
		status   int
		// what the route counts
		callbacks, other int64
		sees             string // the first line at the backend
	}{
		{"W8_ChunkedFormPost", routetable.OIDC, formHead + "Transfer-Encoding: chunked\r\n\r\n6\r\ncode=1\r\n8\r\n&state=2\r\n0\r\n\r\n", 200, 1, 0, "POST /cb HTTP/1.1"},
		{"W9_Underscore", routetable.OIDC, getBytes("/cb?code=1", "iv_user: x"), 200, 1, 0, "GET /cb?code=1 HTTP/1.1"},
		{"W20_Prefetch", routetable.OIDC, getBytes("/cb?code=1", "Sec-Purpose: prefetch"), 403, 0, 0, ""},
		{"W20_OldPrefetch", routetable.OIDC, getBytes("/cb?code=1", "Purpose: prefetch"), 403, 0, 0, ""},
		{"W33_SessionStateTwice", routetable.OIDC, getBytes("/cb?code=1&state=2&session_state=a&session_state=b&scope=x&scope=y"), 200, 1, 0, "GET /cb?code=1&state=2&session_state=a&session_state=b&scope=x&scope=y HTTP/1.1"},
		{"W34_Ticket", routetable.OIDC, getBytes("/cb?ticket=ST-1"), 200, 1, 0, "GET /cb?ticket=ST-1 HTTP/1.1"},
		{"W34_AuthCode", routetable.OAuth2, getBytes("/cb?auth_code=1"), 200, 1, 0, "GET /cb?auth_code=1 HTTP/1.1"},
		{"W34_WSFederation", routetable.SAML, body("POST", "Content-Type: application/x-www-form-urlencoded\r\n", "wa=wsignin1.0&wresult=x"), 200, 1, 0, "POST /cb HTTP/1.1"},
		{"W36_SOAP", routetable.SAML, body("POST", "Content-Type: text/xml\r\nSOAPAction: x\r\n", "<S:Envelope/>"), 200, 0, 1, "POST /cb HTTP/1.1"},
		{"W36_ECP", routetable.SAML, body("POST", "Content-Type: application/vnd.paos+xml\r\n", "<S:Envelope/>"), 200, 0, 1, "POST /cb HTTP/1.1"},
		{"W39_PUT", routetable.OIDC, body("PUT", "Content-Type: application/json\r\n", "{}"), 200, 0, 1, "PUT /cb HTTP/1.1"},
		{"W39_Multipart", routetable.OIDC, body("POST", "Content-Type: multipart/form-data; boundary=x\r\n", "--x--"), 200, 0, 1, "POST /cb HTTP/1.1"},
		{"W39_OPTIONS", routetable.OIDC, "OPTIONS /cb HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 200, 0, 1, "OPTIONS /cb HTTP/1.1"},
		{"HEAD", routetable.OIDC, "HEAD /cb HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 200, 0, 1, "HEAD /cb HTTP/1.1"},
		{"HEADOfAResponse", routetable.OIDC, "HEAD /cb?code=1 HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 200, 0, 1, ""},
		{"RawUTF8InTheQuery", routetable.OIDC, getBytes("/cb?code=1&name=J\xc3\xbcrgen"), 200, 1, 0, "GET /cb?code=1&name=J\xc3\xbcrgen HTTP/1.1"},
		{"BrokenEscapesInTheQuery", routetable.OIDC, getBytes("/cb?code=1&x=%zz;y=%"), 200, 1, 0, "GET /cb?code=1&x=%zz;y=% HTTP/1.1"},
		{"W37_LargeCookies", routetable.OIDC, getBytes("/cb?code=1", "Cookie: a="+strings.Repeat("c", 40<<10)), 200, 1, 0, "GET /cb?code=1 HTTP/1.1"},
		{"W37_LargeResponse", routetable.OIDC, getBytes("/cb?response=" + strings.Repeat("r", 20<<10)), 200, 1, 0, "GET /cb?response=" + strings.Repeat("r", 20<<10) + " HTTP/1.1"},
		{"W35_Webhook", routetable.Opaque, body("POST", "Content-Type: application/json\r\n", `{"code":1}`), 200, 1, 0, "POST /cb HTTP/1.1"},
		{"W35_PUTUndeclared", routetable.Opaque, body("PUT", "", "x"), 405, 0, 0, ""},
		{"Code", routetable.OIDC, getBytes("/cb?code=1&state=2&iss=https%3a%2f%2fidp.test&session_state=x"), 200, 1, 0, "GET /cb?code=1&state=2&iss=https%3a%2f%2fidp.test&session_state=x HTTP/1.1"},
		{"ExtraParameters", routetable.OIDC, getBytes("/cb?state=2&code=4%2F0A+b&scope=email+profile&authuser=0&hd=acme.com&prompt=none"), 200, 1, 0, "GET /cb?state=2&code=4%2F0A+b&scope=email+profile&authuser=0&hd=acme.com&prompt=none HTTP/1.1"},
		{"ErrorResponse", routetable.OIDC, getBytes("/cb?error=access_denied&error_description=The+user+said+%22no%22&state=2"), 200, 1, 0, "GET /cb?error=access_denied&error_description=The+user+said+%22no%22&state=2 HTTP/1.1"},
		{"FormPost", routetable.OIDC, body("POST", formType, "code=1&state=2"), 200, 1, 0, "POST /cb HTTP/1.1"},
		{"FormPostWithCharset", routetable.OIDC, body("POST", "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n", "code=1&state=2"), 200, 1, 0, "POST /cb HTTP/1.1"},
		{"FormPostOfAUser", routetable.OIDC, body("POST", formType, "state=2&code=1&user=%7B%22name%22%3A%7B%22firstName%22%3A%22J%C3%BC%22%7D%7D"), 200, 1, 0, "POST /cb HTTP/1.1"},
		{"IDTokenByFormPost", routetable.OIDC, body("POST", formType, "id_token=a.b.c&state=2"), 200, 1, 0, "POST /cb HTTP/1.1"},
		{"FragmentPage", routetable.OIDC, getBytes("/cb"), 200, 0, 1, "GET /cb HTTP/1.1"},
		{"EmptyQuery", routetable.OIDC, getBytes("/cb?"), 200, 0, 1, "GET /cb? HTTP/1.1"},
		{"LoginInitiatedElsewhere", routetable.OIDC, getBytes("/cb?iss=https://idp.test&login_hint=a&target_link_uri=https://auth.acme.com/"), 200, 0, 1, "GET /cb?iss=https://idp.test&login_hint=a&target_link_uri=https://auth.acme.com/ HTTP/1.1"},
		{"POSTWithTheResponseInTheQuery", routetable.OIDC, "POST /cb?code=1&state=2 HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 0\r\n\r\n", 200, 1, 0, "POST /cb?code=1&state=2 HTTP/1.1"},
		{"W34_BackChannelLogout", routetable.OIDC, body("POST", formType, "logout_token=a.b.c"), 200, 1, 0, "POST /cb HTTP/1.1"},
		{"SAMLPost", routetable.SAML, body("POST", formType, "SAMLResponse=PHNhbWxwOlJlc3BvbnNlLz4%3D&RelayState=%2Fapp"), 200, 1, 0, "POST /cb HTTP/1.1"},
		{"SAMLRedirect", routetable.SAML, getBytes("/cb?SAMLRequest=fZ%2b%2f&RelayState=a%2fb&SigAlg=http%3a%2f%2fx&Signature=c%2b%3d"), 200, 1, 0, "GET /cb?SAMLRequest=fZ%2b%2f&RelayState=a%2fb&SigAlg=http%3a%2f%2fx&Signature=c%2b%3d HTTP/1.1"},
		{"SAMLArtifact", routetable.SAML, getBytes("/cb?SAMLart=AAQA&RelayState=x"), 200, 1, 0, "GET /cb?SAMLart=AAQA&RelayState=x HTTP/1.1"},
		{"HostWithAPort", routetable.OIDC, "GET /cb?code=1 HTTP/1.1\r\nHost: " + host + ":443\r\n\r\n", 200, 1, 0, "GET /cb?code=1 HTTP/1.1"},
		{"HostInCapitals", routetable.OIDC, "GET /cb?code=1 HTTP/1.1\r\nHost: AUTH.acme.COM\r\n\r\n", 200, 1, 0, "GET /cb?code=1 HTTP/1.1"},
		{"CookiesInSeveralFields", routetable.OIDC, getBytes("/cb?code=1", "Cookie: a=b", "Cookie: c=\"d e\"", "cookie: \xc3\xa4=1"), 200, 1, 0, "GET /cb?code=1 HTTP/1.1"},
		{"FieldsOfABrowser", routetable.OIDC, getBytes("/cb?code=1", `sec-ch-ua: "Chromium";v="156"`, "Upgrade-Insecure-Requests: 1", "Sec-Fetch-Site: cross-site", "Referer: https://idp.test/", "Accept-Encoding: gzip, br, zstd"), 200, 1, 0, "GET /cb?code=1 HTTP/1.1"},
		{"ExpectContinue", routetable.OIDC, formHead + "Expect: 100-continue\r\nContent-Length: 6\r\n\r\ncode=1", 200, 1, 0, "POST /cb HTTP/1.1"},
		{"EmptyLineBeforeTheRequest", routetable.OIDC, "\r\n" + getBytes("/cb?code=1"), 200, 1, 0, "GET /cb?code=1 HTTP/1.1"},
		{"CompressedForm", routetable.OIDC, body("POST", formType+"Content-Encoding: gzip\r\n", "\x1f\x8b"), 400, 0, 0, ""},
		{"FormInUTF16", routetable.OIDC, body("POST", "Content-Type: application/x-www-form-urlencoded; charset=utf-16\r\n", "c\x00"), 400, 0, 0, ""},
		{"CodeTwice", routetable.OIDC, getBytes("/cb?code=1&state=2&code=3"), 400, 0, 0, ""},
		{"FoldedCodeBesideCode", routetable.OIDC, getBytes("/cb?code=1&state=2&code[]=3"), 400, 0, 0, ""},
		{"POSTWithoutALength", routetable.OIDC, "POST /cb HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 411, 0, 0, ""},
		{"BodyOverTheLimit", routetable.OIDC, formHead + "Content-Length: 1048577\r\n\r\n", 413, 0, 0, ""},
		{"W14_Icon", routetable.OIDC, getBytes("/favicon.ico"), 404, 0, 0, ""},
		{"W14_SlashAtTheEnd", routetable.OIDC, getBytes("/cb/?code=1"), 404, 0, 0, ""},
		{"W6_ProxyProtocol", routetable.OIDC, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + getBytes("/cb?code=1"), 400, 0, 0, ""},
		{"W14_TLSOnThePlainPort", routetable.OIDC, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, 0, 0, ""},
		{"HTTP2Preface", routetable.OIDC, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, 0, 0, ""},
		{"UpgradeToHTTP2", routetable.OIDC, getBytes("/cb?code=1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"), 200, 1, 0, "GET /cb?code=1 HTTP/1.1"},
		{"AbsentReferer", routetable.OIDC, "GET /cb?code=1 HTTP/1.0\r\nHost: " + host + "\r\n\r\n", 200, 1, 0, "GET /cb?code=1 HTTP/1.1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			b := newBackend(t, ok(""))
			r.lead(blueAddress, b)
			r.serve(newRoute(func(r *routetable.Route) { r.Protocol = tc.protocol }))
			if got := r.send(tc.raw); got.status != tc.status {
				t.Fatalf("response is %d %v, want %d", got.status, got.err, tc.status)
			}
			if got := r.usageOf("uid"); got.Callbacks != tc.callbacks || got.Other != tc.other {
				t.Errorf("counted %d callbacks and %d other requests, want %d and %d", got.Callbacks, got.Other, tc.callbacks, tc.other)
			}
			first := ""
			if seen := b.seen(); len(seen) > 0 {
				first, _, _ = strings.Cut(seen[0], "\r\n")
			}
			if first != tc.sees {
				t.Errorf("backend saw %.80q, want %.80q", first, tc.sees)
			}
		})
	}
}

// W35: an Opaque callback takes the methods that it declares, and no others.
func TestW35_DeclaredMethods(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("")))
	r.serve(newRoute(func(r *routetable.Route) {
		r.Protocol, r.Callbacks[0].Methods = routetable.Opaque, []string{"DELETE", "OPTIONS", "PUT"}
	}))
	for method, want := range map[string]int{"OPTIONS": 200, "PUT": 200, "DELETE": 200, "GET": 405, "POST": 405} {
		if got := r.send(method + " /cb HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 0\r\n\r\n"); got.status != want {
			t.Errorf("%s gets %d, want %d", method, got.status, want)
		}
	}
}

// W3: a front that replaces Host states the client's in X-Forwarded-Host; only a
// trusted one is believed, and only when it states one.
func TestW3_HostFromATrustedProxy(t *testing.T) {
	for trusted, want := range map[string]int{"127.0.0.0/8": 200, "10.0.0.0/8": 404} {
		r := newRig(t)
		b := newBackend(t, ok(""))
		r.lead(blueAddress, b)
		r.serveWith(routetable.Settings{Forwarding: routetable.Forwarding{
			TrustedProxies: []string{trusted}, HostFrom: routetable.FromForwardedHost,
		}}, newRoute(nil))
		raw := "GET /cb?code=1 HTTP/1.1\r\nHost: internal:8080\r\nX-Forwarded-Host: " + host + "\r\n\r\n"
		if got := r.send(raw); got.status != want {
			t.Errorf("with %s trusted the response is %d, want %d", trusted, got.status, want)
		}
		if want != 200 {
			continue
		}
		if _, fields, _ := parts(t, b.only(t)); fields.Get("Host") != host || fields.Get("X-Forwarded-Host") != host {
			t.Errorf("backend saw %v", fields)
		}
		for _, hosts := range []string{host + ", evil", "evil/" + host} {
			if got := r.send(strings.Replace(raw, "X-Forwarded-Host: "+host, "X-Forwarded-Host: "+hosts, 1)); got.status != 400 {
				t.Errorf("%q gets %d", hosts, got.status)
			}
		}
	}
}

// W1: clients use https unless the config says otherwise or a trusted proxy does.
func TestW1_ExternalScheme(t *testing.T) {
	for scheme, want := range map[string]string{"": "https", "https": "https", "http": "http"} {
		r := newRig(t)
		b := newBackend(t, ok(""))
		r.lead(blueAddress, b)
		r.serveWith(routetable.Settings{Forwarding: routetable.Forwarding{ExternalScheme: scheme}}, newRoute(nil))
		if got := arrives(t, r, b, "X-Forwarded-Proto: ftp").Get("X-Forwarded-Proto"); got != want {
			t.Errorf("with scheme %q the backend gets %q", scheme, got)
		}
	}
}

// W5: a load balancer's health check of the traffic port.
func TestW5_HealthPath(t *testing.T) {
	r := newRig(t)
	r.serveWith(routetable.Settings{HealthPath: "/lb-health"}, newRoute(nil))
	r.store.Settle()
	check := func(name string) int {
		return r.send("GET /lb-health HTTP/1.1\r\nHost: " + name + "\r\n\r\n").status
	}
	if got := check("10.0.0.7:8080"); got != http.StatusOK {
		t.Errorf("the check gets %d", got)
	}
	if got := check(host); got != http.StatusNotFound {
		t.Errorf("at a route's host it gets %d", got)
	}
}

// W43: what is no response of the protocol is the application's, in any form, and
// a sidecar has no rules about it.
func TestW43_TheApplicationUsesTheCallbacksPath(t *testing.T) {
	s := newSidecar(t, respond200, newRoute(nil))
	b := newBackend(t, ok("backend"))
	s.lead(blueAddress, b)
	large := strings.Repeat("x", 3<<20)
	for raw, want := range map[string]string{
		"PUT /cb HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(large)) + "\r\n\r\n" + large: "app",
		"HEAD /cb HTTP/1.1\r\nHost: " + host + "\r\n\r\n":                                                                            "",
		"GET /cb HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 2\r\n\r\n{}":                                                      "app",
		"POST /cb HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 5\r\n\r\n--b--": "app",
		formHead + "Content-Length: 3\r\n\r\na=b":                                                                                    "app",
		formHead + "Content-Length: 6\r\n\r\ncode=1":                                                                                 "backend",
		getBytes("/cb?code=1"): "backend",
	} {
		if got := s.send(raw); got.status != 200 || got.body != want {
			t.Errorf("%.60q gets %d %q, want %q", raw, got.status, got.body, want)
		}
	}
	if n := len(b.seen()); n != 2 {
		t.Errorf("backend saw %d requests", n)
	}
}

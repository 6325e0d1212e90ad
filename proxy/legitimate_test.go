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
// callback's path.
func TestLegitimateForms(t *testing.T) {
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

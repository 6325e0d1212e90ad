// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const pseudonym = "edge.edge-system.callbackproxy"

// arrives sends these fields and returns the fields that the backend saw.
func arrives(t *testing.T, r *rig, b *backend, fields ...string) http.Header {
	t.Helper()
	before := len(b.seen())
	if got := r.get("/cb?code=1", fields...); got.status != 200 {
		t.Fatalf("%q gets %d", fields, got.status)
	}
	_, arrived, _ := parts(t, b.seen()[before])
	return arrived
}

func newForwardRig(t *testing.T, trusted ...string) (*rig, *backend) {
	t.Helper()
	r := newRig(t)
	b := newBackend(t, ok(""))
	r.lead(blueAddress, b)
	r.serveWith(routetable.Settings{Forwarding: routetable.Forwarding{TrustedProxies: trusted}}, newRoute(nil))
	return r, b
}

// T7: a field that only a proxy may set is dropped when a client sends it. Each is
// sent as it is, in lower case, and named in Connection.
func TestT7_ForgedFieldsDoNotArrive(t *testing.T) {
	r, b := newForwardRig(t)
	forged := []string{
		"Forwarded", "X-Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
		"X-Forwarded-Uri", "X-Forwarded-Prefix", "X-Forwarded-Ssl", "X-Forwarded-User", "X-Forwarded-Client-Cert",
		"X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip",
		"X-Original-Url", "X-Original-Uri", "X-Original-Host", "X-Original-Method", "X-Rewrite-Url",
		"Proxy", "Proxy-Authorization", "Proxy-Connection", "Proxy-Host",
		"X-Client-Cert", "X-Client-Certificate", "X-Ssl-Client-Cert", "X-Ssl-Client-Verify", "Ssl-Client-Cert", "Ssl-Client-Verify",
		"Client-Cert", "Client-Cert-Chain", "X-Amzn-Mtls-Clientcert", "Remote-User", "X-Remote-User",
		"X-Request-Id", "Via", "Keep-Alive", "Te", "Trailer", "Upgrade", "Http2-Settings",
	}
	for _, name := range forged {
		for _, fields := range [][]string{
			{name + ": FORGED"},
			{strings.ToLower(name) + ":FORGED"},
			{strings.ToUpper(name) + ": FORGED", name + ": FORGED"},
			{name + ": FORGED", "Connection: " + strings.ToLower(name)},
		} {
			for field, values := range arrives(t, r, b, fields...) {
				if strings.Contains(strings.Join(values, ""), "FORGED") {
					t.Errorf("%q arrives as %s: %q", fields, field, values)
				}
			}
		}
	}
	// The control: a field that is no claim arrives.
	if got := arrives(t, r, b, "X-Other: FORGED"); got.Get("X-Other") != "FORGED" {
		t.Error("the test does not see what arrives")
	}
}

// B4, W9: an underscore would be read as a hyphen by some backends. The field is
// dropped and counted; from a trusted peer it passes unless it would be read as
// one that the proxy sets or drops.
func TestW9_UnderscoresAreDropped(t *testing.T) {
	r, b := newForwardRig(t)
	names := []string{"X_Forwarded_For", "x_forwarded-host", "X-Real_IP", "_", "Cookie_", "iv_user", "Content_Length"}
	for _, name := range names {
		for field := range arrives(t, r, b, name+": a") {
			if strings.Contains(field, "_") {
				t.Errorf("%s arrives as %s", name, field)
			}
		}
	}
	if got := counted(t, r.metrics, metrics.FieldsDropped); got != strconv.Itoa(len(names)) {
		t.Errorf("%s requests are counted", got)
	}
	r, b = newForwardRig(t, "127.0.0.0/8")
	for name, want := range map[string]bool{"X_Custom": true, "X_Forwarded_For": false, "x_forwarded-host": false, "Content_Length": false, "Via_": true} {
		if _, found := arrives(t, r, b, name+": 1")[http.CanonicalHeaderKey(name)]; found != want {
			t.Errorf("of a trusted peer %s arrives: %v", name, found)
		}
	}
}

// B5: nothing in Connection takes away what the proxy sets.
func TestT7_ConnectionCannotStripOurOwn(t *testing.T) {
	r, b := newForwardRig(t)
	got := arrives(t, r, b, "Connection: x-forwarded-for, X-Forwarded-Proto,X-FORWARDED-HOST", "Connection: via, x-request-id, host, X-Secret",
		"X-Secret: a", "X-Kept: b")
	for name, want := range map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": host,
		"Via": "1.1 " + pseudonym, "Host": host, "X-Secret": "", "X-Kept": "b", "Connection": "close",
	} {
		if got.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Get(name), want)
		}
	}
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(got.Get("X-Request-Id")) {
		t.Errorf("request id is %q", got.Get("X-Request-Id"))
	}
}

func TestForward_EndToEndFieldsPassUnchanged(t *testing.T) {
	r, b := newForwardRig(t)
	got := arrives(t, r, b, "Cookie: a=1; b=\"x y\"; c=%zz", "Authorization: Basic eA==", "User-Agent: test/1",
		"Accept-Encoding: gzip", "X-Custom: one", "X-Custom: two", "Origin: https://idp.example", "Pragma: x")
	for name, want := range map[string][]string{
		"Cookie": {"a=1; b=\"x y\"; c=%zz"}, "Authorization": {"Basic eA=="}, "User-Agent": {"test/1"},
		"Accept-Encoding": {"gzip"}, "X-Custom": {"one", "two"}, "Origin": {"https://idp.example"},
	} {
		if !slices.Equal(got[name], want) {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

func TestForward_TrustedPeersAreTrusted(t *testing.T) {
	sent := []string{"X-Forwarded-For: 203.0.113.7, 10.1.1.1", "X-Forwarded-For: 10.2.2.2", "X-Forwarded-Proto: https", "X-Forwarded-Host: original.example"}
	t.Run("trusted", func(t *testing.T) {
		r, b := newForwardRig(t, "127.0.0.0/8")
		got := arrives(t, r, b, sent...)
		if got.Get("X-Forwarded-For") != "203.0.113.7, 10.1.1.1, 10.2.2.2, 127.0.0.1" || got.Get("X-Forwarded-Proto") != "https" {
			t.Errorf("for %q, proto %q", got["X-Forwarded-For"], got["X-Forwarded-Proto"])
		}
		if got.Get("X-Forwarded-Host") != "original.example" {
			t.Errorf("host %q", got.Get("X-Forwarded-Host"))
		}
		// W2: the first proxy of the chain spoke with the client, in any case.
		for proto, want := range map[string]string{"HTTPS": "https", "https,http": "https", "http, https": "http", "wss": "https", "https ftp": "https", "": "https"} {
			if got := arrives(t, r, b, "X-Forwarded-Proto: "+proto); got.Get("X-Forwarded-Proto") != want {
				t.Errorf("proto %q becomes %q", proto, got.Get("X-Forwarded-Proto"))
			}
		}
		if got := arrives(t, r, b, "X-Forwarded-Proto: http", "X-Forwarded-Proto: https"); !slices.Equal(got["X-Forwarded-Proto"], []string{"http"}) {
			t.Errorf("of two protos arrives %q", got["X-Forwarded-Proto"])
		}
		// W4: what a trusted peer states otherwise is kept, its request id too.
		got = arrives(t, r, b, "X-Forwarded-Port: 8443", "X-Forwarded-Prefix: /sso", "X-Request-Id: front-1", `Forwarded: for="[2001:db8::1]";proto=https`)
		for name, want := range map[string]string{
			"X-Forwarded-Port": "8443", "X-Forwarded-Prefix": "/sso", "X-Request-Id": "front-1",
			"Forwarded": `for="[2001:db8::1]";proto=https, for=127.0.0.1;host="` + host + `";proto=https`,
		} {
			if !slices.Equal(got[name], []string{want}) {
				t.Errorf("%s is %q, want %q", name, got[name], want)
			}
		}
	})
	t.Run("others", func(t *testing.T) {
		r, b := newForwardRig(t, "10.0.0.0/8")
		got := arrives(t, r, b, sent...)
		if !slices.Equal(got["X-Forwarded-For"], []string{"127.0.0.1"}) || !slices.Equal(got["X-Forwarded-Proto"], []string{"https"}) {
			t.Errorf("for %q, proto %q", got["X-Forwarded-For"], got["X-Forwarded-Proto"])
		}
	})
}

func TestForward_LoopsEnd(t *testing.T) {
	r, b := newForwardRig(t)
	for _, via := range []string{
		"1.1 " + pseudonym, "1.0 a, 1.1 " + pseudonym + " (x)", "1.1 other.ns.callbackproxy,1.1 " + pseudonym,
		strings.Repeat("1.1 a.b.callbackproxy, ", 9),
	} {
		if got := r.get("/cb", "Via: "+via); got.status != 502 {
			t.Errorf("Via %q gets %d", via, got.status)
		}
	}
	if len(b.seen()) != 0 {
		t.Errorf("backend saw %d requests", len(b.seen()))
	}
	// Another fleet's name is handed on, so that a loop over two is seen.
	got := arrives(t, r, b, "Via: 1.1 cdn.example (secret), 1.1 other.ns.callbackproxy")
	if got.Get("Via") != "1.1 other.ns.callbackproxy, 1.1 "+pseudonym {
		t.Errorf("Via is %q", got.Get("Via"))
	}
}

// rawResponse returns the bytes of a response.
func rawResponse(t *testing.T, r *rig, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, strings.Replace(request, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
	content, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestResponse_PassesUnchanged(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, responds("HTTP/1.1 302 Found\r\n"+
		"Date: Mon, 01 Jan 2024 00:00:00 GMT\r\nServer: idp/1\r\n"+
		"Set-Cookie: a=1; Path=/; Domain=other.example\r\nSet-Cookie: b=\"\xe9 x\"; SameSite=None\r\n"+
		"Location: https://app.example/?x=%zz;y&z=\xe9#f\r\nCache-Control: private\r\nReferrer-Policy: origin\r\n"+
		"Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nProxy-Authenticate: Basic\r\n"+
		"X-Forwarded-For: 1.1.1.1\r\nContent-Length: 3\r\n\r\nabc")))
	r.serve(newRoute(nil))
	got := rawResponse(t, r, getBytes("/cb"))
	for _, line := range []string{
		"HTTP/1.1 302 Found", "Date: Mon, 01 Jan 2024 00:00:00 GMT", "Server: idp/1",
		"Location: https://app.example/?x=%zz;y&z=\xe9#f", "Cache-Control: private", "Referrer-Policy: origin", "Content-Length: 3",
		"X-Forwarded-For: 1.1.1.1",
	} {
		if !strings.Contains(got, line+"\r\n") {
			t.Errorf("response has no line %q:\n%s", line, got)
		}
	}
	if first, second := strings.Index(got, "Set-Cookie: a=1; Path=/; Domain=other.example\r\n"), strings.Index(got, "Set-Cookie: b=\"\xe9 x\"; SameSite=None\r\n"); first < 0 || second < first {
		t.Errorf("cookies are at %d and %d:\n%s", first, second, got)
	}
	for _, name := range []string{"X-Hop", "Keep-Alive", "Upgrade", "Content-Type", "Via", "no-store"} {
		if strings.Contains(got, name) {
			t.Errorf("response has %s:\n%s", name, got)
		}
	}
	if !strings.HasSuffix(got, "\r\n\r\nabc") {
		t.Errorf("body differs:\n%s", got)
	}
}

func TestResponse_IsNotCachedNorReferred(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("<html>")))
	r.serve(newRoute(nil))
	got := r.get("/cb?code=1")
	if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Referrer-Policy") != "strict-origin" { // W22
		t.Errorf("header is %v", got.header)
	}
	if other := r.get("/cb"); other.header.Get("Cache-Control")+other.header.Get("Referrer-Policy") != "" {
		t.Errorf("of a request that is no callback the header is %v", other.header)
	}
	if _, found := got.header["Content-Type"]; found {
		t.Errorf("a type was guessed: %v", got.header)
	}
	if got.header.Get("Date") == "" || got.header.Get("Server") != "" {
		t.Errorf("header is %v", got.header)
	}
}

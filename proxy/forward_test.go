// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/callbackproxy/callback-operator/proxy/forwarding"
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

// B4: an underscore would be read as a hyphen by some backends.
func TestT7_UnderscoresAreRefused(t *testing.T) {
	r, b := newForwardRig(t)
	for _, name := range []string{"X_Forwarded_For", "x_forwarded-host", "X-Real_IP", "_", "Cookie_"} {
		if got := r.get("/cb", name+": a"); got.status != 400 {
			t.Errorf("%s gets %d", name, got.status)
		}
	}
	if len(b.seen()) != 0 {
		t.Errorf("backend saw %d requests", len(b.seen()))
	}
}

// B5: nothing in Connection takes away what the proxy sets.
func TestT7_ConnectionCannotStripOurOwn(t *testing.T) {
	r, b := newForwardRig(t)
	got := arrives(t, r, b, "Connection: x-forwarded-for, X-Forwarded-Proto,X-FORWARDED-HOST", "Connection: via, x-request-id, host, X-Secret",
		"X-Secret: a", "X-Kept: b")
	for name, want := range map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": host,
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
	sent := []string{"X-Forwarded-For: 203.0.113.7, 10.1.1.1", "X-Forwarded-For: 10.2.2.2", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example"}
	t.Run("trusted", func(t *testing.T) {
		r, b := newForwardRig(t, "127.0.0.0/8")
		got := arrives(t, r, b, sent...)
		if got.Get("X-Forwarded-For") != "203.0.113.7, 10.1.1.1, 10.2.2.2, 127.0.0.1" || got.Get("X-Forwarded-Proto") != "https" {
			t.Errorf("for %q, proto %q", got["X-Forwarded-For"], got["X-Forwarded-Proto"])
		}
		if got.Get("X-Forwarded-Host") != host {
			t.Errorf("host %q", got.Get("X-Forwarded-Host"))
		}
		for _, proto := range []string{"HTTPS", "https,http", "wss", "https ftp", ""} {
			if got := arrives(t, r, b, "X-Forwarded-Proto: "+proto); got.Get("X-Forwarded-Proto") != "http" {
				t.Errorf("proto %q becomes %q", proto, got.Get("X-Forwarded-Proto"))
			}
		}
		if got := arrives(t, r, b, "X-Forwarded-Proto: https", "X-Forwarded-Proto: https"); got.Get("X-Forwarded-Proto") != "http" {
			t.Error("two protos are believed")
		}
	})
	t.Run("others", func(t *testing.T) {
		r, b := newForwardRig(t, "10.0.0.0/8")
		got := arrives(t, r, b, sent...)
		if !slices.Equal(got["X-Forwarded-For"], []string{"127.0.0.1"}) || !slices.Equal(got["X-Forwarded-Proto"], []string{"http"}) {
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
	got := r.get("/cb")
	if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("header is %v", got.header)
	}
	if _, found := got.header["Content-Type"]; found {
		t.Errorf("a type was guessed: %v", got.header)
	}
	if got.header.Get("Date") == "" || got.header.Get("Server") != "" {
		t.Errorf("header is %v", got.header)
	}
}

// For any field of a client, the backend gets the fields of a proxy from the proxy
// alone.
func FuzzNewRequest(f *testing.F) {
	f.Add("X-Forwarded-For", "1.1.1.1", "keep-alive, x-forwarded-for")
	f.Add("Via", "1.1 "+pseudonym, "close")
	f.Add("x-ssl-client-cert", "FORGED", ",,a,")
	f.Fuzz(func(t *testing.T, name, value, connection string) {
		if name == "" {
			return // net/http has no such field
		}
		in := &http.Request{Method: http.MethodGet, RequestURI: "/cb", Host: host, RemoteAddr: "192.0.2.1:1", Header: http.Header{
			http.CanonicalHeaderKey(name): {value}, "Connection": {connection},
		}}
		untrusted := func(netip.Addr) bool { return false }
		out := newRequest(in, nil, origin{forwarding.OriginOf(in, untrusted), "id", "1.1 " + pseudonym})
		want := map[string]string{
			"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": host, "X-Forwarded-Proto": "http", "X-Request-Id": "id", "Via": "1.1 " + pseudonym,
		}
		for field, values := range out.Header {
			if ours, found := want[field]; found && (len(values) != 1 || values[0] != ours) {
				t.Fatalf("%s is %q", field, values)
			} else if !found && forwarding.IsClaim(field) || isHopByHop(field) {
				t.Fatalf("%s is handed on", field)
			}
			delete(want, field)
		}
		if len(want) > 0 {
			t.Fatalf("missing are %v", want)
		}
	})
}

func isHopByHop(field string) bool {
	for range forwarding.EndToEnd(http.Header{field: {"x"}}) {
		return false
	}
	return true
}

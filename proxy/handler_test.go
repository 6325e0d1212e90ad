// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

func TestHandler_DeliversToThePrimaryBackendOnly(t *testing.T) {
	r := newRig(t)
	blue, green := newBackend(t, ok("blue")), newBackend(t, ok("green"))
	r.lead(blueAddress, blue)
	r.lead(greenAddress, green)
	r.serve(newRoute(nil))
	if got := r.get("/cb?code=1"); got.status != 200 || got.body != "blue" {
		t.Errorf("response is %+v", got)
	}
	r.serve(newRoute(func(r *routetable.Route) { r.Backends[0].Weight, r.Backends[1].Weight = 0, 1 }))
	if got := r.get("/cb?code=2"); got.status != 200 || got.body != "green" {
		t.Errorf("after the switch the response is %+v", got)
	}
	if len(blue.seen()) != 1 || len(green.seen()) != 1 {
		t.Errorf("blue saw %d, green %d requests", len(blue.seen()), len(green.seen()))
	}
}

// A request that breaks a rule reaches no backend and gets its constant page.
func TestHandler_Refusals(t *testing.T) {
	r := newRig(t)
	b := newBackend(t, ok(""))
	r.lead(blueAddress, b)
	r.serve(newRoute(nil))
	post := func(fields, body string) string {
		return "POST /cb HTTP/1.1\r\nHost: " + host + "\r\n" + fields + "\r\n" + body
	}
	form := "Content-Type: application/x-www-form-urlencoded\r\n"
	for _, tc := range []struct {
		name, raw string
		status    int
	}{
		{"unknown host", "GET /cb HTTP/1.1\r\nHost: other.acme.com\r\n\r\n", 404},
		{"unknown path", getBytes("/other"), 404},
		{"longer path", getBytes("/cb/"), 404},
		{"no host", "GET /cb HTTP/1.0\r\n\r\n", 400},
		{"two hosts", "GET /cb HTTP/1.1\r\nHost: " + host + "\r\nHost: " + host + "\r\n\r\n", 400},
		{"absolute form", "GET http://" + host + "/cb HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 400},
		{"fragment", getBytes("/cb#x"), 400},
		{"dots", getBytes("/x/../cb"), 400},
		{"TRACE", "TRACE /cb HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 405},
		{"PUT of a response", "PUT /cb?code=1 HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 0\r\n\r\n", 405},
		{"chunked and length", post(form+"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), 400},
		{"broken chunks", post(form+"Transfer-Encoding: chunked\r\n", "5\r\nabc\r\n0\r\n\r\n"), 400},
		{"too much in chunks", post(form+"Transfer-Encoding: chunked\r\n", "100001\r\n"+strings.Repeat("a", 1<<20+1)+"\r\n0\r\n\r\n"), 413},
		{"prefetch", getBytes("/cb?code=1", "Sec-Purpose: prefetch;prerender"), 403},
		{"expectation", post(form+"Content-Length: 3\r\nExpect: magic\r\n", "a=b"), 417},
		{"no length", post(form, ""), 411},
		{"body too large", post(form+"Content-Length: 1048577\r\n", ""), 413},
		{"10 MiB body", post(form+"Content-Length: 10485760\r\n", strings.Repeat("a", 10<<20)), 413},
		{"long target", getBytes("/cb?" + strings.Repeat("a", 32<<10)), 414},
		{"64 KiB target", getBytes("/cb?" + strings.Repeat("a", 64<<10-4)), 414},
		{"large header", getBytes("/cb", "A: "+strings.Repeat("a", 64<<10)), 431},
		{"1 MiB header", getBytes("/cb", "A: "+strings.Repeat("a", 1<<20)), 431},
		{"10k fields", getBytes("/cb", strings.Repeat("A: b\r\n", 10_000)+"C: d"), 431},
		{"GET with a body", "GET /cb HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 1\r\n\r\na", 400},
		{"repeated state", getBytes("/cb?code=c&state=a&state=b"), 400},
		{"repeated across", post(form+"Content-Length: 6\r\n", "code=a")[:0] +
			"POST /cb?code=b HTTP/1.1\r\nHost: " + host + "\r\n" + form + "Content-Length: 6\r\n\r\ncode=a", 400},
		{"form in a charset without ASCII", post("Content-Type: application/x-www-form-urlencoded; charset=utf-16\r\nContent-Length: 6\r\n", "code=a"), 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := exchangeRaw(t, r.address, tc.raw)
			if got.status != tc.status {
				t.Fatalf("response is %d %v, want %d", got.status, got.err, tc.status)
			}
			if got.header.Get("Location") != "" || got.header.Get("Set-Cookie") != "" {
				t.Errorf("header is %v", got.header)
			}
			if tc.status == 405 && got.header.Get("Allow") != "GET, POST" {
				t.Errorf("Allow is %q", got.header.Get("Allow"))
			}
		})
	}
	if n := len(b.seen()); n != 0 {
		t.Errorf("backend saw %d requests", n)
	}
}

func TestHandler_PagesAreConstant(t *testing.T) {
	r := newRig(t)
	r.serve(newRoute(nil))
	got := r.get("/other?code=CANARY", "Cookie: CANARY")
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
		"Content-Type": "text/html; charset=utf-8",
	} {
		if got.header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.header.Get(name), want)
		}
	}
	if !strings.HasPrefix(got.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("policy is %q", got.header.Get("Content-Security-Policy"))
	}
	if !isPage(got.body, pages[404]) || strings.Contains(got.body, "CANARY") {
		t.Errorf("page is %q", got.body)
	}
}

// F27: without a config no callback is known, so no response claims that one is
// gone or absent.
func TestF27_NoConfigIsNotReadyAnd503(t *testing.T) {
	r := newRig(t)
	r.store.Settle()
	if got := exchangeRaw(t, r.admin, getBytes("/readyz")); got.status != 503 {
		t.Errorf("readyz is %d", got.status)
	}
	if got := exchangeRaw(t, r.admin, getBytes("/healthz")); got.status != 200 {
		t.Errorf("healthz is %d", got.status)
	}
	for _, target := range []string{"/cb?code=1", "/"} {
		if got := r.get(target); got.status != 503 || got.header.Get("Retry-After") != "5" {
			t.Errorf("%s is %d, Retry-After %q", target, got.status, got.header.Get("Retry-After"))
		}
	}
	r.serve(newRoute(nil))
	if got := exchangeRaw(t, r.admin, getBytes("/readyz")); got.status != 200 {
		t.Errorf("with a config readyz is %d", got.status)
	}
}

// Any path, query and body arrive byte for byte.
func TestHandler_IsByteTrue(t *testing.T) {
	r := newRig(t)
	b := newBackend(t, ok(""))
	r.lead(blueAddress, b)
	r.serve(newRoute(func(r *routetable.Route) {
		r.Callbacks[0].PathType, r.Callbacks[0].Path, r.Protocol = routetable.Prefix, "/cb", routetable.Opaque
	}))
	sent := 0
	check := func(t interface{ Fatalf(string, ...any) }, target, body string, post bool) {
		raw := getBytes(target)
		if post {
			raw = "POST " + target + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
		}
		if got := r.send(raw); got.status != 200 {
			t.Fatalf("%q gets %d", target, got.status)
		}
		sent++
		seen := b.seen()
		first, rest, _ := strings.Cut(seen[len(seen)-1], "\r\n")
		_, gotBody, _ := strings.Cut(rest, "\r\n\r\n")
		method, _, _ := strings.Cut(raw, " ")
		if want := method + " " + target + " HTTP/1.1"; first != want {
			t.Fatalf("backend saw %q, want %q", first, want)
		}
		if post && gotBody != body {
			t.Fatalf("backend saw the body %q, want %q", gotBody, body)
		}
	}
	for _, target := range []string{
		"/cb?",
		"/cb?a=1;b=2&c=%zz&d=%",
		"/cb/x%20y/caf%C3%A9?z=1&a=2",
		"/cb?SAMLResponse=fZJNT%2BMwEIb%2FSuR7Ejtp&RelayState=ss%3Amem%3A0&SigAlg=http%3A%2F%2Fwww.w3.org%2F2001%2F04%2Fxmldsig-more%23rsa-sha256&Signature=a%2bB%3d%3D",
		"/cb?" + strings.Repeat("a=b&", 4000),
		"/cb?a=/../x//y?z&b=\\&c=`{}|<>\"^",
	} {
		check(t, target, "", false)
	}
	segment := rapid.StringMatching(`([A-Za-z0-9_~!$&'()*+,=:@-]|%20|%C3%A9|%3F){1,8}`)
	query := rapid.StringOf(rapid.RuneFrom([]rune("abcXYZ012&&==;;%%++/?:@!$'()*,-._~\\\"<>^`{|}[]")))
	rapid.Check(t, func(t *rapid.T) {
		target := "/cb"
		for _, s := range rapid.SliceOfN(segment, 0, 4).Draw(t, "segments") {
			target += "/" + s
		}
		if rapid.Bool().Draw(t, "has query") {
			target += "?" + query.Draw(t, "query")
		}
		check(t, target, string(rapid.SliceOf(rapid.Byte()).Draw(t, "body")), rapid.Bool().Draw(t, "post"))
	})
	if n := len(b.seen()); n != sent {
		t.Errorf("backend saw %d requests for %d", n, sent)
	}
}

// A body of the largest allowed size arrives whole.
func TestHandler_LargestBody(t *testing.T) {
	r := newRig(t)
	b := newBackend(t, ok(""))
	r.lead(blueAddress, b)
	r.serve(newRoute(func(r *routetable.Route) { r.Protocol = routetable.SAML }))
	form := "SAMLResponse=" + strings.Repeat("A", routetable.DefaultBodyKiB<<10-len("SAMLResponse="))
	if got := r.post("/cb", form); got.status != 200 {
		t.Fatalf("response is %d", got.status)
	}
	if _, _, body := parts(t, b.only(t)); body != form {
		t.Errorf("%d bytes arrived of %d", len(body), len(form))
	}
}

func TestHandler_ReplacesPathAndHostAsDeclared(t *testing.T) {
	r := newRig(t)
	b := newBackend(t, ok(""))
	r.lead(blueAddress, b)
	r.serve(newRoute(func(r *routetable.Route) {
		r.Backends[0].Paths, r.Backends[0].Host = []routetable.BackendPath{{Callback: "login", Path: "/login/callback"}}, "idp.internal"
	}))
	for target, want := range map[string]string{
		"/cb?b=1;a=%zz": "/login/callback?b=1;a=%zz", "/cb?": "/login/callback?", "/cb": "/login/callback",
	} {
		r.get(target)
		seen := b.seen()
		got, fields, _ := parts(t, seen[len(seen)-1])
		if got != want || fields.Get("Host") != "idp.internal" || fields.Get("X-Forwarded-Host") != host {
			t.Errorf("%s arrives as %s, host %q, forwarded host %q", target, got, fields.Get("Host"), fields.Get("X-Forwarded-Host"))
		}
	}
}

// The response distinguishes a failure before a byte was sent from a request that
// may have arrived; no request is ever sent twice.
func TestUpstreamFailures(t *testing.T) {
	hang := func(conn net.Conn, _ string) { _, _ = io.Copy(io.Discard, conn) } // until the proxy closes
	for _, tc := range []struct {
		name    string
		backend func(net.Conn, string) // nil refuses
		status  int
		seen    int
		aborted bool
	}{
		{"TestF32_Refused", nil, 503, 0, false},
		{"TestF34_Silent", hang, 504, 1, false},
		{"TestF36_ReadAndClosed", func(net.Conn, string) {}, 502, 1, false},
		{"TestF35_Reset", func(c net.Conn, _ string) { _ = c.(*net.TCPConn).SetLinger(0) }, 502, 1, false},
		{"TestF40_LargeHead", responds("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 1<<20)), 502, 1, false},
		{"TestF40_InterimFlood", responds(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 10_000)), 502, 1, false},
		{"TestF40_101", responds("HTTP/1.1 101 Switching Protocols\r\n\r\n"), 502, 1, false},
		{"TestF62_TruncatedBody", responds("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), 502, 1, false},
		{"TestF38_TruncatedLargeBody", responds("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("a", 500_000)), 200, 1, true},
		{"TestF62_TruncatedChunk", responds("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc"), 502, 1, false},
		{"TestF38_TruncatedRedirect", responds("HTTP/1.1 302 Found\r\nContent-Length: 10\r\n\r\nabc"), 302, 1, true},
		{"TestP2_ResponseIs503", responds("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), 503, 1, false},
		{"TestP2_ResponseIs500", responds("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), 500, 1, false},
		{"TestP2_ResponseIs425", responds("HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n"), 425, 1, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			b := newBackend(t, tc.backend)
			r.lead(blueAddress, b)
			if tc.backend == nil {
				_ = b.listener.Close()
			}
			r.serve(newRoute(func(r *routetable.Route) { r.TimeoutSeconds = 1 }))
			got := r.get("/cb?code=1")
			switch {
			case tc.aborted && got.err == nil:
				t.Errorf("response looks whole: %d %.20q", got.status, got.body)
			case !tc.aborted && (got.status != tc.status || got.err != nil):
				t.Errorf("response is %d %v, want %d", got.status, got.err, tc.status)
			}
			if n := len(b.seen()); n != tc.seen {
				t.Errorf("backend saw %d requests, want %d", n, tc.seen)
			}
		})
	}
}

// An HTTP/1.0 client has no framing that shows a missing end: it sees a reset.
func TestF38_TruncatedBodyForHTTP10(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, responds("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n"+strings.Repeat("a", 0x8000)+"\r\n")))
	r.serve(newRoute(nil))
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET /cb HTTP/1.0\r\nHost: "+host+"\r\n\r\n")
	if content, err := io.ReadAll(conn); err == nil {
		t.Errorf("response looks whole: %q", content)
	}
}

func TestHandler_ContinuesOnlyForABodyThatIsRead(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("")))
	r.serve(newRoute(func(r *routetable.Route) { r.Protocol = routetable.Opaque }))
	if got := r.post("/other", "abc", "Expect: 100-continue"); got.status != 404 {
		t.Errorf("first response is %d, want 404 without 100 Continue", got.status)
	}
	c := r.call("POST /cb HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
	if got := c.line(t); got != "HTTP/1.1 100 Continue" {
		t.Errorf("first line is %q", got)
	}
	c.line(t)
	c.write("abc")
	if got := readResponse(c.from, "POST"); got.status != 200 {
		t.Errorf("response is %d %v", got.status, got.err)
	}
}

// A connection whose request was refused is not read any further: the rest of the
// request is not a second one.
func TestHandler_RefusedBodyIsNoSecondRequest(t *testing.T) {
	r := newRig(t)
	b := newBackend(t, ok("second"))
	r.lead(blueAddress, b)
	r.serve(newRoute(nil))
	inner := getBytes("/cb?code=smuggled")
	got := r.send("POST /other HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: " + strconv.Itoa(len(inner)) + "\r\n\r\n" + inner)
	if got.status != 404 || !got.closes || len(b.seen()) != 0 {
		t.Errorf("response is %d, closes %v, backend saw %d", got.status, got.closes, len(b.seen()))
	}
}

// F76: a client that has a tunnel in mind may send its bytes at once. They are not
// read as a request after the refusal.
func TestF76_RefusedConnectEndsTheConnection(t *testing.T) {
	r := newRig(t)
	b := newBackend(t, ok(""))
	r.lead(blueAddress, b)
	r.serve(newRoute(nil))
	for _, target := range []string{host + ":443", "/cb", "/other"} {
		got := r.send("CONNECT " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n" + getBytes("/cb?code=1"))
		if got.status != 400 && got.status != 405 || !got.closes {
			t.Errorf("CONNECT %s gets %d, closes: %v", target, got.status, got.closes)
		}
	}
	if n := len(b.seen()); n != 0 {
		t.Errorf("backend saw %d requests", n)
	}
}

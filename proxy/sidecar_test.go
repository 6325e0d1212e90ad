// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// sidecar_test.go: which requests a sidecar's application gets, and on which
// connections.

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/passthrough"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// F71: after the sunset, nothing that servers read as the callback reaches the
// application, also by raw bytes, path-info, extensions and front controllers.
func TestF71_AfterTheSunsetNothingMeansTheCallback(t *testing.T) {
	r, b := rawApp(t, ok("app"))
	r.clock.Set(farEnd)
	for _, target := range []string{
		"/cb?code=1", "/cb\xa0?code=1", "/cb%a0?code=1", "/cb\xc2\xa0?code=1", "/cb\x85?code=1", "/c\xe2\x80\x8bb?code=1", "/\xef\xbd\x83b?code=1", "/%c1%a3b?code=1",
		"/cb/x?code=1", "/cb;x?code=1", "/cb;x/y?code=1", "/cb.json?code=1", "/cb.php/x?code=1", "/cb.?code=1", "/cb/.?code=1", "/cb/../cb?code=1", "/CB?code=1",
		"/%63b?code=1", "/x/%2e%2e/cb?code=1", "/cb%2ehtml?error=x", "/index.php/cb?code=1", "/app/index.php/cb?code=1", "/(S(abc))/cb?code=1", "/cb%3bx?code=1", "//cb?code=1", `/\cb?code=1`,
		"/cb/x?code=1&code=2", "/cb", "/cb\xa0", "/cb;x",
	} {
		if got := r.get(target); got.status != 410 && got.status != 404 && got.status != 400 {
			t.Errorf("%q gets %d %q", target, got.status, got.body)
		}
	}
	for _, target := range []string{"/cb/x", "/cb.json?x=1"} {
		if got := r.post(target, "code=1"); got.status != 410 {
			t.Errorf("a form to %q gets %d", target, got.status)
		}
	}
	if n := len(b.seen()); n > 0 {
		t.Fatalf("the application saw %q", b.seen())
	}
	if got := r.usageOf("uid"); got.Callbacks != 1 {
		t.Errorf("usage is %+v: only the path itself is the callback's", got)
	}
}

// F71: after the sunset, the application's other requests reach it, byte for byte.
func TestF71_AfterTheSunsetOtherRequestsAreTheApplications(t *testing.T) {
	r, b := rawApp(t, ok("app"))
	r.clock.Set(farEnd)
	others := []string{
		"/cb/x", "/cb.json?x=1", "/cb/x.js?v=2", "/x\xa0?code=1", "/%e6%97%a5?code=1", "/\xe6\x97\xa5//x?code=1", "/cbx?code=1", "/x.json?code=1", "/index.php/x?code=1", "/a;b=c/%2f?code=1",
	}
	for _, target := range others {
		if got := r.get(target); got.status != 200 || got.body != "app" {
			t.Errorf("%q gets %d %q", target, got.status, got.body)
		}
	}
	if got := r.post("/cb/search", "q=1"); got.status != 200 {
		t.Errorf("a form to another path gets %d", got.status)
	}
	seen := b.seen()
	if len(seen) != len(others)+1 {
		t.Fatalf("the application saw %q", seen)
	}
	for i, target := range others {
		if !strings.HasPrefix(seen[i], "GET "+target+" HTTP/1.1\r\n") {
			t.Errorf("%q arrived as %q", target, seen[i])
		}
	}
	if !strings.HasSuffix(seen[len(others)], "\r\n\r\nq=1") {
		t.Errorf("the form arrived as %q", seen[len(others)])
	}
}

// F71: before the sunset a path below a callback's is the application's, as another
// callback of its own may be there.
func TestF71_BeforeTheSunsetOtherPathsAreTheApplications(t *testing.T) {
	s := newSidecar(t, respond200, newRoute(nil))
	for _, target := range []string{"/cb/google?code=1", "/cb.json?code=1"} {
		if got := s.get(target); got.status != 200 || got.body != "app" {
			t.Errorf("%s gets %d", target, got.status)
		}
	}
}

// F70, F71: responses to a held path with a suffix do not reach the application.
func TestF71_HeldPathsWithASuffix(t *testing.T) {
	s := newSidecar(t, respond200)
	s.serveTable(&routetable.Table{Holds: []routetable.Hold{{
		Namespace: "identity", Name: "held", UID: "held", Claims: []routetable.Claim{{Host: host, PathType: routetable.Exact, Path: "/held"}},
	}}})
	for target, want := range map[string]int{
		"/held/x?code=1": 503, "/held.json?SAMLResponse=x": 503, "/held.json?SAMLart=x&SAMLart=y": 503, "/held/x?a=b": 200, "/held.css": 200, "/x/held?code=1": 200,
	} {
		if got := s.get(target); got.status != want {
			t.Errorf("%s gets %d, want %d", target, got.status, want)
		}
	}
	if got := s.post("/held/x", "SAMLResponse=x"); got.status != 503 {
		t.Errorf("a form gets %d", got.status)
	}
}

// W43: the page that reads a response in the fragment comes from the backend that
// gets the responses. Other requests to the path are the application's.
func TestW43_TheFragmentsPageComesFromTheBackend(t *testing.T) {
	s := newSidecar(t, respond200, newRoute(func(r *routetable.Route) {
		r.Callbacks = append(r.Callbacks, routetable.Callback{Name: "below", PathType: routetable.Prefix, Path: "/below"})
	}), newRoute(func(r *routetable.Route) {
		r.Name, r.UID, r.Protocol, r.Callbacks[0].Path = "saml", "saml", routetable.SAML, "/acs"
	}))
	b := newBackend(t, ok("backend"))
	s.lead(blueAddress, b)
	for raw, want := range map[string]string{
		getBytes("/cb"): "200 backend",
		getBytes("/cb?utm=1", "Sec-Fetch-Mode: navigate"):          "200 backend",
		getBytes("/cb", "Sec-Purpose: prefetch"):                   "403",
		getBytes("/cb", "Sec-Fetch-Mode: cors"):                    "200 app",
		getBytes("/cb", "Sec-Fetch-Mode: no-cors"):                 "200 app",
		getBytes("/below/x"):                                       "200 app",
		getBytes("/acs"):                                           "200 app",
		"HEAD /cb HTTP/1.1\r\nHost: " + host + "\r\n\r\n":          "200 ",
		"OPTIONS /cb HTTP/1.1\r\nHost: " + host + "\r\n\r\n":       "200 app",
		"GET /cb HTTP/1.1\r\nHost: other." + host + "\r\n\r\n":     "200 app",
		strings.Replace(getBytes("/cb"), "GET", "DELETE", 1):       "200 app",
		strings.Replace(upgrade, "GET /ws", "GET /cb", 1):          "200 app",
		formHead + "Content-Length: 6\r\n\r\ncode=1":               "200 backend",
		formHead + "Content-Length: 3\r\n\r\na=b":                  "200 app",
		getBytes("/cb?code=1&state=2", "Sec-Fetch-Mode: navigate"): "200 backend",
	} {
		got := s.send(raw)
		if text := fmt.Sprint(got.status, " ", got.body); text != want && (want != "403" || got.status != 403) {
			t.Errorf("%.70q gets %q, want %q", raw, text, want)
		}
	}
	if n := len(b.seen()); n != 4 {
		t.Errorf("backend saw %d requests", n)
	}
	if got := s.usageOf("uid"); got.Callbacks != 2 || got.Other != 2 {
		t.Errorf("usage is %+v", got)
	}
}

// W38: a callback that a parameter tells apart: in a sidecar all other requests to
// its path are the application's.
func TestW38_QueryInASidecar(t *testing.T) {
	s := newSidecar(t, respond200, newRoute(func(r *routetable.Route) {
		r.Callbacks[0].Path, r.Callbacks[0].Query = "/wp-admin/admin-ajax.php", "action=openid-callback"
	}))
	b := newBackend(t, ok("backend"))
	s.lead(blueAddress, b)
	const path = "/wp-admin/admin-ajax.php"
	for target, want := range map[string]string{
		path + "?action=openid-callback&code=1&state=2": "200 backend", path + "?code=1&action=openid-callback": "200 backend",
		path + "?action=heartbeat": "200 app", path + "?action=heartbeat&code=1": "200 app", path: "200 app", path + "?code=1": "200 app",
		path + "?action=openid-callback2&code=1": "200 app",
		// A spelling that PHP reads as the parameter reaches neither side.
		path + "?%61ction=openid-callback&code=1": "404", path + "?action=x&action=openid-callback&code=1": "404", path + "?action[]=openid-callback&code=1": "404",
		"/wp-admin//admin-ajax.php?action=openid-callback&code=1": "400", "/wp-admin//admin-ajax.php?action=x": "200 app",
	} {
		got := s.get(target)
		if text := fmt.Sprint(got.status, " ", got.body); text != want && (len(want) > 3 || strconv.Itoa(got.status) != want) {
			t.Errorf("%s gets %.20q, want %q", target, text, want)
		}
	}
	if got := s.post(path, "action=heartbeat&code=1"); got.body != "app" {
		t.Errorf("a form to the application gets %d", got.status)
	}
	s.clock.Set(farEnd)
	for target, want := range map[string]int{
		path + "?action=openid-callback&code=1": 410, path + "?action=openid-callback": 410, path + "?action=heartbeat": 200, path + "/x?action=openid-callback&code=1": 410,
		path + "/x?action=heartbeat&code=1": 200,
	} {
		if got := s.get(target); got.status != want {
			t.Errorf("after the sunset %s gets %d, want %d", target, got.status, want)
		}
	}
	if n := len(b.seen()); n != 2 {
		t.Errorf("backend saw %d requests", n)
	}
}

// W38: in a fleet a request without the parameter goes to the plain path, or gets
// 404. A path that is registered in an odd spelling is declared with its query only.
func TestW38_QueryInAFleet(t *testing.T) {
	r := newRig(t)
	blue, green := newBackend(t, ok("blue")), newBackend(t, ok("green"))
	r.lead(blueAddress, blue)
	r.lead(greenAddress, green)
	r.serve(newRoute(func(r *routetable.Route) {
		r.Callbacks[0].Query = "action=a&tenant=1"
		r.Callbacks = append(r.Callbacks, routetable.Callback{Name: "odd", PathType: routetable.Exact, Path: "/o//d", Query: "action=a"},
			routetable.Callback{Name: "alone", PathType: routetable.Exact, Path: "/alone", Query: "action=a"})
	}), newRoute(func(r *routetable.Route) {
		r.Name, r.UID = "plain", "plain"
		r.Backends[0].Weight, r.Backends[1].Weight = 0, 1
	}))
	for target, want := range map[string]string{
		"/cb?action=a&code=1&tenant=1": "200 blue", "/cb?action=a&code=1": "200 green", "/cb?code=1": "200 green", "/cb?action=a&tenant=1&tenant=1&code=1": "200 green",
		"/o//d?action=a&code=1": "200 blue", "/o//d?code=1": "400", "/alone?action=a&code=1": "200 blue", "/alone?code=1": "404",
	} {
		got := r.get(target)
		if text := fmt.Sprint(got.status, " ", got.body); text != want && (len(want) > 3 || strconv.Itoa(got.status) != want) {
			t.Errorf("%s gets %.20q, want %q", target, text, want)
		}
	}
	if got := r.usageOf("uid").Callbacks; got != 3 {
		t.Errorf("%d callbacks are counted", got)
	}
}

// F57: the listener of a sidecar speaks HTTP/1.1 only. An HTTP/2 preface is refused
// at once and does not reach the application.
func TestF57_PassThrough_NoHTTP2(t *testing.T) {
	s := newSidecar(t, respond200, newRoute(nil))
	c := s.call("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	if got := readResponse(c.from, "GET"); got.status < 400 || !got.closes {
		t.Errorf("response is %+v", got)
	}
	if s.dials.Load() != 0 {
		t.Error("application was called")
	}
}

// W42: without an announcement each request has a connection of its own, so an
// application that closes connections without a word loses none.
func TestW42_NoConnectionIsUsedAgainWithoutAnnouncement(t *testing.T) {
	var reused atomic.Int64
	r, b := rawApp(t, func(conn net.Conn, _ string) {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		if n, _ := conn.Read(make([]byte, 1)); n > 0 {
			reused.Add(1) // and it is closed now, as by an application that ends
		}
	})
	c := r.call("")
	const n = 400
	for i := range n {
		c.write(getBytes("/x"))
		if got := readResponse(c.from, "GET"); got.status != 200 || got.body != "ok" {
			t.Fatalf("request %d gets %+v", i, got)
		}
	}
	if reused.Load() != 0 || len(b.seen()) != n {
		t.Errorf("%d connections were used again, %d requests arrived", reused.Load(), len(b.seen()))
	}
}

// W42: a connection that the application announced to keep, and closed, is not used
// again.
func TestW42_AClosedConnectionIsSeenBeforeItIsUsed(t *testing.T) {
	listener := listen(t)
	const n = 50
	closed := make(chan struct{}, n)
	var served atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = readRequest(bufio.NewReader(conn))
			served.Add(1)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")
			_ = conn.Close()
			closed <- struct{}{}
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-ended })
	r := newRig(t)
	r.standBefore(listener.Addr())
	r.serve(newRoute(nil))
	c := r.call("")
	for i := range n {
		c.write(getBytes("/x"))
		if got := readResponse(c.from, "GET"); got.status != 200 || got.body != "ok" {
			t.Fatalf("request %d gets %+v", i, got)
		}
		<-closed
	}
	if served.Load() != n {
		t.Errorf("%d requests arrived", served.Load())
	}
}

// W42: a connection waits for less than a second.
func TestW42_IdleForASecondAtMost(t *testing.T) {
	s := newSidecar(t, respond200)
	now := &clock{now: begin}
	_, port, _ := net.SplitHostPort(s.app.Listener.Addr().String())
	number, _ := strconv.Atoi(port)
	s.handler.app = passthrough.New(passthrough.Options{Port: int32(number), Now: now.Now, Grace: streamGrace})
	t.Cleanup(s.handler.app.Cut)
	s.serve(newRoute(nil))
	for _, step := range []struct {
		wait  time.Duration
		dials int64
	}{{0, 1}, {999 * time.Millisecond, 1}, {time.Second, 2}, {time.Millisecond, 2}} {
		now.Set(now.Now().Add(step.wait))
		if got := s.get("/x"); got.status != 200 {
			t.Fatalf("response is %d", got.status)
		}
		for s.handler.app.InFlight() > 0 { // the client has the response before the connection is kept
			runtime.Gosched()
		}
		if got := s.dials.Load(); got != step.dials {
			t.Errorf("after %s there were %d connections, want %d", step.wait, got, step.dials)
		}
	}
}

// An application that listens on the loopback address of IPv6 alone is found.
func TestPassThrough_IPv6Application(t *testing.T) {
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("this machine has no IPv6")
	}
	server := &http.Server{Handler: http.HandlerFunc(respond200), ReadHeaderTimeout: time.Minute}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	r := newRig(t)
	r.standBefore(listener.Addr())
	r.serve(newRoute(nil))
	if got := r.get("/x"); got.status != 200 || got.body != "app" {
		t.Errorf("response is %d %q", got.status, got.body)
	}
}

// Without declared proxies the application gets the fields of a front as it did
// without a sidecar, and the proxy's own only when the peer states nothing. Fields
// that name another path are dropped all the same.
func TestPassThrough_KeepsTheFieldsOfUndeclaredProxies(t *testing.T) {
	names := []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded", "X-Real-Ip", "Remote-User", "X-Original-Url", "X-Rewrite-Url", "X-Envoy-Retry-On"}
	for _, tc := range []struct {
		fields []string
		want   string
	}{
		{
			[]string{"X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https,http", "X-Forwarded-Port: 443", "X-Real-Ip: 1.2.3.4", "Remote-User: ann", "X-Original-Url: /cb", "X_Rewrite_Url: /cb", "X-Envoy-Retry-On: 5xx"},
			"[[1.2.3.4] [https,http] [] [443] [] [1.2.3.4] [ann] [] [] []]",
		},
		{[]string{"Forwarded: for=1.2.3.4"}, "[[] [] [] [] [for=1.2.3.4] [] [] [] [] []]"},
		{
			[]string{"X-Real-Ip: 1.2.3.4"},
			`[[127.0.0.1] [https] [auth.acme.com] [] [for=127.0.0.1;host="auth.acme.com";proto=https] [1.2.3.4] [] [] [] []]`,
		},
	} {
		r, b := rawApp(t, ok(""))
		r.get("/x", tc.fields...)
		_, fields, _ := parts(t, b.only(t))
		var got [][]string
		for _, name := range names {
			got = append(got, fields[name])
		}
		if text := fmt.Sprint(got); text != tc.want {
			t.Errorf("%q arrives as\n%s, want\n%s", tc.fields, text, tc.want)
		}
		if fields["X_rewrite_url"] != nil {
			t.Errorf("a field that names a path arrives: %v", fields)
		}
	}
}

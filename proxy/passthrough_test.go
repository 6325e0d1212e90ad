// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/passthrough"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// sidecar is a proxy in front of an application.
type sidecar struct {
	*rig
	app   *httptest.Server
	dials atomic.Int64 // connections that the application accepted
}

// newSidecar starts a sidecar that serves these routes.
func newSidecar(t testing.TB, app http.HandlerFunc, routes ...routetable.Route) *sidecar {
	t.Helper()
	s := &sidecar{rig: newRig(t)}
	s.app = httptest.NewUnstartedServer(app)
	s.app.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.dials.Add(1)
		}
	}
	s.app.Start()
	t.Cleanup(s.app.Close)
	s.standBefore(s.app.Listener.Addr())
	if len(routes) > 0 {
		s.serve(routes...)
	}
	return s
}

// standBefore puts the proxy in front of an address.
func (r *rig) standBefore(addr net.Addr) { r.standBeforeFor(addr, streamGrace) }

// standBeforeFor sets how long streams may go on after a drain began.
func (r *rig) standBeforeFor(addr net.Addr, grace time.Duration) {
	r.handler.app = passthrough.New(passthrough.Options{
		Port: int32(netip.MustParseAddrPort(addr.String()).Port()), Now: time.Now, Grace: grace,
		Passed: func() { r.metrics.Count(metrics.Passed) },
		Failed: func() { r.metrics.Count(metrics.PassFailed) },
	})
	r.metrics.Bind(metrics.PassthroughInFlight, func() float64 { return float64(r.handler.app.InFlight()) })
	r.t.Cleanup(r.handler.app.Cut)
}

// rawApp is an application of bytes.
func rawApp(t testing.TB, respond func(net.Conn, string)) (*rig, *backend) {
	t.Helper()
	r, b := newRig(t), newBackend(t, respond)
	r.standBefore(b.listener.Addr())
	r.serve(newRoute(nil))
	return r, b
}

func respond200(w http.ResponseWriter, _ *http.Request) {
	if w.Header().Get("Connection") == "" {
		w.Header().Set("Connection", "keep-alive") // as Node and Tomcat announce it
	}
	_, _ = io.WriteString(w, "app")
}

// A callback is served as without an application, a request that is none is
// passed, and a request that may mean a callback gets the gate's response.
func TestPassThrough_PartsCallbacksFromTheRest(t *testing.T) {
	s := newSidecar(t, respond200, newRoute(nil), newRoute(func(r *routetable.Route) {
		r.Name, r.Callbacks[0].Path, r.Callbacks[0].PathType, r.Hostnames = "prefix", "/saml", routetable.Prefix, []string{"saml.acme.com"}
	}))
	s.lead(blueAddress, newBackend(t, ok("blue")))
	for _, tc := range []struct {
		name, method, target, host string
		status                     int
		body                       string
	}{
		{"callback", "GET", "/cb?code=1", host, 200, "blue"},
		{"callback on a port", "GET", "/cb?code=1", "AUTH.acme.com:8080", 200, "blue"},
		{"callback by another method", "PUT", "/cb?code=1", host, 405, ""},
		{"another path", "GET", "/", host, 200, "app"},
		{"below an exact path", "GET", "/cb/x", host, 200, "app"},
		{"beside a prefix", "GET", "/samlx", "saml.acme.com", 200, "app"},
		{"another host", "GET", "/cb?code=1", "other.acme.com", 200, "app"},
		{"any method", "PATCH", "/x", host, 200, "app"},
		{"OPTIONS", "OPTIONS", "/x", host, 200, "app"},
		{"odd but nothing of ours", "GET", "/static//a;v=1/%2e%2e/b", host, 200, "app"},
		{"two slashes", "GET", "//cb", host, 400, ""},
		{"escaped", "GET", "/%63b", host, 400, ""},
		{"escaped twice", "GET", "/%2563b", host, 400, ""},
		{"dot", "GET", "/./cb", host, 400, ""},
		{"dots", "GET", "/x/../cb", host, 400, ""},
		{"escaped dots", "GET", "/x/%2e%2e/cb", host, 400, ""},
		{"parameters", "GET", "/cb;x=1", host, 400, ""},
		{"backslash", "GET", `/x\..\cb`, host, 400, ""},
		{"escaped question mark", "GET", "/cb%3Fcode=1", host, 404, ""},
		{"slash at the end", "GET", "/cb/", host, 404, ""},
		{"upper case", "GET", "/CB", host, 404, ""},
		{"space at the end", "GET", "/cb%20", host, 404, ""},
		{"escaped slash below a prefix", "GET", "/saml%2Fx", "saml.acme.com", 400, ""},
		{"NUL", "GET", "/x%00", host, 400, ""},
		{"address instead of a host", "GET", "/cb", "10.0.0.7:8080", 404, ""},
		{"address, another path", "GET", "/healthz", "10.0.0.7:8080", 200, "app"},
		{"host that is none", "GET", "/cb", host + "..", 404, ""},
		{"host with two ports", "GET", "/cb", host + ":80:80", 404, ""},
		{"absolute form", "GET", "http://" + host + "/x", host, 400, ""},
		{"asterisk", "OPTIONS", "*", host, 400, ""},
		{"tunnel", "CONNECT", host + ":443", host + ":443", 400, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := s.send(tc.method + " " + tc.target + " HTTP/1.1\r\nHost: " + tc.host + "\r\nContent-Length: 0\r\n\r\n")
			if got.err != nil || got.status != tc.status || tc.body != "" && got.body != tc.body {
				t.Errorf("response is %d %q, %v", got.status, got.body, got.err)
			}
		})
	}
}

// Without a config nothing is known to be no callback.
func TestPassThrough_KnowsNothingWithoutAConfig(t *testing.T) {
	s := newSidecar(t, respond200)
	for _, request := range []string{getBytes("/"), getBytes("/cb"), "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"} {
		if got := s.send(request); got.status != 503 {
			t.Errorf("%q gets %d", request, got.status)
		}
	}
	if s.dials.Load() != 0 {
		t.Error("application was called")
	}
}

// After the sunset the callback is gone, in every spelling; the application is
// not.
func TestPassThrough_OutlivesTheSunset(t *testing.T) {
	s := newSidecar(t, respond200, newRoute(nil))
	s.clock.Set(farEnd)
	if got := s.get("/cb?code=1"); got.status != 410 {
		t.Errorf("callback gets %d", got.status)
	}
	if got := s.get("/CB?code=1"); got.status != 404 {
		t.Errorf("its spelling gets %d", got.status)
	}
	if got := s.get("/login"); got.status != 200 || got.body != "app" {
		t.Errorf("application's response is %d", got.status)
	}
}

// The application gets the request as it came, byte for byte where HTTP lets
// it, and the client the answer.
func TestPassThrough_ChangesNothing(t *testing.T) {
	for _, target := range []string{
		"/", "/?", "/a?b=c;d&e=%zz&&a=1&a=1#", "//a//b", "/a%2fb%2Fc/%e4?x=%e4", `/a"b|c[d]`, "/a+b@c:d,e=f$g!*()'~", "/?" + strings.Repeat("q=1&", 12000)[:12000],
	} {
		r, b := rawApp(t, responds("HTTP/1.1 299 Odd\r\nX-A: 1\r\nX-A: 2\r\nSet-Cookie: a=b\r\nLocation: //x\r\nContent-Length: 6\r\n\r\n<html>"))
		got := r.send("DELETE " + target + " HTTP/1.1\r\nHost: Auth.ACME.com:81\r\nX-B: 1\r\nx-b:  2\r\nCookie: c=d\r\nVia: 1.1 x\r\nX-Request-Id: 7\r\n\r\n")
		seen, fields, _ := parts(t, b.only(t))
		if seen != target {
			t.Errorf("target %q arrived as %q", target, seen)
		}
		for name, want := range map[string]string{
			"Host": "[Auth.ACME.com:81]", "X-B": "[1 2]", "Cookie": "[c=d]", "Via": "[1.1 x]", "X-Request-Id": "[7]",
			"User-Agent": "[]", "Accept-Encoding": "[]", "Connection": "[]", "Transfer-Encoding": "[]",
		} {
			if fmt.Sprint(fields[name]) != want {
				t.Errorf("%s is %v, want %s", name, fields[name], want)
			}
		}
		if got.status != 299 || fmt.Sprint(got.header["X-A"], got.header["Set-Cookie"], got.header["Location"], got.header["Content-Type"], got.header["Cache-Control"]) != "[1 2] [a=b] [//x] [] []" {
			t.Errorf("response is %d %v", got.status, got.header)
		}
	}
}

// A backend that leads back to the sidecar, as a Service on its port does, is
// answered with 502; the application is a backend like any other on its own.
func TestPassThrough_Loops(t *testing.T) {
	s := newSidecar(t, respond200, newRoute(nil))
	s.connectTo[blueAddress] = s.address
	if got := s.get("/cb?code=1"); got.status != 502 || s.dials.Load() != 0 {
		t.Errorf("response is %d, the application was called %d times", got.status, s.dials.Load())
	}
	s = newSidecar(t, respond200, newRoute(nil))
	s.connectTo[blueAddress] = s.app.Listener.Addr().String()
	if got := s.get("/cb?code=1"); got.status != 200 || got.body != "app" {
		t.Errorf("response is %d %q", got.status, got.body)
	}
}

// The fields about the client follow the rules for callbacks.
func TestPassThrough_ForwardsTheClient(t *testing.T) {
	lies := []string{
		"X-Forwarded-For: 1.2.3.4", "X_Forwarded_For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "Forwarded: for=1.2.3.4",
		"X-Real-Ip: 1.2.3.4", "X-Original-Url: /cb", "X-Rewrite-Url: /cb", "Proxy: http://evil", "Remote-User: root", "Connection: X-Forwarded-For, X-Forwarded-Host",
	}
	show := func(fields http.Header) string {
		return fmt.Sprint(fields["X-Forwarded-For"], fields["X_forwarded_for"], fields["X-Forwarded-Proto"], fields["X-Forwarded-Host"],
			fields["Forwarded"], fields["X-Real-Ip"], fields["X-Original-Url"], fields["X-Rewrite-Url"], fields["Proxy"], fields["Remote-User"])
	}
	for trusted, want := range map[string]string{
		"10.0.0.0/8":  `[127.0.0.1] [] [https] [auth.acme.com] [for=127.0.0.1;host="auth.acme.com";proto=https] [] [] [] [] []`,
		"127.0.0.0/8": `[1.2.3.4, 127.0.0.1] [] [https] [evil] [for=1.2.3.4, for=127.0.0.1;host="auth.acme.com";proto=https] [1.2.3.4] [/cb] [/cb] [] [root]`,
	} {
		r, b := rawApp(t, ok(""))
		r.serveWith(routetable.Settings{Forwarding: routetable.Forwarding{TrustedProxies: []string{trusted}}}, newRoute(nil))
		r.get("/x", lies...)
		_, fields, _ := parts(t, b.only(t))
		if got := show(fields); got != want {
			t.Errorf("with %s trusted the application sees\n%s, want\n%s", trusted, got, want)
		}
	}
}

// Both connections are kept: the client's and the one to the application.
func TestPassThrough_KeepsConnections(t *testing.T) {
	s := newSidecar(t, respond200, newRoute(nil))
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	from := bufio.NewReader(conn)
	const n = 50
	for range n {
		_, _ = io.WriteString(conn, getBytes("/x"))
		if got := readResponse(from, "GET"); got.status != 200 || got.body != "app" || got.closes {
			t.Fatalf("response is %+v", got)
		}
	}
	if got := s.dials.Load(); got != 1 {
		t.Errorf("%d connections to the application for %d requests", got, n)
	}
	for _, want := range []string{"callbackproxy_passed_total 50\n", "callbackproxy_passthrough_in_flight 0\n", "callbackproxy_pass_failed_total 0\n"} {
		if page := exchangeRaw(t, s.admin, getBytes("/metrics")).body; !strings.Contains(page, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	if strings.Contains(s.log.String(), "/x") || strings.Count(s.log.String(), "\n") > 2 {
		t.Errorf("passed requests are logged: %s", s.log)
	}
}

// The Connection: close of an application that stops reaches its clients through
// the sidecar.
func TestPassThrough_ClosesWithTheApplication(t *testing.T) {
	s := newSidecar(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/last" {
			w.Header().Set("Connection", "close")
		}
		respond200(w, r)
	}, newRoute(nil))
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	from := bufio.NewReader(conn)
	for _, path := range []string{"/first", "/last"} {
		_, _ = io.WriteString(conn, getBytes(path))
		if got := readResponse(from, "GET"); got.status != 200 || got.body != "app" || got.closes != (path == "/last") {
			t.Errorf("to %s the answer is %+v", path, got)
		}
	}
	if _, err := from.ReadByte(); err != io.EOF {
		t.Errorf("the connection stays: %v", err)
	}
}

// F36: a connection that the application ends as it reads the request gets it
// once, with any method and any field of the client about it.
func TestF36_PassedOnce(t *testing.T) {
	for _, request := range []string{
		getBytes("/x"), "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS /x HTTP/1.1\r\nHost: h\r\n\r\n", "TRACE /x HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nIdempotency-Key: 1\r\n\r\n",
		"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nX-Idempotency-Key: 1\r\n\r\nab",
		"DELETE /x HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		var seen atomic.Int64
		s := newSidecar(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/x" {
				seen.Add(1)
				panic(http.ErrAbortHandler)
			}
			respond200(w, r)
		}, newRoute(nil))
		c := s.call(getBytes("/warm"))
		if got := readResponse(c.from, "GET"); got.status != 200 {
			t.Fatalf("first answer is %d", got.status)
		}
		c.write(request)
		method, _, _ := strings.Cut(request, " ")
		got := readResponse(c.from, method)
		if got.status != 502 || seen.Load() != 1 || s.dials.Load() != 1 {
			t.Errorf("%.12q: %d, sent %d times, on %d connections", request, got.status, seen.Load(), s.dials.Load())
		}
	}
}

// F32: the application does not accept connections.
func TestF32_ApplicationRefuses(t *testing.T) {
	s := newSidecar(t, respond200, newRoute(nil))
	s.app.Close()
	got := s.get("/x?secret=1")
	if got.status != 502 || !isPage(got.body, passthrough.PageNotPassed) || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("response is %d %s", got.status, got.body)
	}
	if strings.Contains(s.log.String(), "secret") {
		t.Errorf("logged: %s", s.log)
	}
	if page := exchangeRaw(t, s.admin, getBytes("/metrics")).body; !strings.Contains(page, "callbackproxy_pass_failed_total 1\n") {
		t.Error("failure is not counted")
	}
}

// A request to an application outlives the limits of a callback.
func TestPassThrough_HasNoDeadline(t *testing.T) {
	release := make(chan struct{})
	s := newSidecar(t, func(w http.ResponseWriter, r *http.Request) { <-release; respond200(w, r) }, newRoute(nil))
	const limit = 50 * time.Millisecond
	s.handler.readTimeout = limit
	server := s.server.callbackServer()
	listener := listen(t)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); server.Wait() })
	answers := make(chan response, 2)
	go func() { answers <- exchangeRaw(t, listener.Addr().String(), getBytes("/x")) }()
	go func() {
		answers <- exchangeRaw(t, listener.Addr().String(), "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab")
	}()
	time.Sleep(4 * limit) // the time that passes is what is tested
	close(release)
	for range 2 {
		if got := <-answers; got.status != 200 || got.body != "app" {
			t.Errorf("response is %+v", got)
		}
	}
}

// Heads up to the limit are passed, larger ones refused.
func TestPassThrough_LimitsHeads(t *testing.T) {
	s := newSidecar(t, respond200, newRoute(nil))
	for size, want := range map[int]int{60 << 10: 200, 72 << 10: 431} {
		if got := s.get("/x", "X-Large: "+strings.Repeat("x", size)); got.status != want {
			t.Errorf("%d bytes are answered with %d, want %d", size, got.status, want)
		}
	}
}

// F70: a held claim of a sidecar never reaches the application, in no spelling.
func TestF70_PassThrough_HeldClaim(t *testing.T) {
	s := newSidecar(t, respond200)
	s.serveTable(&routetable.Table{Holds: []routetable.Hold{{
		Namespace: "identity", Name: "held", UID: "held", Claims: []routetable.Claim{{Host: host, PathType: routetable.Exact, Path: "/held"}},
	}}})
	for target, want := range map[string]int{
		"/held?code=1": 503, "/%68eld?code=1": 400, "/HELD?code=1": 404, "/x/../held": 400, "/held;x": 400, "/held/": 404, "/other": 200, "/held/x": 200,
	} {
		if got := s.get(target); got.status != want {
			t.Errorf("%s gets %d, want %d", target, got.status, want)
		}
	}
	if got := counted(t, s.metrics, "callbackproxy_passed_total"); got != "2" {
		t.Errorf("%s requests were passed", got)
	}
}

// W32: a sidecar takes an Exact path in the spelling in which it was registered;
// another spelling of it reaches neither the backend nor the application.
func TestW32_PassThrough_ExactPathsAsRegistered(t *testing.T) {
	s := newSidecar(t, respond200, newRoute(func(r *routetable.Route) { r.Callbacks[0].Path = "/a%2Fb;v=1" }))
	b := newBackend(t, ok("backend"))
	s.lead(blueAddress, b)
	for target, want := range map[string]string{
		"/a%2Fb;v=1?code=1": "backend", "/a%2fb;v=1?code=1": "", "/a/b?code=1": "", "/A%2FB;V=1?code=1": "", "/a": "app", "/b;v=1": "app", "/a%2Fc;v=1": "app",
	} {
		got := s.get(target)
		if want == "" && (got.status < 400 || got.status > 404) || want != "" && got.body != want {
			t.Errorf("%s gets %d %q, want %q", target, got.status, got.body, want)
		}
	}
	if n := len(b.seen()); n != 1 {
		t.Errorf("backend saw %d requests", n)
	}
}

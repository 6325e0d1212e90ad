// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// The limits of reading a request do not end the backend's work: a route may
// give it longer than they are.
func TestServer_ReadAndWriteLimitsAreNotTheBackends(t *testing.T) {
	r := newRig(t)
	const limit = 150 * time.Millisecond
	r.lead(blueAddress, newBackend(t, func(conn net.Conn, _ string) {
		time.Sleep(3 * limit) // a backend that works longer than the limits
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}))
	r.serve(newRoute(func(r *routetable.Route) { r.TimeoutSeconds = 10 }))
	r.handler.readTimeout = limit
	for name, got := range map[string]response{"GET": r.get("/cb"), "POST": r.post("/cb", "a=b")} {
		if got.status != 200 || got.body != "ok" || got.err != nil {
			t.Errorf("%s is %d %q %v", name, got.status, got.body, got.err)
		}
	}
}

// A client that declares a body and does not send it gets 400, and the backend gets
// nothing.
func TestF53_SlowBodyEnds(t *testing.T) {
	r := newRig(t)
	b := newBackend(t, ok(""))
	r.lead(blueAddress, b)
	r.serve(newRoute(nil))
	r.handler.readTimeout = 100 * time.Millisecond
	got := exchangeRaw(t, r.address, "POST /cb HTTP/1.1\r\nHost: "+host+
		"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000000\r\n\r\ncode=1")
	if got.status != 400 || !got.closes || len(b.seen()) != 0 {
		t.Errorf("response is %d %v, backend saw %d", got.status, got.err, len(b.seen()))
	}
}

// F80: a connection outlives the idle timeouts of usual clients, and one of a
// trusted peer those of usual fronts, so that they close it first.
func TestF80_IdleTimeouts(t *testing.T) {
	r := newRig(t)
	r.serveWith(routetable.Settings{Forwarding: routetable.Forwarding{TrustedProxies: []string{"10.0.0.0/8"}}}, newRoute(nil))
	timeout := r.server.callbackServer().IdleTimeout
	for peer, want := range map[string]time.Duration{
		"192.0.2.1": 75 * time.Second, "10.1.2.3": 620 * time.Second, "::ffff:10.1.2.3": 620 * time.Second,
	} {
		if got := timeout(netip.MustParseAddr(peer)); got != want {
			t.Errorf("%s may be idle for %s, want %s", peer, got, want)
		}
	}
}

// F59, F77: a client that leaves after its request was sent to the backend
// cancels nothing: the attempt goes on to its end, and no request is sent again.
func TestF77_ClientLeaves(t *testing.T) {
	r := newRig(t)
	arrived, left, finished := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	b := newBackend(t, func(conn net.Conn, _ string) {
		close(arrived)
		<-left
		_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n"+strings.Repeat("a", 400_000))
		finished <- err
	})
	r.lead(blueAddress, b)
	r.serve(newRoute(nil))
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, getBytes("/cb?code=1"))
	<-arrived
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
	close(left)
	if err := <-finished; err != nil {
		t.Errorf("the backend's response ended with %v", err)
	}
	for !strings.Contains(r.log.String(), `"outcome":"clientGone"`) {
		time.Sleep(time.Millisecond)
	}
	if len(b.seen()) != 1 {
		t.Errorf("backend saw %d requests", len(b.seen()))
	}
}

// F77: a client that ended its half of the connection gets its response.
func TestF77_ClientHalfCloses(t *testing.T) {
	r := newRig(t)
	half := make(chan struct{})
	r.lead(blueAddress, newBackend(t, func(conn net.Conn, _ string) {
		<-half
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}))
	r.serve(newRoute(nil))
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, getBytes("/cb?code=1"))
	_ = conn.(*net.TCPConn).CloseWrite()
	close(half)
	if got := readResponse(bufio.NewReader(conn), "GET"); got.status != 200 || got.body != "ok" {
		t.Errorf("response is %d %v", got.status, got.err)
	}
}

// A listener that fails ends the run with its error.
func TestServer_FailedListenerIsAnError(t *testing.T) {
	r := newRig(t)
	callbacks, admin := listen(t), listen(t)
	_ = callbacks.Close()
	if err := r.server.Run(context.Background(), callbacks, admin); err == nil || !strings.Contains(err.Error(), "serve ") {
		t.Errorf("Run returns %v", err)
	}
}

// Messages of net/http about malformed requests to the admin port may quote them:
// only the fact is logged.
func TestT10_ServerLogIsQuiet(t *testing.T) {
	r := newRig(t)
	server := r.server.adminServer(1)
	server.ErrorLog.Printf("http: invalid Content-Length of %q", "CANARY")
	server.ErrorLog.Printf("http: Accept error: too many open files")
	log := r.log.String()
	if strings.Contains(log, "CANARY") || !strings.Contains(log, "connection failed") || !strings.Contains(log, "too many open files") {
		t.Errorf("log is %s", log)
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"io"
	"net"
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
	server := r.server.callbackServer()
	server.ReadTimeout, server.WriteTimeout = limit, limit
	listener := listen(t)
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(listener) }()
	defer func() { _ = server.Close(); <-stopped }()
	r.address = listener.Addr().String()
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
	server := r.server.callbackServer()
	server.ReadTimeout = 100 * time.Millisecond
	listener := listen(t)
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(listener) }()
	defer func() { _ = server.Close(); <-stopped }()
	got := exchangeRaw(t, listener.Addr().String(), "POST /cb HTTP/1.1\r\nHost: "+host+
		"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000000\r\n\r\ncode=1")
	if got.status != 400 || !got.closes || len(b.seen()) != 0 {
		t.Errorf("response is %d %v, backend saw %d", got.status, got.err, len(b.seen()))
	}
}

func TestServer_Limits(t *testing.T) {
	r := newRig(t)
	server := r.server.callbackServer()
	if server.ReadHeaderTimeout != 5*time.Second || server.ReadTimeout != 30*time.Second || server.IdleTimeout != 60*time.Second ||
		server.MaxHeaderBytes < 48<<10 || server.MaxHeaderBytes > 128<<10 {
		t.Errorf("limits are %+v", server)
	}
}

// F59: a client that leaves takes its request along, before the response and in
// it; no request is sent again.
func TestF59_ClientLeaves(t *testing.T) {
	r := newRig(t)
	arrived, left := make(chan struct{}), make(chan struct{})
	b := newBackend(t, func(conn net.Conn, _ string) {
		close(arrived)
		_, _ = io.Copy(io.Discard, conn) // until the proxy closes
		close(left)
	})
	r.lead(blueAddress, b)
	r.serve(newRoute(nil))
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, getBytes("/cb?code=1"))
	<-arrived
	_ = conn.Close()
	<-left
	for !strings.Contains(r.log.String(), `"outcome":"unknown"`) {
		time.Sleep(time.Millisecond)
	}
	if len(b.seen()) != 1 {
		t.Errorf("backend saw %d requests", len(b.seen()))
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

// Messages of net/http about malformed requests may quote them: only the fact is
// logged.
func TestT10_ServerLogIsQuiet(t *testing.T) {
	r := newRig(t)
	server := r.server.callbackServer()
	server.ErrorLog.Printf("http: invalid Content-Length of %q", "CANARY")
	server.ErrorLog.Printf("http: Accept error: too many open files")
	log := r.log.String()
	if strings.Contains(log, "CANARY") || !strings.Contains(log, "connection failed") || !strings.Contains(log, "too many open files") {
		t.Errorf("log is %s", log)
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// F46: clients that follow readiness, as load balancers do, see no failure: the
// proxy stops to be ready, goes on accepting, and finishes every request in
// flight.
func TestF46_DrainUnderLoad(t *testing.T) {
	r := newRig(t)
	r.server.DrainDelay = 300 * time.Millisecond
	slow := make(chan struct{})
	r.lead(blueAddress, newBackend(t, func(conn net.Conn, request string) {
		if strings.Contains(request, "slow") {
			<-slow
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}))
	r.serve(newRoute(nil))
	r.store.Settle()
	if got := exchangeRaw(t, r.admin, getBytes("/readyz")); got.status != 200 {
		t.Fatalf("readyz is %d", got.status)
	}

	load := newLoad(t, r)
	inFlight := make(chan response, 1)
	go func() { inFlight <- exchangeRaw(t, r.address, getBytes("/cb?slow")) }()

	<-load.warm
	r.stop()
	for exchangeRaw(t, r.admin, getBytes("/readyz")).status == 200 {
		time.Sleep(time.Millisecond) // the poll interval of a load balancer
	}
	if got := exchangeRaw(t, r.address, getBytes("/cb")); got.status != 200 || !got.closes {
		t.Errorf("while draining: %d %v, closes %v", got.status, got.err, got.closes)
	}
	load.notReady.Store(true)
	load.clients.Wait()
	select {
	case err := <-r.stopped:
		t.Fatalf("stopped with a request in flight: %v", err)
	case <-time.After(2 * r.server.DrainDelay):
	}
	close(slow)
	if got := <-inFlight; got.status != 200 || got.body != "ok" {
		t.Errorf("in flight: %d %v", got.status, got.err)
	}
	if err := <-r.stopped; err != nil {
		t.Errorf("stopped with %v", err)
	}
	r.stopped <- nil // for the cleanup
	t.Logf("%d requests, %d while draining", load.requests.Load(), load.late.Load())
	if got := exchangeRaw(t, r.address, getBytes("/cb")); got.err == nil {
		t.Error("still accepting")
	}
}

// keepAlive sends requests on one connection until a response closes it, or stop
// is set, and returns how many got a response.
func keepAlive(t *testing.T, address string, stop *atomic.Bool) int64 {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Errorf("dial: %v", err)
		return 0
	}
	defer func() { _ = conn.Close() }()
	from := bufio.NewReader(conn)
	for n := int64(1); ; n++ {
		if _, err := io.WriteString(conn, getBytes("/cb")); err != nil {
			t.Errorf("write: %v", err)
			return n
		}
		got := readResponse(from, "GET")
		if got.status != 200 || got.err != nil {
			t.Errorf("response is %d %v", got.status, got.err)
			return n
		}
		if got.closes || stop.Load() || n == 10 {
			return n
		}
	}
}

// load is 20 clients that send until the proxy is seen not to be ready.
type load struct {
	requests, late atomic.Int64
	notReady       atomic.Bool
	warm           chan struct{} // holds a token after some requests
	clients        sync.WaitGroup
}

func newLoad(t *testing.T, r *rig) *load {
	t.Helper()
	l := &load{warm: make(chan struct{}, 1)}
	for range 20 {
		l.clients.Go(func() {
			for !l.notReady.Load() {
				n := keepAlive(t, r.address, &l.notReady)
				if r.server.draining.Load() {
					l.late.Add(n)
				}
				if l.requests.Add(n) > 400 {
					select {
					case l.warm <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	return l
}

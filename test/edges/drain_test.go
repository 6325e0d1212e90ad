// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package edges

// drain_test.go: a proxy that gets SIGTERM while callbacks are in flight.

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// inFlight is how many callbacks are in flight at SIGTERM.
const inFlight = 40

// outcome is what one client got.
type outcome struct {
	status int
	body   string
	err    error
}

// terminateWith starts a proxy, sends callbacks that the backend does not respond
// to, half of them POSTs, half of each over connections that were used before, and
// sends SIGTERM. It returns the results and the time from the signal to the exit.
func terminateWith(t *testing.T, release <-chan struct{}) (results []outcome, b *counted, took time.Duration) {
	t.Helper()
	b = startCounted(t, release)
	p := startProxy(t, options{backend: b.address, timeoutSeconds: 120})
	got := make([]outcome, inFlight)
	var running sync.WaitGroup
	for i := range inFlight {
		running.Go(func() {
			client := &http.Transport{}
			defer client.CloseIdleConnections()
			if i%4 < 2 {
				_, _, _ = request(client, byGet, p.address, "/warm", "warm")
			}
			how := []sending{byGet, byPost}[i%2]
			o := &got[i]
			o.status, o.body, o.err = request(client, how, p.address, "/cb", fmt.Sprintf("id%04d", i))
		})
	}
	for range inFlight {
		<-b.arrived
	}
	began := time.Now()
	p.terminate()
	running.Wait()
	select {
	case <-p.exited:
	case <-time.After(time.Minute):
		t.Fatal("the proxy does not exit")
	}
	return got, b, time.Since(began)
}

// counted is a backend that responds when it is released.
type counted struct {
	address string
	arrived chan struct{}
	mu      sync.Mutex
	total   int
}

func startCounted(t *testing.T, release <-chan struct{}) *counted {
	t.Helper()
	b := &counted{arrived: make(chan struct{}, 10*inFlight)}
	over := make(chan struct{})
	b.address = serve(t, func(conn *net.TCPConn) {
		head := make([]byte, 4<<10)
		if n, err := conn.Read(head); err != nil || !strings.Contains(string(head[:n]), " /cb") {
			return
		}
		b.mu.Lock()
		b.total++
		b.mu.Unlock()
		b.arrived <- struct{}{}
		select {
		case <-release:
			_, _ = io.WriteString(conn, page+"Content-Length: 4\r\n\r\nfine")
		case <-over:
		}
	})
	t.Cleanup(func() { close(over) })
	return b
}

func (b *counted) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// F63: callbacks that end within the drain get the backend's response.
func TestF63_TermWaitsForCallbacks(t *testing.T) {
	release := make(chan struct{})
	timer := time.AfterFunc(2*time.Second, func() { close(release) }) // the work of the backend
	defer timer.Stop()
	results, b, took := terminateWith(t, release)
	for i, got := range results {
		if got.status != http.StatusOK || got.body != "fine" || got.err != nil {
			t.Errorf("client %d: %d %q %v", i, got.status, got.body, got.err)
		}
	}
	t.Logf("%d callbacks in flight, %d delivered, exit after %s", inFlight, b.count(), took)
	if b.count() != inFlight {
		t.Errorf("%d delivered", b.count())
	}
}

// F63: callbacks that outlive the drain get a status line before the proxy exits.
func TestF63_TermRespondsToCallbacksThatOutliveTheDrain(t *testing.T) {
	if !full {
		t.Skip("the drain lasts 28 s: EDGES=full")
	}
	results, b, took := terminateWith(t, nil)
	for i, got := range results {
		if got.status != http.StatusBadGateway || got.err != nil || !strings.Contains(got.body, "The sign-in was interrupted") {
			t.Errorf("client %d: %d %q %v", i, got.status, got.body, got.err)
		}
	}
	t.Logf("%d callbacks in flight, %d delivered, exit after %s", inFlight, b.count(), took)
	if b.count() != inFlight {
		t.Errorf("%d delivered", b.count())
	}
}

// F80: a connection that was idle as long as a front keeps it is used again
// without a reset.
func TestF80_IdleConnections(t *testing.T) {
	if !full {
		t.Skip("lasts up to ten minutes: EDGES=full")
	}
	t.Run("60 s", func(t *testing.T) { idleAndReuse(t, nil, 60*time.Second) })
	t.Run("600 s from a trusted peer", func(t *testing.T) { idleAndReuse(t, []string{"127.0.0.0/8"}, 600*time.Second) })
}

// idleAndReuse uses 10,000 connections twice, with a time between.
func idleAndReuse(t *testing.T, trusted []string, idle time.Duration) {
	t.Helper()
	const many = 10_000
	p := startProxy(t, options{backend: startBackend(t).address, trusted: trusted})
	const ask = "GET /warm HTTP/1.1\r\nHost: " + authHost + "\r\n\r\n"
	var connections []net.Conn
	defer func() {
		for _, conn := range connections {
			_ = conn.Close()
		}
	}()
	answers := func(conn net.Conn) error {
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(conn, ask); err != nil {
			return err
		}
		head := make([]byte, 4<<10)
		n, err := conn.Read(head)
		if err == nil && !strings.HasPrefix(string(head[:n]), "HTTP/1.1 404 ") {
			err = fmt.Errorf("the response is %.40q", head[:n])
		}
		return err
	}
	due := make([]time.Time, 0, many)
	for range many {
		conn, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		connections = append(connections, conn)
		if err := answers(conn); err != nil {
			t.Fatal(err)
		}
		due = append(due, time.Now().Add(idle))
	}
	failed := 0
	for i, conn := range connections {
		time.Sleep(time.Until(due[i])) // the time that passes is what is tested
		if err := answers(conn); err != nil {
			failed++
			t.Logf("connection %d: %v", i, err)
		}
	}
	t.Logf("%d connections idle for %s, %d failed", many, idle, failed)
	if failed > 0 {
		t.Errorf("%d of %d connections could not be used again", failed, many)
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// limits_test.go: what a client may send, and how long it may take.

import (
	"io"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// F54: a head that is too long is refused while it is read, and takes no more
// memory than the limits.
func TestF54_LimitsHoldWhileReading(t *testing.T) {
	limit := testLimits.TargetBytes + testLimits.HeaderBytes + requestLineBytes
	taken := make(chan int, 1)
	s := newSite(t, func(x *Exchange) {
		select {
		case taken <- len(x.conn.reader.buf):
		default:
		}
		echo(x)
	})
	for name, c := range map[string]struct {
		head, endless string
		status        int
	}{
		"target":      {"GET /", "a", 414},
		"method":      {"", "A", 414},
		"one field":   {"GET / HTTP/1.1\r\nHost: h\r\nA: ", "a", 431},
		"fields":      {"GET / HTTP/1.1\r\nHost: h\r\n", "a:\r\n", 431},
		"large both":  {"GET /" + strings.Repeat("a", 8000) + " HTTP/1.1\r\nHost: h\r\n", "a:\r\n", 431},
		"long target": {"GET /" + strings.Repeat("a", testLimits.TargetBytes) + " HTTP/1.1\r\nHost: h\r\nA: ", "a", 414},
	} {
		t.Run(name, func(t *testing.T) {
			client := s.dial(t)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = io.WriteString(client.TCPConn, c.head)
				for range 4 * limit / len(c.endless) / 1000 {
					if _, err := io.WriteString(client.TCPConn, strings.Repeat(c.endless, 1000)); err != nil {
						return
					}
				}
			}()
			got := client.receive("GET")
			if got.err != nil || !got.closes || got.status != c.status {
				t.Errorf("response is %+v, want %d", got, c.status)
			}
			if rest, err := client.rest(); rest != "" || err != nil {
				t.Errorf("then %q, %v", rest, err)
			}
			if n := <-taken; n > limit {
				t.Errorf("%d bytes are buffered, the limit is %d", n, limit)
			}
			<-ended
		})
	}
}

// The limits are exact for heads that come at once, and heads up to them pass.
func TestServer_ReadsHeadsUpToTheLimits(t *testing.T) {
	s := newSite(t, echo)
	fields := func(n int) string {
		return "Host: h\r\nA: " + strings.Repeat("a", n-len("Host: h\r\nA: \r\n\r\n")) + "\r\n\r\n"
	}
	for raw, want := range map[string]string{
		"GET /" + strings.Repeat("a", testLimits.TargetBytes-1) + " HTTP/1.1\r\n" + fields(testLimits.HeaderBytes-1): "HTTP/1.1 200 ",
		"GET /" + strings.Repeat("a", testLimits.TargetBytes) + " HTTP/1.1\r\nHost: h\r\n\r\n":                       "HTTP/1.1 414 ",
		"GET / HTTP/1.1\r\n" + fields(testLimits.HeaderBytes+1):                                                      "HTTP/1.1 431 ",
	} {
		c := s.dial(t)
		c.send(raw)
		_ = c.CloseWrite()
		if got, err := c.rest(); !strings.HasPrefix(got, want) || err != nil {
			t.Errorf("%d bytes get %.60q, %v, want %s", len(raw), got, err, want)
		}
	}
}

// A head that does not end in time gets no response: its client may still be
// about to send it.
func TestServer_EndsSlowHeads(t *testing.T) {
	var served atomic.Int32
	server, log := newServer(func(x *Exchange) { served.Add(1); echo(x) })
	server.Limits = func() Limits { return Limits{TargetBytes: 100, HeaderBytes: 100, HeadTimeout: 50 * time.Millisecond} }
	s := serveOn(t, server, log)
	for _, begin := range []string{"G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: h\r\n"} {
		if got, err := s.exchange(t, begin); got != "" || err != nil {
			t.Errorf("%q gets %q, %v", begin, got, err)
		}
		// The next head of a connection has the same time, pipelined or not.
		if got, err := s.exchange(t, get("/")+begin); !strings.HasSuffix(got, "GET / ") || err != nil {
			t.Errorf("%q gets %q, %v", begin, got, err)
		}
	}
	if served.Load() != 3 {
		t.Errorf("%d requests are served", served.Load())
	}
	// Bytes that drip extend nothing.
	c := s.dial(t)
	start := time.Now()
	for time.Since(start) < patience {
		if _, err := io.WriteString(c.TCPConn, "G"); err != nil {
			break
		}
		time.Sleep(2 * time.Millisecond) // the pace is what is tested
		if !IsOpen(c.TCPConn) {
			break
		}
	}
	if time.Since(start) >= patience || served.Load() != 3 {
		t.Errorf("a dripping head ends after %v, %d requests are served", time.Since(start), served.Load())
	}
}

func TestServer_EndsIdleConnections(t *testing.T) {
	server, log := newServer(echo)
	var asked atomic.Int32
	server.IdleTimeout = func(peer netip.Addr) time.Duration {
		asked.Add(1)
		if !peer.IsLoopback() {
			t.Errorf("peer is %v", peer)
		}
		return 50 * time.Millisecond
	}
	s := serveOn(t, server, log)
	if got, err := s.exchange(t, ""); got != "" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := s.exchange(t, get("/")); !strings.HasSuffix(got, "GET / ") || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if asked.Load() != 3 {
		t.Errorf("the timeout is read %d times", asked.Load())
	}
}

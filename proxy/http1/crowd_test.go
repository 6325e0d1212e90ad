// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// crowd_test.go: which connections and requests make room for others.

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/budget"
)

// crowd is a server with few places, whose clock can be put forward.
type crowd struct {
	*site
	shift *atomic.Int64
}

func newCrowd(t *testing.T, places int, handle func(*Exchange)) *crowd {
	t.Helper()
	server, log := newServer(handle)
	shift := &atomic.Int64{}
	server.Now = func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
	server.Limits = func() Limits {
		limits := testLimits
		limits.Connections = places
		return limits
	}
	return &crowd{serveOn(t, server, log), shift}
}

// pass lets time go by.
func (c *crowd) pass(d time.Duration) { c.shift.Add(int64(d)) }

// awaitWaiting returns when that many connections wait in a kind.
func (s *site) awaitWaiting(t *testing.T, kind int64, want int) {
	t.Helper()
	await(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		n := 0
		for c := range s.conns {
			if c.phase.since(kind) != 0 {
				n++
			}
		}
		return n == want
	})
}

// await returns when a condition holds.
func await(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) { // the interval of polling
		if time.Now().After(end) {
			t.Fatal("the condition does not hold")
		}
	}
}

// F67: at 80 % of the connections the longest idle ones make room. A request that
// comes on one of the others is served.
func TestF67_LongestIdleMakeRoom(t *testing.T) {
	s := newCrowd(t, 16, echo)
	idling := make([]*client, 12)
	for i := range idling {
		idling[i] = s.dial(t)
		idling[i].send(get("/"))
		if got := idling[i].receive("GET"); got.status != 200 || got.closes {
			t.Fatalf("connection %d: %+v", i, got)
		}
		s.awaitWaiting(t, idle, i+1)
		s.pass(time.Second)
	}
	last := s.dial(t)
	last.send(get("/last"))
	if got := last.receive("GET"); got.body != "GET /last " {
		t.Errorf("the 13th connection gets %+v", got)
	}
	for i, c := range idling {
		if i < 2 {
			if rest, err := c.rest(); rest != "" || err != nil {
				t.Errorf("idle connection %d ends with %q, %v", i, rest, err)
			}
			continue
		}
		c.send(get("/again"))
		if got := c.receive("GET"); got.body != "GET /again " {
			t.Errorf("idle connection %d: %+v", i, got)
		}
	}
}

// F80: a response tells its client to close the connection while the server is
// crowded.
func TestF80_CrowdedServerCloses(t *testing.T) {
	s := newCrowd(t, 5, echo)
	for i := range 4 {
		c := s.dial(t)
		c.send(get("/"))
		if got := c.receive("GET"); got.status != 200 || got.closes != (i == 3) {
			t.Errorf("connection %d of 5: %+v", i, got)
		}
	}
}

// F53, F67: when no place is left, the requests that have been read for longest make
// room and get 503: they were not delivered. Those that just began stay.
func TestF53_SlowRequestsMakeRoom(t *testing.T) {
	s := newCrowd(t, 8, echo)
	const begun = "POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n"
	slow := make([]*client, 7)
	for i := range slow {
		slow[i] = s.dial(t)
		slow[i].send(begun)
		if i%2 == 1 {
			slow[i].send("\r\n12345")
		}
		s.awaitWaiting(t, reading, i+1)
		s.pass(time.Millisecond)
	}
	s.pass(graceOfAll)
	c := s.dial(t)
	c.send(get("/fast"))
	if got := c.receive("GET"); got.body != "GET /fast " {
		t.Errorf("the 8th connection gets %+v", got)
	}
	if got := slow[0].receive("POST"); got.status != 503 || got.body != "connections" || !got.closes {
		t.Errorf("the slowest head gets %+v", got)
	}
	c = s.dial(t)
	c.send(get("/fast"))
	if got := c.receive("GET"); got.body != "GET /fast " {
		t.Errorf("the next connection gets %+v", got)
	}
	slow[5].send("67890")
	if got := slow[5].receive("POST"); got.body != "POST /slow 1234567890" {
		t.Errorf("one of the last gets %+v", got)
	}
}

// F53: clients that do not take their response make room last.
func TestF53_SlowReadersMakeRoom(t *testing.T) {
	const large = 64 << 20
	s := newCrowd(t, 2, func(x *Exchange) {
		if x.Target != "/large" {
			echo(x)
			return
		}
		x.Begin(200, "OK")
		_ = x.Send(make([]byte, large))
	})
	readers := make([]*client, 2)
	for i := range readers {
		readers[i] = s.dial(t)
		readers[i].send(get("/large"))
		s.awaitWaiting(t, writing, i+1)
		s.pass(time.Second)
	}
	c := s.dial(t) // the system keeps it until there is room
	c.send(get("/fast"))
	s.pass(slowWrite)
	if got := c.receive("GET"); got.body != "GET /fast " {
		t.Errorf("a client gets %+v", got)
	}
	got := readers[0].receive("GET")
	if got.status != 200 || len(got.body) == large || !errors.Is(got.err, io.ErrUnexpectedEOF) {
		t.Errorf("the slowest reader gets %d with %d bytes, %v", got.status, len(got.body), got.err)
	}
}

// F53: while all places are busy no connection is accepted, and none is lost.
func TestF53_BusyServerLosesNothing(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{}, 2)
	s := newCrowd(t, 2, func(x *Exchange) {
		if x.Target == "/work" {
			entered <- struct{}{}
			<-release
		}
		echo(x)
	})
	working := make([]*client, 2)
	for i := range working {
		working[i] = s.dial(t)
		working[i].send(get("/work"))
		<-entered
	}
	waiting := s.dial(t)
	waiting.send(get("/fast"))
	s.pass(time.Hour)
	if n := s.Connections(); n != 2 {
		t.Errorf("%d connections are accepted", n)
	}
	close(release)
	for _, c := range []*client{working[0], working[1], waiting} {
		if got := c.receive("GET"); got.status != 200 || got.err != nil {
			t.Errorf("a client gets %+v", got)
		}
	}
}

// A server that stops does not wait for room.
func TestCrowd_StopsWhileFull(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{})
	s := newCrowd(t, 1, func(x *Exchange) {
		close(entered)
		<-release
		echo(x)
	})
	c := s.dial(t)
	c.send(get("/work"))
	<-entered
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	await(t, s.stopping.Load)
	close(release)
	if got := c.receive("GET"); got.status != 200 {
		t.Errorf("the client gets %+v", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// F67: heads that are not complete are shed when they hold too much, with 503 and
// what was read of them, and a small one is not counted.
func TestF67_UnfinishedHeadsAreShed(t *testing.T) {
	server, log := newServer(func(x *Exchange) {
		if x.Refusal != nil {
			x.Begin(x.Refusal.Status, http.StatusText(x.Refusal.Status))
			_ = x.Send([]byte(x.Refusal.Reason + " " + x.Host + x.Target))
			return
		}
		echo(x)
	})
	const head = 4 * smallBuffer
	server.Memory = budget.NewMemory(4*head, server.Now)
	s := serveOn(t, server, log)
	clients := make([]*client, 5)
	for i := range clients {
		clients[i] = s.dial(t)
		clients[i].send("GET /large HTTP/1.1\r\nHost: h\r\nA: " + strings.Repeat("a", 2*smallBuffer))
		if i < 4 {
			await(t, func() bool { return server.Memory.Held() == int64(i+1)*head })
		}
	}
	for _, c := range clients[:2] { // two, so that not each byte looks for another one
		if got := c.receive("GET"); got.status != 503 || got.body != "memory h/large" || !got.closes {
			t.Errorf("a head that is shed gets %+v", got)
		}
	}
	for _, c := range clients[2:] {
		c.send("\r\n\r\n")
		if got := c.receive("GET"); got.body != "GET /large " {
			t.Errorf("a head that stays gets %+v", got)
		}
	}
	await(t, func() bool { return server.Memory.Held() == 0 })
}

// F67: a declared length takes no memory, and neither do the first bytes of a body.
func TestF67_DeclaredLengthTakesNothing(t *testing.T) {
	asked := make(chan int, 10)
	s := newSite(t, func(x *Exchange) {
		body, _ := x.ReadBody(func(body []byte, arrived int) ([]byte, error) {
			asked <- arrived
			return append(make([]byte, 0, len(body)+1000), body...), nil
		}, 1<<20, time.Now().Add(patience))
		x.Begin(200, "OK")
		_ = x.Send(body)
	})
	c := s.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1200\r\n\r\n")
	s.awaitWaiting(t, reading, 1)
	if len(asked) != 0 {
		t.Error("memory is taken before a byte arrived")
	}
	c.send(strings.Repeat("a", 1200))
	if got := c.receive("POST"); got.body != strings.Repeat("a", 1200) {
		t.Errorf("response is %+v", got)
	}
	if first := <-asked; first < 1 {
		t.Errorf("%d bytes had arrived", first)
	}
}

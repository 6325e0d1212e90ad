// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// drain_test.go: from accepting to the end of the last connection.

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// shutDown begins a Shutdown. Its result comes on the channel.
func (s *site) shutDown(t *testing.T) chan error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	result := make(chan error, 1)
	go func() { result <- s.Shutdown(ctx) }()
	return result
}

// swept returns after Shutdown has visited all connections: an idle one ended.
func (s *site) swept(t *testing.T, idle *client) {
	t.Helper()
	if rest, err := idle.rest(); rest != "" || err != nil {
		t.Errorf("an idle connection ends with %q, %v", rest, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
}

// idle returns a connection that waits for its second request.
func (s *site) idle(t *testing.T) *client {
	t.Helper()
	c := s.dial(t)
	c.send(get("/idle"))
	if got := c.receive("GET"); got.status != 200 || got.closes {
		t.Fatalf("response is %+v", got)
	}
	return c
}

// holding serves /idle at once, and starts all other responses: they end when
// release is closed.
func holding(started chan<- struct{}, release <-chan struct{}) func(*Exchange) {
	return func(x *Exchange) {
		x.Begin(200, "OK")
		if x.Target == "/idle" {
			_ = x.Send(nil)
			return
		}
		_ = x.Start(7, []byte("one"))
		started <- struct{}{}
		<-release
		_, _ = x.Write([]byte(" two"))
		_ = x.End()
	}
}

// Shutdown ends idle connections and waits for the others, also for those whose
// response announced that the connection goes on.
func TestShutdown_WaitsForRequestsInFlight(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	s := newSite(t, holding(started, release))
	idle, fresh, active := s.idle(t), s.dial(t), s.dial(t)
	active.send(get("/active"))
	<-started
	result := s.shutDown(t)
	s.swept(t, idle)
	if rest, err := fresh.rest(); rest != "" || err != nil {
		t.Errorf("a connection without a request ends with %q, %v", rest, err)
	}
	select {
	case err := <-result:
		t.Errorf("Shutdown does not wait: %v", err)
	default:
	}
	close(release)
	if got := active.receive("GET"); got.body != "one two" || got.err != nil {
		t.Errorf("response is %+v", got)
	}
	if rest, err := active.rest(); rest != "" || err != nil {
		t.Errorf("then %q, %v", rest, err)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", s.address); err == nil {
		_ = conn.Close()
		t.Error("the listener is open")
	}
}

func TestShutdown_EndsWithItsContext(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	s := newSite(t, holding(started, release))
	active := s.dial(t)
	active.send(get("/active"))
	<-started
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown returns %v", err)
	}
	_ = s.Close()
	close(release)
	s.Wait()
}

// Drain makes each response the last one of its connection, with or without
// pipelining, and each request that was read gets one.
func TestDrain_ClosesAfterTheNextResponse(t *testing.T) {
	var s *site
	s = newSite(t, func(x *Exchange) {
		x.Begin(200, "OK")
		_ = x.Send([]byte(x.Target))
		if x.Target == "/drain" {
			s.Drain()
		}
	})
	idle, c := s.idle(t), s.dial(t)
	c.send(get("/drain") + get("/pipelined") + get("/never"))
	if got := c.receive("GET"); got.body != "/drain" || got.closes {
		t.Errorf("response is %+v", got)
	}
	if got := c.receive("GET"); got.body != "/pipelined" || !got.closes || got.err != nil {
		t.Errorf("response is %+v", got)
	}
	if rest, err := c.rest(); rest != "" || err != nil {
		t.Errorf("then %q, %v", rest, err)
	}
	idle.send(get("/last"))
	if got := idle.receive("GET"); got.body != "/last" || !got.closes {
		t.Errorf("response is %+v", got)
	}
	if got, err := s.exchange(t, get("/new")); !strings.HasSuffix(got, "/new") || !strings.Contains(got, "\r\nConnection: close\r\n") || err != nil {
		t.Errorf("a new connection gets %q, %v", got, err)
	}
}

// wrapped is a listener whose connections are changed.
type wrapped struct {
	net.Listener
	wrap func(*net.TCPConn) net.Conn
}

func (l wrapped) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.wrap(conn.(*net.TCPConn)), nil
}

// late is a connection on which the bytes of the client arrive, but the first
// wait for them ends without them: the goroutine gets no processor before
// Shutdown.
type late struct {
	*net.TCPConn
	waiting chan struct{}
	ended   chan struct{}
	once    sync.Once
	reads   atomic.Int32
}

func (l *late) Read(p []byte) (int, error) {
	if l.reads.Add(1) == 1 {
		close(l.waiting)
		<-l.ended
		return 0, os.ErrDeadlineExceeded
	}
	return l.TCPConn.Read(p)
}

func (l *late) SetReadDeadline(at time.Time) error {
	if at.Before(time.Now()) {
		l.once.Do(func() { close(l.ended) })
	}
	return l.TCPConn.SetReadDeadline(at)
}

func (l *late) Close() error {
	l.once.Do(func() { close(l.ended) })
	return l.TCPConn.Close()
}

// A request that arrived before Shutdown gets its response.
func TestShutdown_ServesWhatArrivedBefore(t *testing.T) {
	conns := make(chan *late, 1)
	s := newSite(t, echo, func(l net.Listener) net.Listener {
		return wrapped{l, func(conn *net.TCPConn) net.Conn {
			c := &late{TCPConn: conn, waiting: make(chan struct{}), ended: make(chan struct{})}
			conns <- c
			return c
		}}
	})
	c := s.dial(t)
	accepted := <-conns
	<-accepted.waiting
	c.send(get("/arrived"))
	for isSilent(accepted.TCPConn) {
		time.Sleep(time.Millisecond)
	}
	result := s.shutDown(t)
	if got := c.receive("GET"); got.body != "GET /arrived " || !got.closes {
		t.Errorf("response is %+v", got)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// A connection that is accepted while the server ends does not outlive it.
func TestServe_EndsWhenTheServerWasClosedBefore(t *testing.T) {
	for name, end := range map[string]func(*Server){
		"Close": func(s *Server) { _ = s.Close() }, "Shutdown": func(s *Server) { _ = s.Shutdown(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			server, _ := newServer(echo)
			end(server)
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			stop := time.AfterFunc(patience, func() { _ = listener.Close(); t.Error("Serve goes on") })
			if err := server.Serve(listener); !errors.Is(err, ErrServerClosed) {
				t.Errorf("Serve returns %v", err)
			}
			stop.Stop()
			if conn, err := net.Dial("tcp", listener.Addr().String()); err == nil {
				_ = conn.Close()
				t.Error("the listener is open")
			}
		})
	}
}

func TestClose_EndsAllConnections(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	s := newSite(t, holding(started, release))
	idle, active := s.idle(t), s.dial(t)
	active.send(get("/active"))
	<-started
	_ = s.Close()
	_, _ = idle.rest()
	got, _ := active.rest()
	if !strings.HasSuffix(got, "one") {
		t.Errorf("response is %q", got)
	}
	close(release)
	s.Wait()
}

// failing is a listener that fails some times before it accepts.
type failing struct {
	net.Listener
	failures []error
}

func (l *failing) Accept() (net.Conn, error) {
	if len(l.failures) > 0 {
		err := l.failures[0]
		l.failures = l.failures[1:]
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
	}
	return l.Listener.Accept()
}

// A process without descriptors tries again, ever more slowly.
func TestServe_BacksOff(t *testing.T) {
	s := newSite(t, echo, func(l net.Listener) net.Listener {
		return &failing{l, []error{syscall.EMFILE, syscall.ENFILE, syscall.EMFILE, syscall.ECONNABORTED}}
	})
	if got, err := s.exchange(t, get("/", "Connection: close")); !strings.HasSuffix(got, "GET / ") || err != nil {
		t.Errorf("response is %q, %v", got, err)
	}
	for _, pause := range []string{"pause=5ms", "pause=10ms", "pause=20ms", "pause=40ms"} {
		if !strings.Contains(s.log.String(), pause) {
			t.Errorf("no %s in %s", pause, s.log)
		}
	}
	server, _ := newServer(echo)
	if err := server.Serve(&failing{nil, []error{syscall.EINVAL}}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("Serve returns %v", err)
	}
}

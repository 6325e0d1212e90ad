// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// rig_test.go: a server on a real connection, and clients of bytes.

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds each test that waits for the network.
const patience = 20 * time.Second

// site is a server that runs.
type site struct {
	*Server
	address string
	log     *lockedBuffer
	ended   chan error // the result of Serve
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var testLimits = Limits{TargetBytes: 8 << 10, HeaderBytes: 16 << 10, HeadTimeout: patience}

func newServer(handle func(*Exchange)) (*Server, *lockedBuffer) {
	log := &lockedBuffer{}
	return &Server{
		Handle: handle, Limits: func() Limits { return testLimits }, Now: time.Now,
		IdleTimeout: func(netip.Addr) time.Duration { return 2 * patience },
		Log:         slog.New(slog.NewTextHandler(log, nil)),
	}, log
}

// newSite serves on a loopback address, through a listener that wrap may change.
func newSite(t testing.TB, handle func(*Exchange), wraps ...func(net.Listener) net.Listener) *site {
	t.Helper()
	server, log := newServer(handle)
	return serveOn(t, server, log, wraps...)
}

func serveOn(t testing.TB, server *Server, log *lockedBuffer, wraps ...func(net.Listener) net.Listener) *site {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{Server: server, address: listener.Addr().String(), log: log, ended: make(chan error, 1)}
	for _, wrap := range wraps {
		listener = wrap(listener)
	}
	go func() { s.ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		_ = listener.Close()
		server.Wait()
		<-s.ended
	})
	return s
}

// client is a connection of a client.
type client struct {
	*net.TCPConn
	t    testing.TB
	from *bufio.Reader
}

func (s *site) dial(t testing.TB) *client {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &client{TCPConn: conn.(*net.TCPConn), t: t, from: bufio.NewReader(conn)}
}

func (c *client) send(raw string) {
	c.t.Helper()
	if _, err := io.WriteString(c, raw); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// answer is a response as a client reads it.
type answer struct {
	status int
	header http.Header
	body   string
	closes bool
	err    error
}

// receive reads one response to a request with a method.
func (c *client) receive(method string) answer {
	response, err := http.ReadResponse(c.from, &http.Request{Method: method})
	if err != nil {
		return answer{err: err}
	}
	body, err := io.ReadAll(response.Body)
	return answer{status: response.StatusCode, header: response.Header, body: string(body), closes: response.Close, err: err}
}

// rest reads to the end of the connection.
func (c *client) rest() (string, error) {
	rest, err := io.ReadAll(c.from)
	return string(rest), err
}

// exchange sends bytes on a new connection and reads to its end.
func (s *site) exchange(t testing.TB, raw string) (string, error) {
	t.Helper()
	c := s.dial(t)
	c.send(raw)
	return c.rest()
}

// growing is memory for a body without a limit.
func growing(body []byte, _ int) ([]byte, error) { return append(body, 0)[:len(body)], nil }

// echo responds with the request line and the body, or with the refusal.
func echo(x *Exchange) {
	if x.Refusal != nil {
		x.Begin(x.Refusal.Status, "Refused")
		_ = x.Send([]byte(x.Refusal.Reason))
		return
	}
	body, err := x.ReadBody(growing, 1<<20, time.Now().Add(patience))
	if err != nil {
		x.Begin(http.StatusBadRequest, "Bad Request")
		_ = x.Send([]byte(err.Error()))
		return
	}
	x.Begin(http.StatusOK, "OK")
	_ = x.Send([]byte(x.Method + " " + x.Target + " " + string(body)))
}

func get(target string, lines ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: h\r\n" + strings.Join(append(lines, "", ""), "\r\n")
}

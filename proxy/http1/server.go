// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// server.go: the connections of a listener, from accepting to draining.

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/budget"
)

// Limits bound what a client may send, and how long it may take.
type Limits struct {
	// TargetBytes bounds the request target, HeaderBytes all field lines.
	TargetBytes, HeaderBytes int
	// HeadTimeout bounds the time from the first byte of a head to its end.
	HeadTimeout time.Duration
	// Connections is how many connections there may be at once; 0: any number.
	Connections int
	// ProxyProtocol: each connection begins with a header of the PROXY protocol,
	// whose source address becomes the peer.
	ProxyProtocol bool
}

// Server serves connections, each by one goroutine.
type Server struct {
	// Handle responds to one request. It returns when the response is complete,
	// or cannot be completed.
	Handle func(*Exchange)
	// Limits returns those of the next request.
	Limits func() Limits
	// IdleTimeout is how long a peer's connection may wait for its next request.
	IdleTimeout func(netip.Addr) time.Duration
	// Memory is what requests may hold; nil: any number of bytes.
	Memory *budget.Memory
	// Dropped, when set, is called for each connection that ends without a
	// response, with constant text and the address of the socket.
	Dropped func(reason string, socket netip.AddrPort)
	Log     *slog.Logger
	Now     func() time.Time

	draining atomic.Bool
	// crowded: so many connections are in use that each response is the last one of
	// its connection.
	crowded atomic.Bool
	room    chan struct{} // a connection has ended while the server was crowded
	// untilScan is how many connections are accepted before idle ones are looked
	// for again. It belongs to Serve.
	untilScan int
	// stopping: no connection waits for a request any more.
	stopping atomic.Bool
	mu       sync.Mutex // of stopping too, where connections are added
	listener net.Listener
	conns    map[*conn]struct{}
	running  sync.WaitGroup
}

// ErrServerClosed is returned by Serve after Shutdown or Close.
var ErrServerClosed = errors.New("server closed")

// Serve accepts connections until the server is closed.
func (s *Server) Serve(listener net.Listener) error {
	if !s.listen(listener) {
		_ = listener.Close()
		return ErrServerClosed
	}
	var pause time.Duration
	for {
		accepted, err := listener.Accept()
		switch {
		case err == nil:
			pause = 0
			s.start(accepted)
			s.makeRoom()
		case errors.Is(err, net.ErrClosed) && s.stopping.Load():
			return ErrServerClosed
		case isTemporary(err):
			pause = min(max(2*pause, firstPause), lastPause)
			s.Log.Warn("a connection could not be accepted", "error", err.Error(), "pause", pause.String())
			<-time.NewTimer(pause).C
		default:
			return err
		}
	}
}

// listen notes the listener. It reports false when the server was closed before.
func (s *Server) listen(listener net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener = listener
	if s.conns == nil {
		s.conns = map[*conn]struct{}{}
		s.room = make(chan struct{}, 1)
	}
	return !s.stopping.Load()
}

// firstPause and lastPause bound the time until a listener that has no
// descriptors tries again.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// isTemporary reports whether accepting may succeed later.
func isTemporary(err error) bool {
	for _, errno := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EPROTO, syscall.EINTR, syscall.EPERM,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func (s *Server) start(accepted net.Conn) {
	c := &conn{Conn: accepted, server: s}
	c.peer, _ = netip.ParseAddrPort(accepted.RemoteAddr().String())
	if tcp, ok := accepted.RemoteAddr().(*net.TCPAddr); ok {
		c.peer = tcp.AddrPort()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		_ = accepted.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.noteCrowd()
	s.running.Add(1)
	go c.serve()
}

// Drain makes each response the last one of its connection.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown stops accepting, ends the connections that wait for a request, and
// returns when all others have ended, or with the error of ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	s.stop(func(c *conn) { c.interrupt(idle, nil) })
	ended := make(chan struct{})
	go func() { s.running.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close stops accepting and closes all connections.
func (s *Server) Close() error {
	s.Drain()
	s.stop(func(c *conn) { _ = c.Conn.Close() })
	return nil
}

// stop stops accepting, and visits all connections. A connection that is not idle
// yet sees that the server stops when it would be.
func (s *Server) stop(visit func(*conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping.Store(true)
	if s.listener != nil {
		_ = s.listener.Close()
	}
	for c := range s.conns {
		visit(c)
	}
}

// Wait returns when all connections have ended.
func (s *Server) Wait() { s.running.Wait() }

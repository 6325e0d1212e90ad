// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package interposer

import (
	"io"
	"log"
	"net"
	"sync"
)

// listener knows its connections, to freeze them.
type listener struct {
	net.Listener
	mu    sync.Mutex
	conns map[*conn]struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: accepted, owner: l, frozen: make(chan struct{}), closed: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	return c, nil
}

func (l *listener) freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.freezeOnce.Do(func() { close(c.frozen) })
	}
}

// conn is a connection that may become a black hole.
type conn struct {
	net.Conn
	owner      *listener
	frozen     chan struct{}
	closed     chan struct{}
	freezeOnce sync.Once
	closeOnce  sync.Once
}

func (c *conn) isFrozen() bool {
	select {
	case <-c.frozen:
		return true
	default:
		return false
	}
}

// Read waits for the end once the connection is frozen: what came is lost.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.isFrozen() {
		return n, err
	}
	<-c.closed
	return 0, net.ErrClosed
}

// Write loses what it is given once the connection is frozen.
func (c *conn) Write(b []byte) (int, error) {
	if c.isFrozen() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *conn) Close() error {
	c.closeOnce.Do(func() { close(c.closed) })
	c.owner.mu.Lock()
	delete(c.owner.conns, c)
	c.owner.mu.Unlock()
	return c.Conn.Close()
}

// quiet is for a server whose clients are cut off all the time.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

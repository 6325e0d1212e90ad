// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// peek_test.go: the states of a connection.

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestIsOpen(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	for name, c := range map[string]struct {
		peer         func(*net.TCPConn)
		open, silent bool
	}{
		"open":       {func(*net.TCPConn) {}, true, true},
		"with bytes": {func(p *net.TCPConn) { _, _ = io.WriteString(p, "x") }, false, false},
		"bytes, end": {func(p *net.TCPConn) { _, _ = io.WriteString(p, "x"); _ = p.CloseWrite() }, false, false},
		"half":       {func(p *net.TCPConn) { _ = p.CloseWrite() }, false, true},
		"closed":     {func(p *net.TCPConn) { _ = p.Close() }, false, true},
		"reset":      {func(p *net.TCPConn) { _ = p.SetLinger(0); _ = p.Close() }, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			peer, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = peer.Close() }()
			c.peer(peer.(*net.TCPConn))
			until := time.Now().Add(patience)
			for !c.open && IsOpen(conn) && time.Now().Before(until) { // until the loopback device delivered it
				time.Sleep(time.Millisecond)
			}
			if open, silent := IsOpen(conn), isSilent(conn); open != c.open || silent != c.silent {
				t.Errorf("open %v, silent %v", open, silent)
			}
			if c.silent {
				return
			}
			if got, err := io.ReadAll(io.LimitReader(conn, 1)); string(got) != "x" || err != nil {
				t.Errorf("then %q is read, %v", got, err)
			}
		})
	}
	local, _ := net.Pipe()
	if IsOpen(local) || !isSilent(local) {
		t.Error("a pipe can be examined")
	}
}

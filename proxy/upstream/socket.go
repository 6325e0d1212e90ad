// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

// socket.go: TCP connections of one request each, with few system calls. The
// dialler of package net asks for both addresses of each connection, sets options
// of connections that live long, and starts a goroutine for each dial that can be
// cancelled.

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socket is a TCP connection.
type socket struct {
	*os.File
	remote netip.AddrPort
}

// connect connects to an address before a time. It returns early when ctx ends.
// Errors are the system's, or os.ErrDeadlineExceeded.
//
// A small packet waits for the acknowledgement of the one before it (RFC 896), so
// a connection without TCP_NODELAY is for requests that are written at once.
func connect(ctx context.Context, to netip.AddrPort, before time.Time) (*socket, error) {
	family, name := nameOf(to)
	fd, err := open(family)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err = syscall.Connect(fd, name); err == syscall.EINPROGRESS || err == syscall.EINTR { //nolint:errorlint // an Errno as the system gives it
		// The second call returns how far the first one is. On the same node it is done.
		err = syscall.Connect(fd, name)
	}
	s := &socket{os.NewFile(uintptr(fd), "backend"), to} // it waits for the network, as fd does not block
	if isConnecting(err) {
		err = s.awaitConnected(ctx, name, before)
	}
	if err != nil && err != syscall.EISCONN { //nolint:errorlint // as above
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// isConnecting reports whether a call of connect states that an earlier one goes
// on.
func isConnecting(err error) bool { return err == syscall.EALREADY || err == syscall.EINTR } //nolint:errorlint // an Errno as the system gives it

// awaitConnected waits for the end of a connect. The write deadline stays.
func (s *socket) awaitConnected(ctx context.Context, name syscall.Sockaddr, before time.Time) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	if err := s.SetWriteDeadline(before); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.SetWriteDeadline(past) })
	defer stop()
	failed := raw.Write(func(fd uintptr) bool {
		err = syscall.Connect(int(fd), name)
		return !isConnecting(err)
	})
	if failed != nil {
		return failed
	}
	return err
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// nameOf returns the family and the name of an address for the system.
func nameOf(ap netip.AddrPort) (family int, name syscall.Sockaddr) {
	addr := ap.Addr().Unmap()
	if addr.Is4() {
		return syscall.AF_INET, &syscall.SockaddrInet4{Port: int(ap.Port()), Addr: addr.As4()}
	}
	return syscall.AF_INET6, &syscall.SockaddrInet6{Port: int(ap.Port()), Addr: addr.As16()}
}

// writeParts writes two parts with one system call where the system takes both at
// once. It returns how many bytes were written.
func (s *socket) writeParts(head, body []byte) (n int64, err error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, err
	}
	// The last packet of a part that the system takes later would wait.
	_ = raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1) })
	parts := [][]byte{head, body}
	failed := raw.Write(func(fd uintptr) bool {
		for len(parts) > 0 && err == nil {
			var wrote int
			wrote, err = unix.Writev(int(fd), parts)
			switch {
			case errors.Is(err, unix.EAGAIN):
				err = nil
				return false
			case errors.Is(err, unix.EINTR):
				err = nil
			case err == nil:
				n += int64(wrote)
				parts = skip(parts, wrote)
			}
		}
		return true
	})
	if err == nil {
		err = failed
	}
	return n, err
}

// skip drops the first n bytes of parts.
func skip(parts [][]byte, n int) [][]byte {
	for len(parts) > 0 && n >= len(parts[0]) {
		n -= len(parts[0])
		parts = parts[1:]
	}
	if len(parts) > 0 {
		parts[0] = parts[0][n:]
	}
	return parts
}

// RemoteAddr returns the address that was dialled.
func (s *socket) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.remote) }

// LocalAddr returns nil. It makes a socket a net.Conn.
func (*socket) LocalAddr() net.Addr { return nil }

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// peek.go: the state of a connection without reading from it.

import (
	"net"
	"syscall"
)

// IsOpen reports whether a connection is open and silent: the peer has neither
// sent anything nor ended its half. A connection that cannot be examined is not.
func IsOpen(c net.Conn) bool {
	n, err := peek(c)
	return n < 0 && (err == syscall.EAGAIN || err == syscall.EWOULDBLOCK) //nolint:errorlint // an Errno as the system gives it
}

// isSilent reports whether the peer has sent nothing that was not read. It may
// have ended its half.
func isSilent(c net.Conn) bool {
	n, _ := peek(c)
	return n <= 0
}

// peek returns what a read would: n < 0 with an error, 0 at the end.
func peek(c net.Conn) (n int, err error) {
	system, ok := c.(syscall.Conn)
	if !ok {
		return -1, syscall.EINVAL
	}
	raw, err := system.SyscallConn()
	if err != nil {
		return -1, err
	}
	var b [1]byte
	failed := raw.Control(func(fd uintptr) {
		n, _, err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err != nil {
			n = -1
		}
	})
	if failed != nil {
		return -1, failed
	}
	return n, err
}

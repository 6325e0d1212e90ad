// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package upstream

// socket_other.go: the socket where its options take calls of their own, as on macOS.

import "syscall"

// open returns a socket that does not block and that no other program inherits.
func open(family int) (fd int, err error) {
	syscall.ForkLock.RLock()
	fd, err = syscall.Socket(family, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return -1, err
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}

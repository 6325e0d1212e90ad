// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

// socket_linux.go: the socket in one system call.

import "syscall"

// open returns a socket that does not block and that no other program inherits.
func open(family int) (fd int, err error) {
	return syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

// errors.go: why an attempt failed, in constant text.

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
)

// Reason is the cause of a failure, in constant text.
type Reason string

// The reasons.
const (
	BadRequest       Reason = "request cannot be sent"
	NoAddress        Reason = "backend has no address"
	ForbiddenAddress Reason = "address must not be dialled"
	DialFailed       Reason = "dialling failed"
	WriteFailed      Reason = "sending failed"
	ReadFailed       Reason = "no complete response"
	Malformed        Reason = "response is malformed"
	HeadTooLarge     Reason = "response header is too large"
	TooManyInterim   Reason = "too many interim responses"
	Switching        Reason = "backend switched protocols"
	TimedOut         Reason = "time is over"
	Canceled         Reason = "proxy is stopping"
)

// Error is why an attempt has no response. Its text holds no byte of the request
// and none of the response, so it may be logged.
type Error struct {
	Reason Reason
	// NotDelivered is true when it is certain that no byte of the request
	// was sent. Otherwise the backend may have acted on it.
	NotDelivered bool
	// Timeout is true when time ran out.
	Timeout bool
	// Ours is true when this process or machine lacked something to dial with,
	// such as a descriptor: it is no finding about the address.
	Ours bool
	// Detail is the operating system's error text, or empty.
	Detail string
}

// Error returns the reason and the operating system's error text.
func (e *Error) Error() string {
	if e.Detail == "" {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + e.Detail
}

var (
	errTooManyInterim = errors.New(string(TooManyInterim))
	errSwitching      = errors.New(string(Switching))
)

// detail keeps only the operating system's constant text of an error: the rest may
// quote received bytes.
func detail(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return ""
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

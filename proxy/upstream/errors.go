// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
)

// Reason says what went wrong, in constant text.
type Reason string

// The reasons.
const (
	BadRequest       Reason = "request cannot be sent"
	NoAddress        Reason = "backend has no address"
	ForbiddenAddress Reason = "address must not be dialled"
	DialFailed       Reason = "dialling failed"
	WriteFailed      Reason = "sending failed"
	ReadFailed       Reason = "no complete answer"
	Malformed        Reason = "answer is malformed"
	HeadTooLarge     Reason = "answer's header is too large"
	TooManyInterim   Reason = "too many interim answers"
	Switching        Reason = "backend switched protocols"
	TimedOut         Reason = "time is over"
	Canceled         Reason = "client is gone"
)

// Error says why an attempt has no answer. Its text holds no byte of the
// request and none of the answer, so it may be logged.
type Error struct {
	Reason Reason
	// NotDelivered is true when it is certain that no byte of the request
	// was sent. Otherwise the backend may have acted on it.
	NotDelivered bool
	// Timeout is true when time ran out.
	Timeout bool
	// Ours is true when this process or machine lacked something to dial with,
	// such as a descriptor: it says nothing about the address.
	Ours bool
	// Detail is the operating system's word on it, or empty.
	Detail string
}

// Error returns the reason and the operating system's word on it.
func (e *Error) Error() string {
	if e.Detail == "" {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + e.Detail
}

var (
	errHeadTooLarge   = errors.New(string(HeadTooLarge))
	errTooManyInterim = errors.New(string(TooManyInterim))
	errSwitching      = errors.New(string(Switching))
	errMalformed      = errors.New(string(Malformed))
)

// detail keeps of an error what is the operating system's own constant text:
// the rest may quote what was read.
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

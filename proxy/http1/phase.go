// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// phase.go: what a connection waits for, and how its waiting is ended from outside.

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// The kinds of waiting. A connection that is busy waits for no client, so nothing
// of it is shed.
//
//	idle     for the first byte of a request, or for the end of its connection
//	reading  for the rest of a head or of a body: the request was not delivered
//	writing  for the client to take a part of the response
const (
	busy int64 = iota
	idle
	reading
	writing
	kinds
)

// interrupted is the word of a phase that was ended from outside.
const interrupted int64 = -1

// The reasons for which a request is shed while it is read.
var (
	errMemory      = &Error{http.StatusServiceUnavailable, "memory"}
	errConnections = &Error{http.StatusServiceUnavailable, "connections"}
)

// phase is what a connection waits for, and since when. Its connection's goroutine
// begins and ends it; another goroutine may end it first, and then decides about
// the connection.
type phase struct {
	// word is the beginning in Unix nanoseconds, its lowest bits the kind.
	word atomic.Int64
	mu   sync.Mutex // of why, and held until the deadline is set that ends the waiting
	why  *Error
}

// begin requires that the deadline of the waiting is set already.
func (p *phase) begin(kind int64, now time.Time) { p.word.Store(now.UnixNano()&^(kinds-1) | kind) }

// end reports whether the phase was not ended from outside. When it was, the
// deadline that did it is set.
func (p *phase) end() (ok bool, why *Error) {
	if p.word.Swap(busy) != interrupted {
		return true, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return false, p.why
}

// since returns when the phase began, in Unix nanoseconds, if it is of a kind; or
// 0.
func (p *phase) since(kind int64) int64 {
	word := p.word.Load()
	if word == interrupted || word&(kinds-1) != kind {
		return 0
	}
	return word
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// interrupt ends a phase of a kind, and reports whether the connection was in it.
func (c *conn) interrupt(kind int64, why *Error) bool {
	p := &c.phase
	p.mu.Lock()
	defer p.mu.Unlock()
	word := p.since(kind)
	if word == 0 || !p.word.CompareAndSwap(word, interrupted) {
		return false
	}
	p.why = why
	if kind == writing {
		_ = c.SetWriteDeadline(past)
	} else {
		_ = c.SetReadDeadline(past)
	}
	return true
}

// ReadingSince implements budget.Request.
func (c *conn) ReadingSince() int64 { return c.phase.since(reading) }

// Shed implements budget.Request.
func (c *conn) Shed() bool { return c.interrupt(reading, errMemory) }

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

// exchange.go: one request and its response on one connection.

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/http1"
)

const (
	// MaxHeadBytes bounds the head of a response.
	MaxHeadBytes = 64 << 10
	// maxInterim is how many interim (1xx) responses are dropped.
	maxInterim = 5
)

// exchange is one request and its response on one connection.
type exchange struct {
	ctx    context.Context
	conn   net.Conn
	reader http1.Reader
	closed bool
	// stop ends the watch over ctx.
	stop func() bool
	// wrote is true when a byte was sent.
	wrote bool
	// deadline ends the exchange. readDeadline is the connection's.
	deadline, readDeadline time.Time
	response               Response
}

func newExchange(ctx context.Context, conn net.Conn, deadline time.Time) *exchange {
	x := &exchange{ctx: ctx, conn: conn, reader: *http1.NewReader(conn), deadline: deadline}
	// A proxy that stops waits for no response. Whether the backend has acted is
	// unknown.
	x.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return x
}

// run sends the request to the backend of a choice, and reads the head of the
// response.
func (x *exchange) run(p *Plan, c *Choice, firstByte time.Time) (*Response, error) {
	// A request that is not sent in the time of the first byte is too late for it.
	x.readDeadline = firstByte
	if err := x.conn.SetDeadline(firstByte); err != nil {
		return nil, err
	}
	n, err := x.send(p, c)
	x.wrote = n > 0
	if err != nil {
		return nil, err
	}
	head, err := x.readHead(p.Method)
	if err != nil {
		return nil, err
	}
	x.response = Response{Response: head, body: x.reader.BodyOf(head), exchange: x}
	return &x.response, nil
}

// heads lends the buffers of requests.
var heads = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// joinBytes is up to which size a body is copied behind the head, to be sent at
// once.
const joinBytes = 16 << 10

// send writes the whole request at once and returns how many bytes of it were
// written.
func (x *exchange) send(p *Plan, c *Choice) (int64, error) {
	lent := heads.Get().(*[]byte)
	head := (*lent)[:0]
	defer func() {
		if cap(head) <= 4*joinBytes {
			*lent = head[:0]
			heads.Put(lent)
		}
	}()
	head = append(head, p.Method...)
	head = append(head, ' ')
	head = append(head, c.Target...)
	head = append(head, " HTTP/1.1\r\nHost: "...)
	head = append(head, c.Host...)
	head = append(head, "\r\n"...)
	for _, line := range p.Lines {
		head = append(head, line...)
		head = append(head, "\r\n"...)
	}
	if p.Framed {
		head = append(head, "Content-Length: "...)
		head = strconv.AppendInt(head, int64(len(p.Body)), 10)
		head = append(head, "\r\n"...)
	}
	head = append(head, "Connection: close\r\n\r\n"...)
	if len(p.Body) <= joinBytes {
		head = append(head, p.Body...)
		n, err := x.conn.Write(head)
		return int64(n), err
	}
	if s, ok := x.conn.(*socket); ok {
		return s.writeParts(head, p.Body)
	}
	buffers := net.Buffers{head, p.Body}
	return buffers.WriteTo(x.conn)
}

// readHead returns the first response that is not an interim one.
func (x *exchange) readHead(method string) (*http1.Response, error) {
	for range maxInterim + 1 {
		response, err := x.reader.ReadResponse(method, MaxHeadBytes)
		switch {
		case err != nil:
			return nil, err
		case response.Status == http.StatusSwitchingProtocols:
			return nil, errSwitching
		case response.Status >= http.StatusOK:
			return response, nil
		}
	}
	return nil, errTooManyInterim
}

func (x *exchange) close() {
	if x.closed {
		return
	}
	x.closed = true
	x.stop()
	_ = x.conn.Close()
	if x.response.Response != nil {
		x.response.Fields = nil // their memory is another message's from here on
	}
	x.reader.Release()
}

// explain turns an error of run into an Error.
func (x *exchange) explain(err error) *Error {
	e := &Error{Reason: ReadFailed, NotDelivered: !x.wrote, Detail: detail(err)}
	refusal, malformed := errors.AsType[*http1.Error](err)
	switch {
	case x.ctx.Err() != nil:
		e.Reason = Canceled
	case isTimeout(err):
		e.Reason, e.Timeout = TimedOut, true
	case errors.Is(err, http1.ErrHeadTooLarge):
		e.Reason = HeadTooLarge
	case malformed:
		e.Reason, e.Detail = Malformed, refusal.Reason
	case errors.Is(err, errTooManyInterim):
		e.Reason = TooManyInterim
	case errors.Is(err, errSwitching):
		e.Reason = Switching
	case !x.wrote:
		e.Reason = WriteFailed
	}
	return e
}

// Response is the head of a backend's response, and its body. Its Fields end with
// Close.
type Response struct {
	*http1.Response
	body     http1.Body
	exchange *exchange
}

// ErrPause is returned by ReadUntil when the backend pauses. Reading may go on.
var ErrPause = errors.New("backend pauses")

// Read returns io.EOF only at the end that the backend announced, and *Error
// otherwise: also when the total time is over.
func (r *Response) Read(p []byte) (int, error) { return r.ReadUntil(p, r.exchange.deadline) }

// ReadUntil is Read, but returns ErrPause when nothing comes before a time.
func (r *Response) ReadUntil(p []byte, pause time.Time) (int, error) {
	x := r.exchange
	if x.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if r.body.Ended() {
		return 0, io.EOF
	}
	limited := pause.Before(x.deadline)
	if !limited {
		pause = x.deadline
	}
	if !x.readDeadline.Equal(pause) {
		if err := x.conn.SetReadDeadline(pause); err != nil {
			return 0, x.explain(err)
		}
		x.readDeadline = pause
	}
	n, err := r.body.Read(p)
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	case limited && errors.Is(err, os.ErrDeadlineExceeded) && x.ctx.Err() == nil:
		return n, ErrPause
	}
	return n, x.explain(err)
}

// Close ends the connection. The rest of the body is not read.
func (r *Response) Close() { r.exchange.close() }

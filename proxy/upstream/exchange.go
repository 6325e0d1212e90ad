// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

// exchange.go: one request and its response on one connection.

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// MaxHeadBytes bounds the header of a response together with the interim
	// responses before it. Bytes that are read ahead of the body count too, so up
	// to readBytes more may pass.
	MaxHeadBytes = 64 << 10
	readBytes    = 4 << 10
	// maxInterim is how many interim (1xx) responses are dropped.
	maxInterim = 5
)

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readBytes) }}

// exchange is one request and its response on one connection.
type exchange struct {
	ctx    context.Context
	conn   net.Conn
	reader *bufio.Reader
	// stop ends the watch over ctx.
	stop func() bool
	// wrote is true when a byte was sent.
	wrote bool
	// left is how many bytes may still be read.
	left int64
	// readErr is the connection's own error: a parser that stops at the end
	// of what it has may call the same thing malformed.
	readErr error
}

func newExchange(ctx context.Context, conn net.Conn) *exchange {
	x := &exchange{ctx: ctx, conn: conn, left: MaxHeadBytes + readBytes}
	x.reader = readers.Get().(*bufio.Reader)
	x.reader.Reset(x)
	// A client that left waits for no response. Whether the backend has acted is
	// unknown.
	x.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return x
}

// run sends the request and reads the head of the response.
func (x *exchange) run(r *Request, deadline, firstByte time.Time) (*http.Response, error) {
	if err := x.conn.SetWriteDeadline(deadline); err != nil {
		return nil, err
	}
	if err := x.conn.SetReadDeadline(firstByte); err != nil {
		return nil, err
	}
	n, err := x.send(r)
	x.wrote = n > 0
	if err != nil {
		return nil, err
	}
	response, err := x.readHead(r.Method)
	if err != nil {
		return nil, err
	}
	if err := x.conn.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	x.left = math.MaxInt64
	response.Body = &responseBody{exchange: x, content: response.Body}
	return response, nil
}

// send writes the whole request at once and returns how many bytes of it were
// written.
func (x *exchange) send(r *Request) (int64, error) {
	head := make([]byte, 0, 2<<10)
	head = append(head, r.Method...)
	head = append(head, ' ')
	head = append(head, r.Target...)
	head = append(head, " HTTP/1.1\r\nHost: "...)
	head = append(head, r.Host...)
	head = append(head, "\r\n"...)
	for name, values := range r.Header {
		for _, value := range values {
			head = append(head, name...)
			head = append(head, ": "...)
			head = append(head, value...)
			head = append(head, "\r\n"...)
		}
	}
	if r.Method != http.MethodGet {
		head = append(head, "Content-Length: "...)
		head = strconv.AppendInt(head, int64(len(r.Body)), 10)
		head = append(head, "\r\n"...)
	}
	head = append(head, "Connection: close\r\n\r\n"...)
	if len(r.Body) == 0 {
		n, err := x.conn.Write(head)
		return int64(n), err
	}
	buffers := net.Buffers{head, r.Body}
	return buffers.WriteTo(x.conn)
}

// readHead returns the first response that is not an interim one.
func (x *exchange) readHead(method string) (*http.Response, error) {
	for range maxInterim + 1 {
		response, err := http.ReadResponse(x.reader, &http.Request{Method: method})
		switch {
		case err != nil:
			return nil, err
		case response.ProtoMajor != 1 || response.StatusCode < http.StatusContinue:
			return nil, errMalformed
		case response.StatusCode == http.StatusSwitchingProtocols:
			return nil, errSwitching
		case response.StatusCode >= http.StatusOK:
			return response, nil
		}
	}
	return nil, errTooManyInterim
}

// Read reads from the connection, no more than is left.
func (x *exchange) Read(p []byte) (int, error) {
	if x.left <= 0 {
		x.readErr = errHeadTooLarge
		return 0, errHeadTooLarge
	}
	if int64(len(p)) > x.left {
		p = p[:x.left]
	}
	n, err := x.conn.Read(p)
	x.left -= int64(n)
	if err != nil {
		x.readErr = err
	}
	return n, err
}

func (x *exchange) close() {
	x.stop()
	_ = x.conn.Close()
	if x.reader != nil {
		x.reader.Reset(nil)
		readers.Put(x.reader)
		x.reader = nil
	}
}

// explain turns an error of run into an Error.
func (x *exchange) explain(err error) *Error {
	if x.readErr != nil {
		err = x.readErr
	}
	e := &Error{Reason: ReadFailed, NotDelivered: !x.wrote, Detail: detail(err)}
	switch {
	case x.ctx.Err() != nil:
		e.Reason = Canceled
	case isTimeout(err):
		e.Reason, e.Timeout = TimedOut, true
	case errors.Is(err, errHeadTooLarge):
		e.Reason = HeadTooLarge
	case errors.Is(err, errTooManyInterim):
		e.Reason = TooManyInterim
	case errors.Is(err, errSwitching):
		e.Reason = Switching
	case !x.wrote:
		e.Reason = WriteFailed
	case e.Detail == "" && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		e.Reason = Malformed
	}
	return e
}

// responseBody is the body of a response, and the connection's end.
type responseBody struct {
	exchange *exchange
	content  io.Reader
	closed   bool
}

// Read returns io.EOF only at the end that the backend announced.
func (b *responseBody) Read(p []byte) (int, error) {
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.content.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.exchange.explain(err)
	}
	return n, err
}

// Close ends the connection. The rest of the body is not read.
func (b *responseBody) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	b.exchange.close()
	return nil
}

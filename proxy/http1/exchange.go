// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// exchange.go: one request on a connection of a client, and the response to it.

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// ErrBodyLength is returned for a body that is longer than its limit.
var ErrBodyLength = errors.New("body is too long")

// Exchange is one request and the response to it. A handler responds exactly
// once: with Begin, any number of Add and AddLine, and Send, or Start, any number
// of Write, and End.
type Exchange struct {
	Request
	Peer netip.AddrPort
	// Refusal is why the head cannot be served; nil: it can be. Request holds what
	// was read of it, Host and Target where they could be read.
	Refusal *Error

	conn *conn
	body Body
	// out is the head of the response, and what is sent with it.
	out   []byte
	state state
	// closes: the connection ends after the response.
	closes  bool
	chunked bool // the response
	// bodiless: the response has no body, by its status or the method.
	bodiless bool
	isEmpty  bool // by its status: it may not even declare a length
	// broken: a part of the response could not be sent, so nothing may follow it.
	broken bool
	// left is what is left of the declared length; -1: none is declared.
	left int64
}

// state is how far the response is.
type state int

const (
	unanswered state = iota
	begun            // its head is being written
	started          // its head was sent, or the sending was tried
	ended
	tunnelled // the connection is no HTTP any more
	aborted
)

// Responded reports whether a byte of the response may have been sent.
func (x *Exchange) Responded() bool { return x.state > begun }

// Close ends the connection after the response.
func (x *Exchange) Close() { x.closes = true }

// IsDraining reports whether the server is about to stop.
func (x *Exchange) IsDraining() bool { return x.conn.server.draining.Load() }

// Now returns the time by the server's clock.
func (x *Exchange) Now() time.Time { return x.conn.server.Now() }

// Body returns the body of the request, to be read as it comes.
func (x *Exchange) Body() *Body { return &x.body }

// Grow returns more memory for a body, with what was read of it: at least one byte
// more. arrived is how many bytes are known to have arrived, those included. Its
// error ends the reading.
type Grow func(body []byte, arrived int) ([]byte, error)

// ReadBody returns the whole body of the request, in memory of grow, when it comes
// before the deadline. Errors are ErrBodyLength, *Error, those of grow, or the
// connection's. With an error too it returns what was read.
func (x *Exchange) ReadBody(grow Grow, limit int64, deadline time.Time) ([]byte, error) {
	if x.body.Ended() {
		return nil, nil
	}
	if err := x.conn.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	if err := x.SendContinue(); err != nil {
		return nil, err
	}
	x.conn.phase.begin(reading, x.Now())
	body, err := x.body.readAll(grow, limit)
	if ok, why := x.conn.phase.end(); !ok {
		return body, why
	}
	return body, err
}

// Hold makes the body of the request hold that many bytes of the server's memory,
// instead of what it held. The error is an *Error: the request was shed.
func (x *Exchange) Hold(bytes int) error {
	if refusal := x.conn.hold(bytes); refusal != nil {
		return refusal
	}
	return nil
}

// Assign makes what the request holds a route's. The error is an *Error: the route
// has no memory left.
func (x *Exchange) Assign(route string) error {
	if m := x.conn.server.Memory; m != nil && !m.Assign(&x.conn.share, route) {
		return errMemory
	}
	return nil
}

// SendContinue sends 100 Continue to a client that waits for it.
func (x *Exchange) SendContinue() error {
	if !x.Continue || x.conn.reader.Buffered() > 0 {
		return nil
	}
	x.Continue = false
	return x.SendInterim("HTTP/1.1 100 Continue\r\n\r\n")
}

// SendInterim sends an interim response as it is.
func (x *Exchange) SendInterim(head string) error {
	return x.write([]byte(head))
}

// SetReadDeadline bounds reading of the body; zero: nothing does.
func (x *Exchange) SetReadDeadline(t time.Time) { _ = x.conn.SetReadDeadline(t) }

// SetWriteDeadline bounds the response; zero: nothing does.
func (x *Exchange) SetWriteDeadline(t time.Time) { _ = x.conn.SetWriteDeadline(t) }

// Begin begins the head of the response. A head that was begun and not sent is
// dropped.
func (x *Exchange) Begin(status int, reason string) {
	x.state = begun
	x.out = append(x.out[:0], "HTTP/1.1 "...)
	x.out = strconv.AppendInt(x.out, int64(status), 10)
	x.out = append(x.out, ' ')
	x.out = append(x.out, reason...)
	x.out = append(x.out, "\r\n"...)
	x.isEmpty = status < http.StatusOK || status == http.StatusNoContent
	x.bodiless = x.isEmpty || x.Method == http.MethodHead || status == http.StatusNotModified
}

// Add adds a field to the head.
func (x *Exchange) Add(name, value string) {
	x.out = append(x.out, name...)
	x.out = append(x.out, ": "...)
	x.out = append(x.out, value...)
	x.out = append(x.out, "\r\n"...)
}

// AddLine adds a field line as it is.
func (x *Exchange) AddLine(line string) {
	x.out = append(x.out, line...)
	x.out = append(x.out, "\r\n"...)
}

// Send ends the head and sends it with the whole body.
func (x *Exchange) Send(body []byte) error {
	if !x.bodiless {
		x.addLength(int64(len(body)))
	}
	x.endHead()
	x.state, x.left = ended, 0
	if x.bodiless {
		body = nil
	}
	return x.writeOut(body)
}

// Start ends the head and sends it with the first part of the body. A length
// that is not known is -1. The length of a response without a body is the one
// that the body would have; -1 declares none.
func (x *Exchange) Start(length int64, first []byte) error {
	x.left = length
	switch {
	case x.bodiless:
		if x.left = 0; length >= 0 && !x.isEmpty {
			x.addLength(length)
		}
	case length >= 0:
		x.addLength(length)
	case x.Minor == 0:
		x.closes = true
	default:
		x.chunked = true
		x.out = append(x.out, "Transfer-Encoding: chunked\r\n"...)
	}
	x.endHead()
	x.state = started
	if x.chunked && len(first) > 0 {
		x.out = appendChunkSize(x.out, len(first))
		x.out = append(x.out, first...)
		x.out = append(x.out, "\r\n"...)
		first = nil
	}
	if x.bodiless {
		first = nil
	} else if x.left >= 0 {
		x.left -= int64(len(first))
	}
	return x.writeOut(first)
}

func (x *Exchange) addLength(length int64) {
	x.out = append(x.out, "Content-Length: "...)
	x.out = strconv.AppendInt(x.out, length, 10)
	x.out = append(x.out, "\r\n"...)
}

func (x *Exchange) endHead() {
	if server := x.conn.server; !x.body.Ended() || server.draining.Load() || server.crowded.Load() {
		x.closes = true
	}
	x.closes = x.closes || x.Request.Close
	switch {
	case x.closes:
		x.out = append(x.out, "Connection: close\r\n"...)
	case x.Minor == 0:
		x.out = append(x.out, "Connection: keep-alive\r\n"...)
	}
	x.out = append(x.out, "\r\n"...)
}

func appendChunkSize(b []byte, n int) []byte {
	b = strconv.AppendInt(b, int64(n), 16)
	return append(b, "\r\n"...)
}

// joinBytes is up to which size a body is copied behind the head, to be sent at
// once.
const joinBytes = 16 << 10

// writeOut sends what is in out, and then the body.
func (x *Exchange) writeOut(body []byte) error {
	if len(body) <= joinBytes {
		x.out = append(x.out, body...)
		return x.write(x.out)
	}
	return x.writeAll(net.Buffers{x.out, body})
}

// write sends bytes. After a failure it sends nothing more: the client would take
// it for what is missing.
func (x *Exchange) write(p []byte) error {
	if x.broken {
		return errBroken
	}
	x.conn.phase.begin(writing, x.Now())
	_, err := x.conn.Write(p)
	return x.endWrite(err)
}

// writeAll is write of several parts.
func (x *Exchange) writeAll(parts net.Buffers) error {
	if x.broken {
		return errBroken
	}
	x.conn.phase.begin(writing, x.Now())
	_, err := parts.WriteTo(x.conn.Conn)
	return x.endWrite(err)
}

// endWrite returns the error of a write. A write that the server ended because it
// needs the place has one too, or the next one would.
func (x *Exchange) endWrite(err error) error {
	if ok, why := x.conn.phase.end(); !ok && err == nil {
		err = why
	}
	x.broken = err != nil
	return err
}

var (
	errBroken = errors.New("an earlier part was not sent")
	errLength = errors.New("the body has another length than declared")
)

// Write sends a part of the body.
func (x *Exchange) Write(p []byte) (int, error) {
	if x.bodiless || len(p) == 0 {
		return len(p), nil
	}
	var err error
	switch {
	case x.chunked:
		x.out = appendChunkSize(x.out[:0], len(p))
		err = x.writeAll(net.Buffers{x.out, p, []byte("\r\n")})
	case x.left < 0:
		err = x.write(p)
	case x.left < int64(len(p)):
		x.broken, err = true, errLength
	default:
		x.left -= int64(len(p))
		err = x.write(p)
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// End ends the body. Trailer lines are sent when the body has chunks.
func (x *Exchange) End(trailer ...string) error {
	x.state = ended
	switch {
	case x.broken:
		return errBroken
	case x.bodiless:
		return nil
	case x.left > 0:
		x.broken = true
		return errLength
	case !x.chunked:
		return nil
	}
	x.out = append(x.out[:0], "0\r\n"...)
	for _, line := range trailer {
		x.AddLine(line)
	}
	x.out = append(x.out, "\r\n"...)
	return x.write(x.out)
}

// Abort ends the connection so that the client sees that a part of the response
// is missing. Its framing shows that; where the end of the connection would be
// the end of the body, the connection is reset.
func (x *Exchange) Abort() {
	x.state = aborted
	if tcp, ok := x.conn.Conn.(*net.TCPConn); ok && x.endsBody() {
		_ = tcp.SetLinger(0)
	}
}

// endsBody reports whether the end of the connection is the end of the response's
// body.
func (x *Exchange) endsBody() bool { return !x.chunked && x.left < 0 }

// Tunnel hands the connection over, with what was read of it already: it is no
// HTTP any more. The handler closes it.
func (x *Exchange) Tunnel() (net.Conn, []byte) {
	x.state = tunnelled
	reader := &x.conn.reader
	return x.conn.Conn, reader.buf[reader.r:reader.w]
}

// WaitClient waits until the client ends its half of the connection (io.EOF),
// breaks it (an error), or Interrupt is called. It keeps what the client sends
// meanwhile. It is called after the body was read, while another goroutine
// responds.
func (x *Exchange) WaitClient() error {
	reader := &x.conn.reader
	for reader.w < len(reader.buf) {
		if err := reader.fill(); err != nil {
			return err
		}
	}
	return nil
}

// Interrupt ends reading that waits for the client.
func (x *Exchange) Interrupt() { _ = x.conn.SetReadDeadline(past) }

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// conn.go: a connection of a client, request after request.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/budget"
)

// conn is a connection of a client.
type conn struct {
	net.Conn
	server *Server
	reader Reader
	peer   netip.AddrPort
	phase  phase
	// share is what the present request holds of the server's memory.
	share budget.Share
	// headBytes is the part of it for a large head.
	headBytes int
}

// outs lends the buffers of heads of responses.
var outs = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// serve serves requests until the connection ends.
func (c *conn) serve() {
	defer c.server.running.Done()
	c.reader = *NewReader(c.Conn)
	c.reader.hold = c.holdHead
	c.share.Request = c
	out := outs.Get().(*[]byte)
	x := &Exchange{Peer: c.peer, conn: c, out: *out}
	defer func() {
		c.forget(x.state == tunnelled)
		*out = emptied(x.out)
		outs.Put(out)
		c.reader.Release()
	}()
	if c.server.Limits().ProxyProtocol && !c.readProxyHeader() {
		return
	}
	x.Peer = c.peer
	for c.awaitRequest() {
		ok := c.readRequest(x)
		if ok {
			c.handle(x)
		}
		c.release()
		if !ok || !c.goesOn(x) {
			return
		}
		*x = Exchange{Peer: c.peer, conn: c, out: emptied(x.out)}
		c.reader.forgetFields()
	}
}

// emptied returns the buffer of a head for the next one. A large one goes: an idle
// connection would keep it.
func emptied(out []byte) []byte {
	if cap(out) > 2*joinBytes {
		return make([]byte, 0, 4<<10)
	}
	return out[:0]
}

// handle keeps a panic from ending the process, and with it all other requests. The
// text of the panic may quote the request.
func (c *conn) handle(x *Exchange) {
	defer func() {
		if value := recover(); value != nil {
			c.server.Log.Error("handler panicked", "type", fmt.Sprintf("%T", value))
			x.Close()
		}
	}()
	c.server.Handle(x)
}

// forget closes the connection, unless it was handed over.
func (c *conn) forget(handedOver bool) { //nolint:revive // the end of one connection
	if !handedOver {
		_ = c.Conn.Close()
	}
	c.server.remove(c)
}

// awaitRequest waits for the first byte of a request, and reports whether it came.
// One empty line before it is skipped (RFC 9112 section 2.2): old clients send it
// after a form.
func (c *conn) awaitRequest() bool {
	skipped := false
	for {
		switch begin := c.reader.begin(); {
		case begin == "", begin == "\r" && !skipped:
			if !c.await(c.server.Now().Add(c.server.IdleTimeout(c.peer.Addr()))) {
				return false
			}
		case strings.HasPrefix(begin, "\r\n") && !skipped && begin != proxySignature:
			c.reader.r += len("\r\n")
			skipped = true
		default:
			return true
		}
	}
}

// await waits for bytes of the client until a time, and reports whether they came.
// When the server stops, or needs the place, it does not wait for what has not
// arrived.
func (c *conn) await(until time.Time) bool {
	if c.SetReadDeadline(until) != nil {
		return false
	}
	c.phase.begin(idle, c.server.Now())
	var err error
	if c.server.stopping.Load() {
		err = os.ErrDeadlineExceeded
	} else {
		err = c.reader.fill()
	}
	if ok, _ := c.phase.end(); ok && !c.server.stopping.Load() {
		return err == nil
	}
	if c.SetReadDeadline(c.server.Now().Add(c.server.Limits().HeadTimeout)) != nil {
		return false
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && !isSilent(c.Conn) {
		err = c.reader.fill()
	}
	return err == nil
}

// requestLineBytes is what a request line may hold besides its target.
const requestLineBytes = 64

// readRequest reads the head of a request. It reports false when the connection
// ended before. A head that cannot be served has a Refusal.
func (c *conn) readRequest(x *Exchange) bool {
	limits := c.server.Limits()
	lineBytes := 0
	begun := false
	check := func(part []byte) *Error {
		if !begun {
			begun = true
			now := c.server.Now()
			_ = c.SetReadDeadline(now.Add(limits.HeadTimeout))
			c.phase.begin(reading, now)
		}
		return checkPart(part, limits, &lineBytes)
	}
	if refusal := otherProtocol(c.reader.begin()); refusal != nil {
		c.refuse(x, refusal)
		return true
	}
	head, err := c.reader.readHead(limits.TargetBytes+limits.HeaderBytes+requestLineBytes, check)
	if begun {
		if ok, why := c.phase.end(); !ok {
			err = why
		}
	}
	if refusal, ok := errors.AsType[*Error](err); ok {
		if head == "" {
			head = string(c.reader.buf[c.reader.r:c.reader.w])
		}
		x.Request = readPart(head, c.reader.lent.fields[:0])
		c.reader.drop()
		c.refuse(x, refusal)
		return true
	}
	if err != nil {
		return false
	}
	request, refusal := parseRequest(head, c.reader.lent.fields[:0])
	if refusal != nil && request.Target == "" {
		request = readPart(head, c.reader.lent.fields[:0]) // so that the refusal can be counted where it belongs
	}
	x.Request = request
	c.reader.keepFields(head, request.Fields)
	switch line, _, _ := strings.Cut(head, "\n"); {
	case refusal != nil:
	case len(request.Target) > limits.TargetBytes:
		refusal = errTargetLength
	case len(head)-len(line) > limits.HeaderBytes:
		refusal = errHeadLength
	default:
		x.body = c.reader.bodyOfRequest(&x.Request)
		return true
	}
	c.refuse(x, refusal)
	return true
}

// hold makes the present request hold that many bytes besides its head. A
// connection's own buffer is not counted: the number of connections bounds it.
func (c *conn) hold(n int) *Error {
	if c.server.Memory == nil || c.server.Memory.Hold(&c.share, int64(c.headBytes+n)) {
		return nil
	}
	return errMemory
}

// holdHead makes the present request hold a head of that many bytes.
func (c *conn) holdHead(n int) *Error {
	c.headBytes = n
	return c.hold(0)
}

// release ends what a request held.
func (c *conn) release() {
	c.headBytes = 0
	if c.server.Memory != nil {
		c.server.Memory.Release(&c.share)
	}
}

// refuse makes a request one that is only responded to. Its body, if any, is not
// read.
func (c *conn) refuse(x *Exchange, refusal *Error) {
	x.Refusal, x.closes = refusal, true
	x.body = Body{from: &c.reader, err: errUnread}
}

var errUnread = errors.New("the head was refused")

// checkPart refuses early what can be no request, or is too long: the first line
// is checked as soon as it is there. Its length is noted.
func checkPart(part []byte, limits Limits, lineBytes *int) *Error {
	if *lineBytes > 0 {
		if len(part)-*lineBytes > limits.HeaderBytes {
			return errHeadLength
		}
		return nil
	}
	end := bytes.IndexByte(part, '\n')
	if end < 0 {
		if len(part) > limits.TargetBytes+requestLineBytes {
			return errTargetLength
		}
		return nil
	}
	*lineBytes = end + 1
	line, _, err := cutLine(string(part[:end+1]))
	if err != nil {
		return err
	}
	var r Request
	if err := r.parseRequestLine(line); err != nil {
		return err
	}
	if len(r.Target) > limits.TargetBytes {
		return errTargetLength
	}
	return nil
}

// readPart reads method, target and host from a head that is not complete or
// broken, where they can be read.
func readPart(part string, fields Fields) Request {
	r := Request{Length: -1, Fields: fields, Close: true}
	line, rest, whole := strings.Cut(part, "\n")
	method, target, found := strings.Cut(line, " ")
	if !found || !isAll(method, tokenByte) {
		return r
	}
	target, _, _ = strings.Cut(target, " ")
	target = strings.TrimSuffix(target, "\r")
	if !isAll(target, targetByte) {
		return r
	}
	r.Method, r.Target = strings.Clone(method), strings.Clone(target) // the rest of the head is not kept
	for whole {
		line, rest, whole = strings.Cut(rest, "\n")
		if field, err := parseField(strings.TrimSuffix(line, "\r")); err == nil && field.Is("host") && isAll(field.Value, hostByte) {
			r.Host = strings.Clone(field.Value)
			return r
		}
	}
	return r
}

// goesOn reports whether another request may come, after a response. It ends the
// connection otherwise, in a way that lets the client read what was sent.
func (c *conn) goesOn(x *Exchange) bool {
	if x.broken && x.state != tunnelled {
		x.Abort()
	}
	switch x.state {
	case unanswered, begun: // never without a status line
		x.closes = true
		x.Begin(502, "Bad Gateway")
		_ = x.Send(nil)
	case started: // not ended: cut
		x.Abort()
	case ended, aborted, tunnelled:
	}
	switch {
	case x.state == tunnelled:
		return false
	case x.state == aborted:
		if !x.endsBody() && !isSilent(c.Conn) {
			c.linger()
		}
		return false
	case !x.closes:
		return true
	}
	if c.mayStillSend(x) {
		c.linger()
	}
	return false
}

// mayStillSend reports whether bytes of the client were not read, or may come.
func (c *conn) mayStillSend(x *Exchange) bool {
	return !x.body.Ended() || c.reader.Buffered() > 0 || (!x.Request.Close || x.HasBody()) && !isSilent(c.Conn)
}

// lingerBytes and lingerTime bound the bytes that a connection may still send
// before it is closed, so that its client can read the response: a reset would
// destroy it, and invite the client to send the request again.
const (
	lingerBytes = 4 << 20
	lingerTime  = time.Second
)

// linger ends our half of the connection and drops what the client still sends.
func (c *conn) linger() {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	now := c.server.Now()
	if c.SetReadDeadline(now.Add(lingerTime)) == nil {
		c.phase.begin(idle, now) // its place may be needed
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package upstream makes one attempt to deliver a request to a backend. In: the
// backends that may get it, with their addresses; out: the response of one, or an
// error that shows whether the request may have arrived. It never sends a
// request twice: dialling ends with one connection or none before a byte is
// written, and no code here writes to a second one. I/O.
package upstream

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// DialBudget bounds the dialling of one attempt, all its addresses together.
const DialBudget = 2 * time.Second

// Request is delivered as it is; only the framing is added.
type Request struct {
	Method string
	// Target is the request target, byte for byte.
	Target string
	Host   string
	// Header holds neither Host nor framing nor hop-by-hop fields.
	Header http.Header
	Body   []byte
}

// Choice is a backend that may get a request.
type Choice struct {
	// Addresses (IP:port) are dialled in this order.
	Addresses []string
	// Request is sent there.
	Request *Request
}

// Plan bounds one attempt.
type Plan struct {
	// Choices are tried in this order until an address of one can be dialled.
	Choices []Choice
	// Total bounds the attempt, from the first dial to the end of the response.
	Total time.Duration
	// Dialled, when set, is called for each address that was dialled, by its place
	// in Choices, with whether it was reached. The one that was reached is the
	// last, and the only one that gets bytes. Dials that fail for another reason
	// than the address are left out: the client left, or this process has no
	// descriptor to dial with.
	Dialled func(choice, address int, reached bool)
}

// Options of a Client.
type Options struct {
	// ConnectTo maps addresses of the table, "IP:port", to the "host:port" that is
	// dialled instead. It is an operator's explicit act, so the rules about
	// addresses do not apply to its targets.
	ConnectTo map[string]string
	// Forbidden are addresses that are not dialled besides those which
	// routetable.CheckAddress refuses.
	Forbidden []netip.Addr
	// Now is the clock of the deadlines.
	Now func() time.Time
}

// Client makes attempts. It may be used by several goroutines.
type Client struct {
	dialer dialer
	now    func() time.Time
}

// NewClient returns a Client.
func NewClient(o Options) *Client {
	return &Client{dialer: newDialer(o), now: o.Now}
}

// Attempt delivers a request to one of the addresses of a plan and returns the
// head of the response. The response's body must be closed; it ends early with an
// error, never with io.EOF, when the backend sent less than it announced, when
// the total time is over, or when ctx is cancelled.
//
// Another address is tried only if the ones before could not be dialled. Errors
// are of type *Error.
func (c *Client) Attempt(ctx context.Context, p *Plan) (*http.Response, error) {
	for i := range p.Choices {
		if !p.Choices[i].Request.isWellFormed() {
			return nil, &Error{Reason: BadRequest, NotDelivered: true}
		}
	}
	deadline := c.now().Add(p.Total)
	conn, request, err := c.dialer.dial(ctx, p)
	if err != nil {
		return nil, err
	}
	x := newExchange(ctx, conn)
	response, err := x.run(request, deadline, c.now().Add(firstByte(p.Total)))
	if err != nil {
		x.close()
		return nil, x.explain(err)
	}
	return response, nil
}

// Reach connects to an address (IP:port) under the rules of an attempt and
// closes the connection without sending anything. Errors are of type *Error.
func (c *Client) Reach(ctx context.Context, address string, timeout time.Duration) error {
	conn, _, err := c.dialer.dial(ctx, &Plan{Choices: []Choice{{Addresses: []string{address}}}, Total: timeout})
	if err != nil {
		return err
	}
	_ = conn.Close()
	return nil
}

// firstByte is how long the head of a response may take: 15 s, or half of the
// total where that is more, so that a backend that accepts and then hangs does
// not hold a browser as long as one that works slowly.
func firstByte(total time.Duration) time.Duration {
	return min(total, max(15*time.Second, total/2))
}

// isWellFormed is the last line against a request that would be read as two.
// The gate and net/http have refused these bytes before.
func (r *Request) isWellFormed() bool {
	if !isToken(r.Method) || r.Target == "" || r.Target[0] != '/' || !isWord(r.Target) || !isWord(r.Host) {
		return false
	}
	for name, values := range r.Header {
		if !isToken(name) {
			return false
		}
		for _, value := range values {
			if !isLine(value) {
				return false
			}
		}
	}
	return true
}

// isToken reports whether s can be a method or a field name: visible ASCII
// without the colon that ends a name.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return s != ""
}

// isWord reports whether s ends neither a word nor a line.
func isWord(s string) bool { return isLine(s) && !strings.ContainsAny(s, " \t") }

// isLine reports whether s ends no line.
func isLine(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

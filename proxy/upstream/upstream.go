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
	"net/netip"
	"strings"
	"time"
)

// DialBudget bounds the dialling of one attempt, all its addresses together.
const DialBudget = 2 * time.Second

// Choice is a backend that may get a request.
type Choice struct {
	// Addresses (IP:port) are dialled in this order.
	Addresses []string
	// Target is the request target, byte for byte. Backends differ in it, and in
	// Host.
	Target, Host string
}

// Plan is one request, and bounds its attempt. The request is delivered as it is;
// only Host and the framing are added.
type Plan struct {
	Method string
	// Lines are the field lines, without their ends, in their order. They hold
	// neither Host nor framing nor hop-by-hop fields.
	Lines []string
	Body  []byte
	// Framed: the length of the body is declared, also when it is 0.
	Framed bool
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
// head of the response. The response must be closed; its body ends early with an
// error, never with io.EOF, when the backend sent less than it announced, when
// the total time is over, or when ctx is cancelled.
//
// Another address is tried only if the ones before could not be dialled. Errors
// are of type *Error.
func (c *Client) Attempt(ctx context.Context, p *Plan) (*Response, error) {
	if !p.isWellFormed() {
		return nil, &Error{Reason: BadRequest, NotDelivered: true}
	}
	deadline := c.now().Add(p.Total)
	conn, choice, err := c.dialer.dial(ctx, p)
	if err != nil {
		return nil, err
	}
	x := newExchange(ctx, conn, deadline)
	response, err := x.run(p, choice, c.now().Add(firstByte(p.Total)))
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
// The parser of requests has refused these bytes before.
func (p *Plan) isWellFormed() bool {
	if !isWord(p.Method) {
		return false
	}
	for i := range p.Choices {
		c := &p.Choices[i]
		if c.Target == "" || c.Target[0] != '/' || !isWord(c.Target) || !isWord(c.Host) {
			return false
		}
	}
	for _, line := range p.Lines {
		if !isField(line) {
			return false
		}
	}
	return true
}

// isField reports whether a line begins with a name, and is one line.
func isField(line string) bool {
	colon := strings.IndexByte(line, ':')
	for i := range colon {
		if line[i] <= ' ' {
			return false
		}
	}
	return colon > 0 && isLine(line)
}

// isWord reports whether s ends neither a word nor a line.
func isWord(s string) bool {
	return s != "" && isLine(s) && strings.IndexByte(s, ' ') < 0 && strings.IndexByte(s, '\t') < 0
}

// isLine reports whether s ends no line.
func isLine(s string) bool {
	return strings.IndexByte(s, '\r') < 0 && strings.IndexByte(s, '\n') < 0 && strings.IndexByte(s, 0) < 0
}

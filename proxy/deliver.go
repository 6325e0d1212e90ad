// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// deliver.go: the one attempt at a backend, and the way back of its response.

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/forwarding"
	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/guard"
	"github.com/callbackproxy/callback-operator/proxy/http1"
	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
)

// Attempter delivers a request to one of the backends of a plan, at most once.
type Attempter interface {
	Attempt(ctx context.Context, p *upstream.Plan) (*upstream.Response, error)
}

// deliverOnce delivers a response that can be spent, unless it was delivered
// before and the result is open.
func (x *exchange) deliverOnce(s *config.Snapshot, body []byte, values []string) {
	path, _, _ := gate.SplitTarget(x.c.Target)
	ticket, verdict := x.h.guard.Begin(x.route.Namespace, x.route.UID, guard.KeyOf(x.route.UID, x.c.Method, path, values), x.h.now())
	if verdict == guard.Refused {
		x.h.metrics.Count(metrics.Repeats, x.routeID, "refused")
		x.refuse(&gate.Refusal{Status: http.StatusConflict, Reason: gate.Repeated})
		return
	}
	x.ticket = ticket
	defer func() {
		if x.incomplete || !x.observed {
			ticket.End(guard.Open)
		}
	}()
	x.repeated = verdict == guard.Repeat
	x.deliver(s, body)
}

// checkLoop refuses a request that passed this fleet before. It comes before the
// guard, for which the request would be a repeat of itself.
func (x *exchange) checkLoop() (ok bool) {
	if x.via, ok = forwarding.ViaOf(&x.c.Request, x.h.pseudonym); !ok {
		x.countRefusal("loop")
		x.respond(http.StatusBadGateway, refused, "request passed this proxy before")
	}
	return ok
}

// endTicket notes how a delivery ended, before the end of the response is sent:
// a page that loads the same response once more does so at once.
func (x *exchange) endTicket() {
	switch {
	case x.ticket == nil:
	case x.outcome == notDelivered || x.outcome == refused:
		x.ticket.End(guard.NotDelivered)
	case x.outcome == delivered:
		x.ticket.End(guard.Complete)
	default:
		x.ticket.End(guard.Open)
	}
}

// deliver makes the one attempt and hands the response on. The client's end of
// the connection does not cancel it: the backend may have acted already.
func (x *exchange) deliver(s *config.Snapshot, body []byte) {
	if x.waits = x.usage.Enter(s.InFlightPerRoute()); !x.waits {
		x.respondBusy("inFlight")
		return
	}
	defer x.leave()
	x.backend = x.decision.Receiver.Name
	origin := forwarding.OriginOf(&x.c.Request, x.c.Peer.Addr(), x.trusted, s.Scheme(), x.host)
	var dropped int
	x.lines, dropped = forwarding.AppendCallback(x.lines[:0], &x.c.Request, &origin, x.via, x.requestID)
	if dropped > 0 {
		x.h.metrics.Count(metrics.FieldsDropped)
	}
	// The body may have taken its time: the response has its own, or its status line
	// could not be written any more, and the client would send the request again.
	x.c.SetWriteDeadline(x.h.now().Add(x.total() + x.h.writeGrace))
	response, err := x.h.upstream.Attempt(x.h.life, x.plan(body))
	x.returnBody() // it was sent, or is not sent any more
	if err != nil {
		x.leave()
		x.respondFailure(err)
		return
	}
	defer response.Close()
	if invitesRepeat(response.Status) {
		x.failure = routetable.FailureMalformed
		x.respondWith(http.StatusBadGateway, pages[http.StatusBadGateway], unknown, "response invites the client to send the request again")
		return
	}
	x.relay(response)
}

// invitesRepeat reports whether a status makes browsers send a request again by
// themselves, a POST too: Chromium does so after 408 on a connection that was used
// before, and after 421 on any. Both are about a connection to the backend that is
// not the client's.
func invitesRepeat(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusMisdirectedRequest
}

// plan lists where the callback may go. Health gets the result of each dial. The
// backend that was reached is the one that is logged; when none was, it is the one
// that should get the callback.
func (x *exchange) plan(body []byte) *upstream.Plan {
	candidates := x.h.choose(x.route, x.decision.Receiver)
	choices := make([]upstream.Choice, len(candidates))
	for i, c := range candidates {
		choices[i] = upstream.Choice{Addresses: c.addresses, Target: x.targetAt(c.backend), Host: x.host}
		if c.backend.Host != "" {
			choices[i].Host = c.backend.Host
		}
	}
	return &upstream.Plan{
		Method: x.c.Method, Lines: x.lines, Body: body, Framed: x.c.Length >= 0 || x.c.Chunked,
		Choices: choices,
		Total:   x.total(),
		Dialled: func(choice, address int, reached bool) {
			if x.h.health != nil {
				x.h.health.Dialled(candidates[choice].targets[address], reached)
			}
			if reached {
				x.backend, x.failover = candidates[choice].backend.Name, candidates[choice].failover
			}
		},
	}
}

// targetAt returns the request target at a backend, which may have a path of its
// own for the callback.
func (x *exchange) targetAt(b *routetable.Backend) string {
	path := b.PathOf(x.callback.Name)
	if path == "" {
		return x.c.Target
	}
	if _, query, found := gate.SplitTarget(x.c.Target); found {
		return path + "?" + query
	}
	return path
}

// respondFailure responds for an attempt without a response. The page is true
// about the delivery.
func (x *exchange) respondFailure(err error) {
	failure := &upstream.Error{Reason: "attempt failed"}
	errors.As(err, &failure)
	x.failure = failureOf(failure)
	switch {
	case failure.NotDelivered:
		x.respond(http.StatusServiceUnavailable, notDelivered, failure.Error())
	case failure.Timeout:
		x.respond(http.StatusGatewayTimeout, unknown, failure.Error())
	default:
		x.respond(http.StatusBadGateway, unknown, failure.Error())
	}
}

const (
	// bufferBytes is how much of a response may wait before its head is sent.
	bufferBytes = 16 << 10
	// firstPause is how long it waits for that.
	firstPause = 200 * time.Millisecond
)

// past is a deadline that is over.
var past = time.Unix(1, 0)

// relay hands the response on. Its head waits for the first part of its body: if
// that breaks, the client gets an honest 502 instead of an empty response, which
// browsers and proxies take for an invitation to send the request again.
func (x *exchange) relay(response *upstream.Response) {
	if response.Bodiless {
		x.leave()
		x.begin(response)
		x.outcome = delivered
		x.observe()
		x.incomplete = x.c.Start(response.Length, nil) != nil
		_ = x.c.End() // sends nothing
		return
	}
	until := past // only what is there already
	if !isImmediate(response) {
		until = x.h.now().Add(firstPause)
	}
	n := 0
	var err error
	for n < len(x.buffer) && err == nil {
		var more int
		more, err = response.ReadUntil(x.buffer[n:], until)
		n += more
	}
	switch {
	case errors.Is(err, io.EOF):
		x.leave()
		x.begin(response)
		x.outcome = delivered
		x.observe()
		x.incomplete = x.c.Send(x.buffer[:n]) != nil
	case err != nil && !errors.Is(err, upstream.ErrPause):
		x.failure = truncationOf(err)
		x.respondWith(http.StatusBadGateway, pages[http.StatusBadGateway], truncated, err.Error())
	default:
		x.begin(response)
		x.noteWrite(x.c.Start(response.Length, x.buffer[:n]))
		x.copyBody(response, response.Length-int64(n))
	}
}

// isImmediate reports whether the head of a response is sent at once: the body
// of a redirect is not read by browsers, and a stream of events has pauses.
func isImmediate(r *upstream.Response) bool {
	return r.Status >= 300 && r.Status < 400 || isEventStream(r.Fields.Get("content-type"))
}

func isEventStream(contentType string) bool {
	const events = "text/event-stream"
	return len(contentType) >= len(events) && http1.EqualFold(contentType[:len(events)], events)
}

// begin writes the head of the response.
func (x *exchange) begin(response *upstream.Response) {
	x.status = response.Status
	x.c.Begin(response.Status, response.Reason)
	if response.Fields.Get("date") == "" {
		x.c.AddLine(http1.DateLine(x.h.now()))
	}
	for _, line := range responseLines(x.lines[:0], response.Response, x.route, x.kind) {
		x.c.AddLine(line)
	}
}

// leave notes that the request does not wait for a backend any more, and reenter
// that it does again.
func (x *exchange) leave() {
	if x.waits {
		x.usage.Leave()
		x.waits = false
	}
}

func (x *exchange) reenter() {
	x.usage.Reenter()
	x.waits = true
}

// noteWrite notes whether the client took a part of the response.
func (x *exchange) noteWrite(err error) {
	if err != nil {
		x.outcome, x.reason, x.incomplete = clientGone, "response could not be written", true
	}
}

// copyBody hands the body on, each part as it comes. If the backend's response
// ends early, so does the client's, visibly. If the client is gone, the rest is
// read all the same: the backend finishes what it does. left is what is left of a
// declared length, below 0 when none is declared.
func (x *exchange) copyBody(response *upstream.Response, left int64) {
	for {
		n, err := response.Read(x.buffer[:])
		if left -= int64(n); left == 0 && x.outcome != clientGone {
			x.outcome = delivered
			x.observe()
		}
		if n > 0 && x.outcome != clientGone {
			x.leave() // a client that takes its time does not count for the backend
			_, writeErr := x.c.Write(x.buffer[:n])
			x.noteWrite(writeErr)
			x.reenter()
		}
		switch {
		case errors.Is(err, io.EOF):
			if x.outcome == clientGone {
				x.c.Abort()
				return
			}
			x.outcome = delivered
			x.observe()
			x.incomplete = x.c.End() != nil
			return
		case err != nil:
			if x.outcome != clientGone {
				x.outcome, x.reason, x.failure = truncated, err.Error(), truncationOf(err)
			}
			x.observe()
			x.c.Abort()
			return
		}
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// deliver.go: the one attempt at a backend, and the way back of its response.

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/forwarding"
	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/owner"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
)

// Attempter delivers a request to one of the backends of a plan, at most once.
type Attempter interface {
	Attempt(ctx context.Context, p *upstream.Plan) (*http.Response, error)
}

// deliver makes the one attempt and hands the response on.
func (x *exchange) deliver(ctx context.Context, s *config.Snapshot, body []byte) {
	x.backend = x.route.Primary().Name
	via, ok := forwarding.ViaOf(x.r, x.h.pseudonym)
	if !ok {
		x.h.metrics.Count(metrics.Refused, "loop")
		x.respond(http.StatusBadGateway, refused, "request passed this proxy before")
		return
	}
	response, err := x.h.upstream.Attempt(ctx, x.plan(body, origin{forwarding.OriginOf(x.r, s.Trusts), x.requestID, via}))
	if err != nil {
		x.respondFailure(err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	copyResponseHeader(x.w.Header(), response.Header, x.route)
	x.responded, x.status, x.outcome = true, response.StatusCode, unknown
	x.w.WriteHeader(response.StatusCode)
	x.copyBody(response.Body)
}

// plan lists where the callback may go. Health gets the result of each dial. The
// backend that was reached is the one that is logged; when none was, it is the
// primary one.
func (x *exchange) plan(body []byte, from origin) *upstream.Plan {
	candidates := x.h.choose(x.route)
	request := newRequest(x.r, body, from)
	choices := make([]upstream.Choice, len(candidates))
	for i, c := range candidates {
		choices[i] = upstream.Choice{Addresses: c.addresses, Request: addressTo(c.backend, x.callback.Name, request, x.r)}
	}
	return &upstream.Plan{
		Choices: choices,
		Total:   time.Duration(x.route.TimeoutSeconds) * time.Second,
		Dialled: func(choice, address int, reached bool) {
			if x.h.health != nil {
				x.h.health.Dialled(candidates[choice].targets[address], reached)
			}
			if reached {
				x.backend, x.failover = candidates[choice].backend.Name, candidates[choice].rung == owner.Failover
			}
		},
	}
}

// respondFailure responds for an attempt without a response. The page is true
// about the delivery.
func (x *exchange) respondFailure(err error) {
	failure := &upstream.Error{Reason: "attempt failed"}
	errors.As(err, &failure)
	switch {
	case failure.NotDelivered:
		x.respond(http.StatusServiceUnavailable, notDelivered, failure.Error())
	case failure.Timeout:
		x.respond(http.StatusGatewayTimeout, unknown, failure.Error())
	default:
		x.respond(http.StatusBadGateway, unknown, failure.Error())
	}
}

const bufferBytes = 16 << 10

var buffers = sync.Pool{New: func() any { return new([bufferBytes]byte) }}

// copyBody hands the body on. If the backend's response ends early, so does the
// client's, visibly.
func (x *exchange) copyBody(body io.Reader) {
	buffer := buffers.Get().(*[bufferBytes]byte)
	defer buffers.Put(buffer)
	for {
		n, err := body.Read(buffer[:])
		if n > 0 {
			if _, writeErr := x.w.Write(buffer[:n]); writeErr != nil {
				x.outcome, x.reason = clientGone, "response could not be written"
				x.abort()
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			x.outcome = delivered
			return
		case err != nil:
			x.outcome, x.reason = truncated, err.Error()
			x.abort()
		}
	}
}

// abort breaks the client's connection. HTTP/1.1 framing shows the client that
// a part is missing; an HTTP/1.0 response ends with the connection, so that
// connection is reset.
func (x *exchange) abort() {
	if !x.r.ProtoAtLeast(1, 1) {
		if conn, _, err := http.NewResponseController(x.w).Hijack(); err == nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			_ = conn.Close()
		}
	}
	panic(http.ErrAbortHandler)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/upstream"
)

// Attempter delivers a request to one of the backends of a plan, at most once.
type Attempter interface {
	Attempt(ctx context.Context, p *upstream.Plan) (*http.Response, error)
}

// deliver makes the one attempt and hands the answer on.
func (x *exchange) deliver(ctx context.Context, s *Snapshot, body []byte) {
	x.backend = x.route.Active().Name
	via, ok := viaOf(x.r, x.h.pseudonym)
	if !ok {
		x.h.metrics.refused.WithLabelValues("loop").Inc()
		x.answer(http.StatusBadGateway, refused, "request was here before")
		return
	}
	response, err := x.h.upstream.Attempt(ctx, x.plan(body, originOf(x.r, s, x.requestID, via)))
	if err != nil {
		x.failed(err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	copyAnswerHeader(x.w.Header(), response.Header, x.route)
	x.answered, x.status, x.outcome = true, response.StatusCode, unknown
	x.w.WriteHeader(response.StatusCode)
	x.copyBody(response.Body)
}

// plan says where the callback may go. What the attempt learns of addresses is
// told to health, and the backend that was reached is the one that is logged;
// when none was, it is the active one.
func (x *exchange) plan(body []byte, from origin) *upstream.Plan {
	candidates := x.h.choose(x.route)
	first := newRequest(x.r, body, candidates[0].backend, from)
	choices := make([]upstream.Choice, len(candidates))
	for i, c := range candidates {
		choices[i] = upstream.Choice{Addresses: c.addresses, Request: first}
		if i > 0 {
			choices[i].Request = addressed(first, x.r, c.backend)
		}
	}
	return &upstream.Plan{
		Choices: choices,
		Total:   time.Duration(x.route.TimeoutSeconds) * time.Second,
		Dialled: func(choice, address int, reached bool) {
			if x.h.health != nil {
				x.h.health.Dialled(candidates[choice].targets[address], reached)
			}
			if reached {
				x.fallback = candidates[choice].backend.Name != x.backend
				x.backend = candidates[choice].backend.Name
			}
		},
	}
}

// failed answers for an attempt without an answer, and tells the truth about
// what is known of it.
func (x *exchange) failed(err error) {
	failure := &upstream.Error{Reason: "attempt failed"}
	errors.As(err, &failure)
	switch {
	case failure.NotDelivered:
		x.answer(http.StatusServiceUnavailable, notDelivered, failure.Error())
	case failure.Timeout:
		x.answer(http.StatusGatewayTimeout, unknown, failure.Error())
	default:
		x.answer(http.StatusBadGateway, unknown, failure.Error())
	}
}

const bufferBytes = 16 << 10

var buffers = sync.Pool{New: func() any { return new([bufferBytes]byte) }}

// copyBody hands the body on. If the backend's answer ends early, so does the
// client's, visibly.
func (x *exchange) copyBody(body io.Reader) {
	buffer := buffers.Get().(*[bufferBytes]byte)
	defer buffers.Put(buffer)
	for {
		n, err := body.Read(buffer[:])
		if n > 0 {
			if _, writeErr := x.w.Write(buffer[:n]); writeErr != nil {
				x.outcome, x.reason = clientGone, "answer could not be written"
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
// something is missing; an HTTP/1.0 answer ends with the connection, so there
// the connection is reset.
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

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
)

// Attempter delivers a request to one of a backend's addresses, at most once.
type Attempter interface {
	Attempt(ctx context.Context, addresses []string, total time.Duration, r *upstream.Request) (*http.Response, error)
}

// Handler answers callbacks.
//
//	raw gate -> host and path -> sunset -> body -> gate of the answer -> one attempt -> answer
type Handler struct {
	state    *State
	upstream Attempter
	metrics  *Metrics
	log      *slog.Logger
	// now is the clock of the sunset, monotonic the one of durations and
	// deadlines. They are the same but in tests, which move the first.
	now, monotonic func() time.Time
	pseudonym      string
	// draining asks clients not to use their connection again.
	draining atomic.Bool
}

// NewHandler returns a Handler. name and namespace are the CallbackProxy's;
// proxies know each other by them.
func NewHandler(state *State, up Attempter, metrics *Metrics, log *slog.Logger, now func() time.Time,
	namespace, name string,
) *Handler {
	return &Handler{
		state: state, upstream: up, metrics: metrics, log: log, now: now, monotonic: now,
		pseudonym: name + "." + namespace + pseudonymSuffix,
	}
}

// outcome says what became of a request.
type outcome string

const (
	delivered    outcome = "delivered"    // the backend's answer was handed on, whole
	refused      outcome = "refused"      // by a rule, before anything was sent
	sunsetPassed outcome = "sunsetPassed" // 410
	notDelivered outcome = "notDelivered" // no byte was sent to a backend
	unknown      outcome = "unknown"      // the backend may have acted
	truncated    outcome = "truncated"    // the backend's answer ended early
	clientGone   outcome = "clientGone"   // the client did not take the answer
)

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{h: h, w: w, r: r, start: h.monotonic()}
	defer x.finish(r.Context())
	if h.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	x.serve(r.Context())
}

// exchange is one request and what became of it.
type exchange struct {
	h     *Handler
	w     http.ResponseWriter
	r     *http.Request
	start time.Time

	requestID string
	route     *routetable.Route // nil until it is known
	backend   string
	answered  bool
	status    int
	outcome   outcome
	// reason is constant text of ours or of the operating system.
	reason string
}

func (x *exchange) serve(ctx context.Context) {
	path, query, _ := gate.SplitTarget(x.r.RequestURI)
	if refusal := gate.CheckHead(headOf(x.r)); refusal != nil {
		x.refuse(refusal)
		return
	}
	snapshot := x.h.state.Current()
	if snapshot == nil {
		x.h.metrics.refused.WithLabelValues("noConfig").Inc()
		x.answer(http.StatusServiceUnavailable, notDelivered, "no config")
		return
	}
	route, found := snapshot.Matcher.Match(x.r.Host, path)
	if !found {
		x.h.metrics.refused.WithLabelValues("noRoute").Inc()
		x.answer(http.StatusNotFound, refused, "no route")
		return
	}
	x.route = route
	x.requestID = newRequestID()
	if x.isOver() {
		x.gone()
		return
	}
	body, ok := x.readBody()
	if !ok {
		return
	}
	if refusal := gate.CheckAnswer(&gate.Answer{
		Opaque: route.Protocol == routetable.Opaque, Method: x.r.Method, Query: query,
		ContentType: x.r.Header.Get("Content-Type"), ContentEncoding: x.r.Header.Get("Content-Encoding"), Body: body,
	}); refusal != nil {
		x.refuse(refusal)
		return
	}
	x.deliver(ctx, snapshot, body)
}

func headOf(r *http.Request) *gate.Head {
	return &gate.Head{
		Method: r.Method, Target: r.RequestURI, Host: r.Host, Header: r.Header,
		TransferEncoding: r.TransferEncoding, ContentLength: r.ContentLength,
	}
}

// isOver reports whether the route's sunset ends it now. A request that was
// let in before is not interrupted.
func (x *exchange) isOver() bool {
	if x.route.AfterSunset != routetable.Reject {
		return false
	}
	phase, _ := sunset.PhaseAt(sunset.Schedule{Deprecation: x.route.Deprecation, Sunset: x.route.Sunset}, x.h.now())
	return phase == sunset.Passed
}

// readBody reads the whole body, so that nothing a client does while sending
// can leave half a request at a backend. It grows with what arrives: a
// declared length alone takes no memory.
func (x *exchange) readBody() ([]byte, bool) {
	const atOnce = 64 << 10
	var body bytes.Buffer
	if x.r.ContentLength > 0 {
		body.Grow(int(min(x.r.ContentLength, atOnce)) + bytes.MinRead)
		n, err := body.ReadFrom(io.LimitReader(x.r.Body, gate.MaxBodyBytes+1))
		if err != nil || n != x.r.ContentLength {
			x.h.metrics.refused.WithLabelValues("bodyIncomplete").Inc()
			x.answer(http.StatusBadRequest, refused, "body is incomplete")
			return nil, false
		}
	}
	// The answer may take as long as the route gives it. The server's read
	// deadline ended with the body, its write deadline goes on from the header.
	total := time.Duration(x.route.TimeoutSeconds) * time.Second
	_ = http.NewResponseController(x.w).SetWriteDeadline(x.h.monotonic().Add(total + writeGrace))
	return body.Bytes(), true
}

// deliver makes the one attempt and hands the answer on.
func (x *exchange) deliver(ctx context.Context, s *Snapshot, body []byte) {
	backend := x.route.Active()
	x.backend = backend.Name
	via, ok := viaOf(x.r, x.h.pseudonym)
	if !ok {
		x.h.metrics.refused.WithLabelValues("loop").Inc()
		x.answer(http.StatusBadGateway, refused, "request was here before")
		return
	}
	out := newRequest(x.r, body, backend, originOf(x.r, s, x.requestID, via))
	total := time.Duration(x.route.TimeoutSeconds) * time.Second
	response, err := x.h.upstream.Attempt(ctx, backend.Addresses, total, out)
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

func (x *exchange) refuse(refusal *gate.Refusal) {
	x.h.metrics.refused.WithLabelValues(string(refusal.Reason)).Inc()
	x.answer(refusal.Status, refused, string(refusal.Reason))
}

func (x *exchange) gone() {
	x.h.metrics.sunsetRefused.WithLabelValues(x.route.ID()).Inc()
	x.status, x.outcome, x.answered = http.StatusGone, sunsetPassed, true
	announceSunset(x.w.Header(), x.route)
	x.leaveUnread()
	writePage(x.w, http.StatusGone, gonePage(x.route))
}

// answer answers with one of the constant pages.
func (x *exchange) answer(status int, o outcome, reason string) {
	x.status, x.outcome, x.reason, x.answered = status, o, reason, true
	if x.backend == "" {
		x.leaveUnread()
	}
	writePage(x.w, status, pages[status])
}

// leaveUnread closes the connection after the answer when there is a body that
// nobody read: waiting for it would be a favour to those who never send it.
func (x *exchange) leaveUnread() {
	if x.r.ContentLength != 0 {
		x.w.Header().Set("Connection", "close")
	}
}

func newRequestID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails, by its contract
	return hex.EncodeToString(id[:])
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// Handler answers callbacks. In a sidecar, what cannot mean a callback is passed
// to the application before anything else is looked at.
//
//	raw gate -> host and path -> sunset -> body -> gate of the answer -> one attempt -> answer
type Handler struct {
	state    *State
	upstream Attempter
	health   Health
	metrics  *Metrics
	log      *slog.Logger
	// now is the clock of durations and deadlines. The sunset has its own, the
	// state's.
	now       func() time.Time
	pseudonym string
	// app is what a sidecar stands in front of; nil when this is none.
	app *application
	// turn lets the addresses of a backend take turns.
	turn atomic.Uint32
	// draining asks clients not to use their connection again.
	draining atomic.Bool
}

// HandlerOptions are what a Handler needs.
type HandlerOptions struct {
	State    *State
	Upstream Attempter
	// Health is asked where a callback can go; nil: everywhere.
	Health  Health
	Metrics *Metrics
	Log     *slog.Logger
	// Now is the clock of durations and deadlines.
	Now func() time.Time
	// Namespace and Name are the CallbackProxy's; proxies know each other by
	// them.
	Namespace, Name string
	// AppPort is the port on this host that gets what is no callback; 0: it is
	// answered with 404.
	AppPort int32
}

// NewHandler returns a Handler.
func NewHandler(o HandlerOptions) *Handler {
	return &Handler{
		state: o.State, upstream: o.Upstream, health: o.Health, metrics: o.Metrics, log: o.Log,
		now:       o.Now,
		pseudonym: o.Name + "." + o.Namespace + pseudonymSuffix,
		app:       newApplication(o.AppPort, o.Metrics, o.Now),
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
	if h.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	snapshot := h.state.Current()
	if h.app != nil && snapshot != nil && h.app.takes(snapshot, r) {
		h.app.pass(snapshot, w, r)
		return
	}
	x := &exchange{h: h, w: w, r: r, start: h.now()}
	defer x.finish(r.Context())
	x.serve(r.Context(), snapshot)
}

// exchange is one request and what became of it.
type exchange struct {
	h     *Handler
	w     http.ResponseWriter
	r     *http.Request
	start time.Time

	requestID string
	route     *routetable.Route // nil until it is known
	record    *record           // the route's
	came      time.Time         // by the clock of the sunset
	kind      kind
	backend   string
	// fallback is true when another backend than the active one was reached.
	fallback bool
	answered bool
	status   int
	outcome  outcome
	// reason is constant text of ours or of the operating system.
	reason string
}

func (x *exchange) serve(ctx context.Context, snapshot *Snapshot) {
	path, query, _ := gate.SplitTarget(x.r.RequestURI)
	refusal := gate.CheckHead(headOf(x.r))
	// Without a config a sidecar does not know what is its own to refuse.
	if refusal != nil && (snapshot != nil || x.h.app == nil) {
		x.refuse(refusal)
		return
	}
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
	x.route, x.record = route, snapshot.records[route]
	x.requestID = newRequestID()
	now := x.h.state.clock.judgement()
	x.came = now.Now
	if x.record.latch.isClosed(route, now) {
		x.kind = x.kindUnread(query)
		x.gone()
		return
	}
	body, ok := x.readBody()
	if !ok {
		return
	}
	has, refusal := gate.CheckAnswer(x.answerWith(query, body))
	if refusal != nil {
		x.refuse(refusal)
		return
	}
	x.kind = kindOf(route, has)
	x.deliver(ctx, snapshot, body)
}

func (x *exchange) answerWith(query string, body []byte) *gate.Answer {
	return &gate.Answer{
		Opaque: x.route.Protocol == routetable.Opaque, Method: x.r.Method, Query: query,
		ContentType: x.r.Header.Get("Content-Type"), ContentEncoding: x.r.Header.Get("Content-Encoding"), Body: body,
	}
}

// kindUnread judges a request of which the body is not read, as after the
// sunset: a form that is posted counts as a callback.
func (x *exchange) kindUnread(query string) kind {
	has, refusal := gate.CheckAnswer(x.answerWith(query, nil))
	switch {
	case refusal != nil:
		return against
	case x.r.Method == http.MethodPost:
		return callback
	}
	return kindOf(x.route, has)
}

func headOf(r *http.Request) *gate.Head {
	return &gate.Head{
		Method: r.Method, Target: r.RequestURI, Host: r.Host, Header: r.Header,
		TransferEncoding: r.TransferEncoding, ContentLength: r.ContentLength,
	}
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
	_ = http.NewResponseController(x.w).SetWriteDeadline(x.h.now().Add(total + writeGrace))
	return body.Bytes(), true
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

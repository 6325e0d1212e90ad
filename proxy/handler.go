// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// handler.go: the stages of a callback, from its head to the attempt.

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

	"github.com/callbackproxy/callback-operator/internal/apitime"
	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/forwarding"
	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/page"
	"github.com/callbackproxy/callback-operator/proxy/passthrough"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/usage"
)

// Handler responds to callbacks. In a sidecar, a request that cannot mean a
// callback is passed to the application first.
//
//	gate of the head -> host and path -> hold -> sunset -> body -> gate of the parameters -> owner -> one attempt -> response
type Handler struct {
	store    *config.Store
	clock    *apitime.Clock
	usage    *usage.Counters
	upstream Attempter
	health   Health
	metrics  *metrics.Metrics
	log      *slog.Logger
	// now is the clock of durations and deadlines. Sunsets have their own.
	now       func() time.Time
	pseudonym string
	// app is the application behind a sidecar; nil when there is none.
	app *passthrough.Application
	// turn makes the addresses of a backend take turns.
	turn atomic.Uint32
	// draining closes the clients' connections after their response.
	draining atomic.Bool
}

// HandlerOptions are what a Handler needs.
type HandlerOptions struct {
	Store    *config.Store
	Clock    *apitime.Clock
	Usage    *usage.Counters
	Upstream Attempter
	// Health decides which addresses are dialled; nil: all are.
	Health  Health
	Metrics *metrics.Metrics
	Log     *slog.Logger
	// Now is the clock of durations and deadlines.
	Now func() time.Time
	// Namespace and Name are the CallbackProxy's. They make its pseudonym in Via,
	// by which the proxies detect loops.
	Namespace, Name string
	// AppPort is the application's on this host. 0: there is none, and a request
	// that is no callback gets 404. The Store needs Sidecar otherwise.
	AppPort int32
}

// NewHandler returns a Handler.
func NewHandler(o HandlerOptions) *Handler {
	h := &Handler{
		store: o.Store, clock: o.Clock, usage: o.Usage, upstream: o.Upstream, health: o.Health, metrics: o.Metrics, log: o.Log,
		now:       o.Now,
		pseudonym: forwarding.Pseudonym(o.Namespace, o.Name),
	}
	if o.AppPort != 0 {
		h.app = passthrough.New(passthrough.Options{
			Port: o.AppPort, Now: o.Now, Grace: streamGrace,
			Passed: func() { o.Metrics.Count(metrics.Passed) },
			Failed: func() { o.Metrics.Count(metrics.PassFailed) },
		})
		o.Metrics.Bind(metrics.PassthroughInFlight, func() float64 { return float64(h.app.InFlight()) })
	}
	return h
}

// outcome is the result of a request.
type outcome string

const (
	delivered    outcome = "delivered"    // the backend's response was handed on, whole
	refused      outcome = "refused"      // by a rule, before a byte was sent
	sunsetPassed outcome = "sunsetPassed" // 410
	notDelivered outcome = "notDelivered" // no byte was sent to a backend
	unknown      outcome = "unknown"      // the backend may have acted
	truncated    outcome = "truncated"    // the backend's response ended early
	clientGone   outcome = "clientGone"   // the client did not take the response
)

// ServeHTTP responds to one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	snapshot := h.store.Current()
	if h.app != nil && snapshot != nil && h.app.Takes(snapshot, r) {
		h.app.Pass(snapshot, w, r)
		return
	}
	x := &exchange{h: h, w: w, r: r, start: h.now()}
	defer x.finish(r.Context())
	x.serve(r.Context(), snapshot)
}

// exchange is one request and its response.
type exchange struct {
	h     *Handler
	w     http.ResponseWriter
	r     *http.Request
	start time.Time

	requestID string
	route     *routetable.Route    // nil until the request is matched
	callback  *routetable.Callback // the route's
	usage     *usage.Record        // the route's
	arrival   time.Time            // by the clock of the sunsets
	kind      usage.Kind
	backend   string
	// failover is true when the failover of the primary backend was reached.
	failover  bool
	responded bool
	status    int
	outcome   outcome
	// reason is constant text of this program or of the operating system.
	reason string
}

func (x *exchange) serve(ctx context.Context, snapshot *config.Snapshot) {
	match, ok := x.match(snapshot)
	if !ok {
		return
	}
	x.route, x.callback, x.usage = match.Route, match.Callback, snapshot.Usage(match.Route)
	x.requestID = newRequestID()
	now := x.h.clock.Judgement()
	x.arrival = now.Now
	_, query, _ := gate.SplitTarget(x.r.RequestURI)
	if snapshot.CloseIfPassed(x.route, now) {
		x.kind = x.kindWithoutBody(query)
		x.respondGone()
		return
	}
	body, ok := x.readBody()
	if !ok {
		return
	}
	has, refusal := gate.CheckResponse(x.response(query, body))
	if refusal != nil {
		x.refuse(refusal)
		return
	}
	x.kind = usage.KindOf(x.route, has)
	x.deliver(ctx, snapshot, body)
}

// match finds the route of a request, or refuses the request. An Exact path is
// compared as it was registered: the gate's rule for canonical paths does not
// apply to it.
func (x *exchange) match(snapshot *config.Snapshot) (match routetable.Match, ok bool) {
	path, _, _ := gate.SplitTarget(x.r.RequestURI)
	head := headOf(x.r)
	if snapshot != nil {
		match, head.PathDeclared = snapshot.Matcher.MatchExact(x.r.Host, path)
	}
	refusal := gate.CheckHead(head)
	// A sidecar without a config cannot distinguish its callbacks from the
	// application's requests, so it refuses all alike.
	if refusal != nil && (snapshot != nil || x.h.app == nil) {
		x.refuse(refusal)
		return match, false
	}
	if snapshot == nil {
		x.h.metrics.Count(metrics.Refused, "noConfig")
		x.respond(http.StatusServiceUnavailable, notDelivered, "no config")
		return match, false
	}
	found := head.PathDeclared
	if !found {
		match, found = snapshot.Matcher.Match(x.r.Host, path)
	}
	switch {
	case !found:
		x.h.metrics.Count(metrics.Refused, "noRoute")
		x.respond(http.StatusNotFound, refused, "no route")
		return match, false
	case match.Hold != nil:
		x.h.metrics.Count(metrics.Refused, "held")
		x.respondWith(http.StatusServiceUnavailable, heldPage, notDelivered, "held")
		return match, false
	}
	return match, true
}

// response is the authorization response that a request holds.
func (x *exchange) response(query string, body []byte) *gate.Response {
	return &gate.Response{
		Opaque: x.route.Protocol == routetable.Opaque, Method: x.r.Method, Query: query,
		ContentType: x.r.Header.Get("Content-Type"), ContentEncoding: x.r.Header.Get("Content-Encoding"), Body: body,
	}
}

// kindWithoutBody classifies a request whose body is not read, as after the
// sunset: a posted form counts as a callback.
func (x *exchange) kindWithoutBody(query string) usage.Kind {
	has, refusal := gate.CheckResponse(x.response(query, nil))
	switch {
	case refusal != nil:
		return usage.Rejected
	case x.r.Method == http.MethodPost:
		return usage.Callback
	}
	return usage.KindOf(x.route, has)
}

func headOf(r *http.Request) *gate.Head {
	return &gate.Head{
		Method: r.Method, Target: r.RequestURI, Host: r.Host, Header: r.Header,
		TransferEncoding: r.TransferEncoding, ContentLength: r.ContentLength,
	}
}

// readBody reads the whole body, so that a client that stops while it sends
// cannot leave half a request at a backend. The buffer grows with what arrives:
// a declared length alone takes no memory.
func (x *exchange) readBody() ([]byte, bool) {
	const atOnce = 64 << 10
	var body bytes.Buffer
	if x.r.ContentLength > 0 {
		body.Grow(int(min(x.r.ContentLength, atOnce)) + bytes.MinRead)
		n, err := body.ReadFrom(io.LimitReader(x.r.Body, gate.MaxBodyBytes+1))
		if err != nil || n != x.r.ContentLength {
			x.h.metrics.Count(metrics.Refused, "bodyIncomplete")
			x.respond(http.StatusBadRequest, refused, "body is incomplete")
			return nil, false
		}
	}
	// The response may take the route's own time. The server's read deadline ended
	// with the body, its write deadline goes on from the header.
	total := time.Duration(x.route.TimeoutSeconds) * time.Second
	_ = http.NewResponseController(x.w).SetWriteDeadline(x.h.now().Add(total + writeGrace))
	return body.Bytes(), true
}

func (x *exchange) refuse(refusal *gate.Refusal) {
	x.h.metrics.Count(metrics.Refused, string(refusal.Reason))
	x.respond(refusal.Status, refused, string(refusal.Reason))
}

func (x *exchange) respondGone() {
	x.h.metrics.Count(metrics.SunsetRefused, x.route.ID())
	announceSunset(x.w.Header(), x.route)
	x.respondWith(http.StatusGone, gonePage(x.route), sunsetPassed, "")
}

// respond responds with the constant page of a status.
func (x *exchange) respond(status int, o outcome, reason string) {
	x.respondWith(status, pages[status], o, reason)
}

func (x *exchange) respondWith(status int, content []byte, o outcome, reason string) {
	x.status, x.outcome, x.reason, x.responded = status, o, reason, true
	if x.backend == "" && x.r.ContentLength != 0 {
		// The body was not read. The connection does not wait for it: its client may
		// never send it.
		x.w.Header().Set("Connection", "close")
	}
	page.Write(x.w, status, content)
}

func newRequestID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails, by its contract
	return hex.EncodeToString(id[:])
}

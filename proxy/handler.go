// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// handler.go: the stages of a callback, from its head to the attempt.

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callbackproxy/callback-operator/internal/apitime"
	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/forwarding"
	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/http1"
	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/page"
	"github.com/callbackproxy/callback-operator/proxy/passthrough"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/usage"
)

// Handler responds to callbacks. In a sidecar, a request that cannot mean a
// callback is passed to the application first.
//
//	head -> host and path -> gate -> hold -> sunset -> body -> parameters -> owner -> one attempt -> response
type Handler struct {
	store    *config.Store
	clock    *apitime.Clock
	usage    *usage.Counters
	upstream Attempter
	health   Health
	metrics  *metrics.Metrics
	log      *slog.Logger
	// now is the clock of durations and deadlines. Sunsets have their own.
	now func() time.Time
	// readTimeout bounds the reading of a request's body, from its head on.
	readTimeout time.Duration
	pseudonym   string
	// app is the application behind a sidecar; nil when there is none.
	app *passthrough.Application
	// turn makes the addresses of a backend take turns.
	turn    atomic.Uint32
	targets targetIDs
	// life is the life of all attempts.
	life context.Context //nolint:containedctx // of the handler, not of a call
	stop context.CancelFunc
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
		now: o.Now, readTimeout: readTimeout,
		pseudonym: forwarding.Pseudonym(o.Namespace, o.Name),
	}
	h.life, h.stop = context.WithCancel(context.Background())
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

// Serve responds to one request.
func (h *Handler) Serve(c *http1.Exchange) {
	snapshot := h.store.Current()
	if h.app != nil && snapshot != nil && c.Refusal == nil && h.app.Takes(snapshot, c) {
		h.app.Pass(snapshot, c, nil)
		return
	}
	x := exchanges.Get().(*exchange)
	*x = exchange{h: h, c: c, start: h.now(), lines: x.lines[:0], buffer: x.buffer}
	defer x.finish()
	x.serve(snapshot)
}

// exchange is one request and its response.
type exchange struct {
	h     *Handler
	c     *http1.Exchange
	start time.Time

	requestID string
	route     *routetable.Route    // nil until the request is matched
	callback  *routetable.Callback // the route's
	usage     *usage.Record        // the route's
	arrival   time.Time            // by the clock of the sunsets
	kind      usage.Kind
	backend   string
	// trusted: the peer is a trusted proxy.
	trusted bool
	// observed: the request was counted and logged, or the application got it.
	observed bool
	// failover is true when the failover of the primary backend was reached.
	failover bool
	status   int
	outcome  outcome
	// reason is constant text of this program or of the operating system.
	reason string

	// lines and buffer are memory that the next exchange uses again.
	lines  []string
	buffer *[bufferBytes]byte
	// lent is the memory of the body; nil: none is lent.
	lent *lentBody
}

var exchanges = sync.Pool{New: func() any { return &exchange{buffer: new([bufferBytes]byte)} }}

func (x *exchange) serve(snapshot *config.Snapshot) {
	if !x.match(snapshot) {
		return
	}
	now := x.h.clock.Judgement()
	x.arrival = now.Now
	_, query, _ := gate.SplitTarget(x.c.Target)
	if snapshot.CloseIfPassed(x.route, now) {
		x.kind = x.kindWithoutBody(query)
		x.respondGone()
		return
	}
	if x.h.app != nil && !x.mayBeResponse(query) {
		x.pass(snapshot, nil)
		return
	}
	body, ok := x.readBody()
	if !ok {
		return
	}
	is, refusal := gate.CheckResponse(x.response(query, body))
	if refusal != nil {
		x.refuse(refusal)
		return
	}
	x.kind = usage.KindOf(x.route, is)
	switch {
	case x.kind == usage.Unrelated && x.h.app != nil:
		x.pass(snapshot, body)
	case x.kind == usage.Callback && !x.isDeliverable():
		return
	default:
		x.deliver(snapshot, body)
	}
}

// match finds the route of a request, or refuses the request. An Exact path is
// compared as it was registered: the gate's rule for canonical paths does not
// apply to it. A refused request is counted for the route that it names, where
// its host and path can be read.
func (x *exchange) match(s *config.Snapshot) bool {
	path, _, _ := gate.SplitTarget(x.c.Target)
	var match routetable.Match
	found, exact := false, false
	if s != nil {
		match, exact = s.Matcher.MatchExact(x.c.Host, path)
		if found = exact; !found && gate.IsCanonicalPath(path) {
			match, found = s.Matcher.Match(x.c.Host, path)
		}
	}
	if found && match.Hold == nil {
		x.route, x.callback, x.usage = match.Route, match.Callback, s.Usage(match.Route)
		x.trusted = s.Trusts(x.c.Peer.Addr().Unmap().WithZone(""))
		x.arrival = x.h.clock.Judgement().Now
		x.setRequestID()
		if x.h.app == nil && !x.trusted {
			x.c.Close() // a client that sends on this connection again cannot take its end for an invitation to repeat
		}
	}
	x.c.SetWriteDeadline(x.h.now().Add(x.total() + writeGrace))
	if refusal := x.checkHead(exact); refusal != nil && (s != nil || x.h.app == nil) {
		x.refuse(refusal)
		return false
	}
	switch {
	case s == nil:
		// A sidecar without a config cannot distinguish its callbacks from the
		// application's requests, so it refuses all alike.
		x.h.metrics.Count(metrics.Refused, "noConfig")
		x.respond(http.StatusServiceUnavailable, notDelivered, "no config")
		return false
	case !found:
		x.h.metrics.Count(metrics.Refused, "noRoute")
		x.respond(http.StatusNotFound, refused, "no route")
		return false
	case match.Hold != nil:
		x.h.metrics.Count(metrics.Refused, "held")
		x.respondWith(http.StatusServiceUnavailable, heldPage, notDelivered, "held")
		return false
	}
	return true
}

// total is how long the delivery of a request may take.
func (x *exchange) total() time.Duration {
	if x.route == nil {
		return readTimeout
	}
	return time.Duration(x.route.TimeoutSeconds) * time.Second
}

// checkHead applies the rules of the parser and of the gate.
func (x *exchange) checkHead(declared bool) *gate.Refusal {
	if r := x.c.Refusal; r != nil {
		return &gate.Refusal{Status: r.Status, Reason: gate.Reason(r.Reason)}
	}
	head := gate.Head{
		Method: x.c.Method, Target: x.c.Target, PathDeclared: declared, Length: x.c.Length, Chunked: x.c.Chunked,
	}
	var once gate.Once
	for i := range x.c.Fields {
		f := &x.c.Fields[i]
		once.Note(f.Name)
		switch {
		case f.Is("expect"):
			head.Expects = f.Value
		case f.Is("sec-purpose") || f.Is("purpose") || f.Is("x-moz"):
			head.Purpose = f.Value
		}
	}
	head.Twice = once.Twice
	return gate.CheckHead(&head)
}

// response is the authorization response that a request may hold.
func (x *exchange) response(query string, body []byte) *gate.Response {
	r := &gate.Response{
		Query: query, ContentType: x.c.Fields.Get("content-type"), ContentEncoding: x.c.Fields.Get("content-encoding"), Body: body,
	}
	switch x.route.Protocol {
	case routetable.OAuth2, routetable.OIDC:
		r.Protocol = gate.OAuth
	case routetable.SAML:
		r.Protocol = gate.SAML
	case routetable.Opaque:
	}
	return r
}

// kindWithoutBody classifies a request whose body is not read, as after the
// sunset: a posted form counts as a callback.
func (x *exchange) kindWithoutBody(query string) usage.Kind {
	r := x.response(query, nil)
	is, refusal := gate.CheckResponse(r)
	switch {
	case refusal != nil:
		return usage.Rejected
	case x.c.Method == http.MethodPost && gate.IsForm(r.ContentType):
		return usage.Callback
	}
	return usage.KindOf(x.route, is)
}

// mayBeResponse reports whether a request can be a response of the route's
// protocol, as far as its head shows.
func (x *exchange) mayBeResponse(query string) bool {
	if x.route.Protocol == routetable.Opaque || x.c.HasBody() && gate.IsForm(x.c.Fields.Get("content-type")) {
		return true
	}
	is, refusal := gate.CheckResponse(x.response(query, nil))
	return is || refusal != nil
}

// isDeliverable responds to callbacks that no browser sends in a login: a HEAD
// learns that the address is served, and spends no code.
func (x *exchange) isDeliverable() bool {
	switch x.c.Method {
	case http.MethodGet, http.MethodPost:
		return true
	case http.MethodHead:
		if x.route.Protocol == routetable.Opaque {
			return true
		}
		x.kind = usage.Unrelated
		x.respondWith(http.StatusOK, nil, notDelivered, "HEAD is not delivered")
	default:
		x.refuse(&gate.Refusal{Status: http.StatusMethodNotAllowed, Reason: gate.MethodNotAllowed})
	}
	return false
}

// pass hands a request to the application. A body that was read is sent as it is.
func (x *exchange) pass(s *config.Snapshot, body []byte) {
	x.observed = true
	x.lent = nil // the application may read the body longer than this exchange lasts
	x.h.app.Pass(s, x.c, body)
}

func (x *exchange) refuse(refusal *gate.Refusal) {
	x.h.metrics.Count(metrics.Refused, string(refusal.Reason))
	x.respond(refusal.Status, refused, string(refusal.Reason))
}

func (x *exchange) respondGone() {
	x.h.metrics.Count(metrics.SunsetRefused, x.route.ID())
	x.respondWith(http.StatusGone, gonePage(x.route), sunsetPassed, "", sunsetLines(nil, x.route, nil)...)
}

// respond responds with the constant page of a status.
func (x *exchange) respond(status int, o outcome, reason string) {
	x.respondWith(status, pages[status], o, reason)
}

func (x *exchange) respondWith(status int, content []byte, o outcome, reason string, lines ...string) {
	x.status, x.outcome, x.reason = status, o, reason
	x.observe()
	page.Write(x.c, status, content, lines...)
}

// setRequestID takes the request's id from a trusted peer, or makes one.
func (x *exchange) setRequestID() {
	if id := x.c.Fields.Get("x-request-id"); x.trusted && isRequestID(id) {
		x.requestID = id
		return
	}
	x.requestID = newRequestID()
}

// isRequestID reports whether a peer's id may stand in a log.
func isRequestID(id string) bool {
	for i := range len(id) {
		c := id[i]
		if c-'0' > 9 && c-'a' > 25 && c-'A' > 25 && c != '-' && c != '_' && c != '.' && c != ':' {
			return false
		}
	}
	return id != "" && len(id) <= 128
}

func newRequestID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails, by its contract
	return hex.EncodeToString(id[:])
}

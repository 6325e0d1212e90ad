// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// handler.go: the stages of a callback, from its head to the attempt.

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callbackproxy/callback-operator/internal/apitime"
	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/forwarding"
	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/guard"
	"github.com/callbackproxy/callback-operator/proxy/http1"
	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/owner"
	"github.com/callbackproxy/callback-operator/proxy/page"
	"github.com/callbackproxy/callback-operator/proxy/passthrough"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
	"github.com/callbackproxy/callback-operator/proxy/usage"
)

// Handler responds to callbacks. In a sidecar, a request that cannot mean a
// callback is passed to the application first.
//
//	head -> host and path -> gate -> hold -> sunset -> body -> parameters -> owner -> guard -> one attempt -> response
type Handler struct {
	store    *config.Store
	clock    *apitime.Clock
	usage    *usage.Counters
	guard    *guard.Guard
	upstream Attempter
	health   Health
	metrics  *metrics.Metrics
	log      *slog.Logger
	// lines takes the log lines of callbacks, each with one Write.
	lines io.Writer
	// now is the clock of durations and deadlines. Sunsets have their own.
	now func() time.Time
	// readTimeout bounds the reading of a request's body, from its head on, and
	// writeGrace the writing of a response after the time of its route.
	readTimeout, writeGrace time.Duration
	pseudonym               string
	// app is the application behind a sidecar; nil when there is none.
	app *passthrough.Application
	// turn makes the addresses of a backend take turns.
	turn    atomic.Uint32
	targets targetIDs
	// refusals limits the log lines of requests without a route.
	refusals logLimit
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
	// Lines takes the log lines of callbacks, each with one Write, from several
	// goroutines. They are JSON, as those of slog.JSONHandler.
	Lines io.Writer
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
		store: o.Store, clock: o.Clock, usage: o.Usage, upstream: o.Upstream, health: o.Health, metrics: o.Metrics, log: o.Log, lines: o.Lines,
		now: o.Now, readTimeout: readTimeout, writeGrace: writeGrace, guard: guard.New(),
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
	takes, closed := h.isForOtherPath(snapshot, c)
	if takes && closed == nil {
		h.app.Pass(snapshot, c, nil)
		return
	}
	x := exchanges.Get().(*exchange)
	*x = exchange{h: h, c: c, start: h.now(), lines: x.lines[:0], buffer: x.buffer, line: x.line}
	defer x.finish()
	if takes {
		x.serveSuffixed(snapshot, closed)
		return
	}
	x.serve(snapshot)
}

// exchange is one request and its response.
type exchange struct {
	h     *Handler
	c     *http1.Exchange
	start time.Time

	// pages are what the fleet adds to its own pages; nil without a config.
	pages     *routetable.Pages
	requestID string
	via       string               // the field that is sent
	route     *routetable.Route    // nil until the request is matched
	callback  *routetable.Callback // the route's
	usage     *usage.Record        // the route's
	routeID   string
	arrival   sunset.Judgement // by the clock of the sunsets
	kind      usage.Kind
	backend   string
	// trusted: the peer is a trusted proxy.
	trusted bool
	// host is the Host that the client used.
	host      string
	bodyLimit int64
	// observed: the request was counted and logged, or the application got it.
	observed bool
	// failover is true when the failover of the backend that owns the callback was
	// reached.
	failover bool
	status   int
	outcome  outcome
	// decision is which backend the callback goes to.
	decision owner.Decision
	ticket   *guard.Ticket
	// repeated: the response was delivered before, with a complete answer.
	repeated bool
	// browser is the one that the login of a callback is in.
	browser usage.Browser
	// incomplete: the client may not have the whole response.
	incomplete bool
	// reason is constant text of this program or of the operating system.
	reason string
	// refusal is the rule that the request broke, as it is counted.
	refusal string
	// failure is why the backend has no complete response, for its health; empty:
	// nothing speaks against it.
	failure string

	// lines, buffer and line are memory that the next exchange uses again.
	lines  []string
	buffer *[bufferBytes]byte
	line   []byte
	// lent is the memory of the body; nil: none is lent.
	lent *lentBody
	// holds: the body counts in the memory of all requests.
	holds bool
	// waits: the request waits for a backend.
	waits bool
}

var exchanges = sync.Pool{New: func() any { return &exchange{buffer: new([bufferBytes]byte)} }}

func (x *exchange) serve(snapshot *config.Snapshot) {
	if snapshot != nil {
		x.pages = &snapshot.Table.Settings.Pages
	}
	if !x.match(snapshot) {
		return
	}
	_, query, _ := gate.SplitTarget(x.c.Target)
	if snapshot.CloseIfPassed(x.route, x.arrival) {
		x.kind = x.kindWithoutBody(query)
		x.respondGone()
		return
	}
	if x.isApplications(query) {
		x.pass(snapshot, nil)
		return
	}
	body, ok := x.readBody()
	if !ok {
		return
	}
	response := x.response(query, body)
	is, refusal := gate.CheckResponse(response)
	if refusal != nil {
		x.refuse(refusal)
		return
	}
	if x.kind = usage.KindOf(x.route, is); x.kind == usage.Callback {
		x.observeClient()
	}
	switch {
	case x.kind == usage.Unrelated && x.h.app != nil && !x.isPage():
		x.pass(snapshot, body)
	case x.kind == usage.Callback && !x.isDeliverable(), !x.checkLoop(), !x.decide(response):
		return // it has its response
	case len(response.Values) > 0:
		x.deliverOnce(snapshot, body, response.Values)
	default:
		x.deliver(snapshot, body)
	}
}

// response is the authorization response that a request may hold.
func (x *exchange) response(query string, body []byte) *gate.Response {
	return x.responseOf(protocolOf(x.route), query, body)
}

func (x *exchange) responseOf(protocol gate.Protocol, query string, body []byte) *gate.Response {
	return &gate.Response{
		Protocol: protocol, Query: query, Body: body,
		ContentType: x.c.Fields.Get("content-type"), ContentEncoding: x.c.Fields.Get("content-encoding"),
	}
}

// protocolOf returns the protocol whose responses a route gets.
func protocolOf(r *routetable.Route) gate.Protocol {
	switch r.Protocol {
	case routetable.OAuth2, routetable.OIDC:
		return gate.OAuth
	case routetable.SAML:
		return gate.SAML
	case routetable.Opaque:
	}
	return gate.Opaque
}

// decide finds the backend that gets the request, or refuses a callback that no
// backend owns.
func (x *exchange) decide(response *gate.Response) bool {
	request := owner.Request{IsResponse: x.kind == usage.Callback, Parameters: response}
	if x.route.Ownership != nil {
		path, _, _ := gate.SplitTarget(x.c.Target)
		if x.callback.PathType == routetable.Prefix {
			request.PathInfo = path[len(strings.TrimSuffix(x.callback.Path, "/")):]
		}
		for i := range x.c.Fields {
			if x.c.Fields[i].Is("cookie") {
				request.Cookies = append(request.Cookies, x.c.Fields[i].Value)
			}
		}
	}
	x.decision = owner.Decide(x.route, &request)
	if x.decision.Receiver == nil {
		x.countRefusal("unowned")
		x.respondWith(http.StatusForbidden, unownedPage, refused, "unowned")
		return false
	}
	return true
}

// kindWithoutBody classifies a request whose body is not read, as after the
// sunset: a posted form counts as a callback.
func (x *exchange) kindWithoutBody(query string) usage.Kind {
	r := x.response(query, nil)
	is, refusal := gate.CheckResponse(r)
	switch {
	case refusal != nil:
		x.refusal = string(refusal.Reason)
		return usage.Rejected
	case x.c.Method == http.MethodPost && gate.IsForm(r.ContentType):
		return usage.Callback
	}
	return usage.KindOf(x.route, is)
}

// mayBeResponse reports whether a request can be a response of the route's
// protocol, as far as its head shows.
func (x *exchange) mayBeResponse(query string) bool {
	if x.route.Protocol == routetable.Opaque || x.hasForm() {
		return true
	}
	is, refusal := gate.CheckResponse(x.response(query, nil))
	return is || refusal != nil
}

func (x *exchange) hasForm() bool {
	return x.c.HasBody() && gate.IsForm(x.c.Fields.Get("content-type"))
}

// isDeliverable responds to callbacks that no browser sends in a login: a HEAD
// learns that the address is served, and spends no code.
func (x *exchange) isDeliverable() bool {
	if x.route.Protocol == routetable.Opaque {
		if methods := x.methods(); !slices.Contains(methods, x.c.Method) {
			x.refuse(&gate.Refusal{Status: http.StatusMethodNotAllowed, Reason: gate.MethodNotAllowed})
			return false
		}
		return true
	}
	switch x.c.Method {
	case http.MethodGet, http.MethodPost:
		return true
	case http.MethodHead:
		x.kind = usage.Unrelated
		x.respondWith(http.StatusOK, page.Page{}, notDelivered, "HEAD is not delivered")
	default:
		x.refuse(&gate.Refusal{Status: http.StatusMethodNotAllowed, Reason: gate.MethodNotAllowed})
	}
	return false
}

// responseMethods are those of responses, opaqueMethods those of an Opaque callback
// that declares none.
var (
	responseMethods = []string{http.MethodGet, http.MethodPost}
	opaqueMethods   = []string{http.MethodGet, http.MethodHead, http.MethodPost}
)

// methods returns the methods by which callbacks come.
func (x *exchange) methods() []string {
	switch {
	case x.route == nil || x.route.Protocol != routetable.Opaque:
		return responseMethods
	case len(x.callback.Methods) > 0:
		return x.callback.Methods
	}
	return opaqueMethods
}

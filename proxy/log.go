// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// log.go: the log line, the counts and the panics of a request.

import (
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/usage"
)

// finish is deferred around every request: it turns a panic into a response,
// counts, and writes the request's one line of log.
func (x *exchange) finish() {
	if value := recover(); value != nil {
		x.respondPanic(value)
	}
	x.observe()
	x.returnBody()
	x.c, x.route, x.usage = nil, nil, nil
	exchanges.Put(x)
}

// respondPanic responds for a handler that panicked, or breaks a response that
// has begun. Only the type and the place of the panic are logged: its text may
// quote the request.
func (x *exchange) respondPanic(value any) {
	x.h.log.Error("handler panicked", "type", fmt.Sprintf("%T", value), "stack", callers())
	if x.c.Responded() {
		x.c.Abort()
		return
	}
	x.c.Close()
	x.respond(http.StatusBadGateway, unknown, "panic")
}

// callers returns the functions and lines of the present stack, without
// arguments.
func callers() []string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	var lines []string
	for {
		frame, more := frames.Next()
		lines = append(lines, fmt.Sprintf("%s:%d", frame.Function, frame.Line))
		if !more {
			return lines
		}
	}
}

// observe counts and logs, once, before the end of the response is sent: who has
// the response finds its request counted. Requests without a route are counted by
// their reason alone, and few of them are logged, or scanners would fill the log.
func (x *exchange) observe() {
	if x.observed {
		return
	}
	x.observed = true
	x.endTicket()
	if x.route == nil {
		x.logRefusal()
		return
	}
	counted := x.counted()
	finding := x.h.usage.Count(x.usage, &counted)
	now := x.h.now()
	took := now.Sub(x.start)
	x.h.metrics.ObserveDuration(took)
	route, backend := x.routeID, x.backend
	if x.h.store.Current().Route(x.route.Namespace, x.route.Name) == nil {
		route, backend = "", "" // the route left the table during the request: no new series for it
	}
	x.h.metrics.Count(metrics.Requests, route, backend, x.code(), string(x.outcome))
	if route != "" {
		x.countRoute(route, &counted, finding)
	}
	x.writeLine(now, took)
}

// code is the status for the metrics: the class of a backend's response, because the
// backend chooses its status.
func (x *exchange) code() string {
	if x.outcome != delivered && x.outcome != truncated && x.outcome != clientGone {
		return strconv.Itoa(x.status)
	}
	if class := x.status / 100; class <= 5 {
		return strconv.Itoa(class) + "xx"
	}
	return "other"
}

// countRoute counts a request of a route in the metrics that have its name.
func (x *exchange) countRoute(route string, counted *usage.Request, finding usage.Finding) {
	x.h.metrics.CountIf(counted.Kind == usage.Callback, metrics.Callbacks, route)
	x.h.metrics.CountIf(counted.Kind == usage.Callback && counted.Late, metrics.CallbacksAfterSunset, route)
	if x.failover {
		x.h.metrics.Count(metrics.Failovers, route)
	}
	if x.isDecided() {
		x.h.metrics.Count(metrics.Decisions, route, string(x.decision.Rung), x.ownerName())
	}
	if finding.HandedAgain {
		x.h.metrics.Count(metrics.Repeats, route, "delivered")
	}
	if finding.InLoop {
		x.h.metrics.Count(metrics.LoginLoops, route)
	}
}

// isDecided reports whether the rules of the route decided about a callback.
func (x *exchange) isDecided() bool {
	return x.route.Ownership != nil && x.kind == usage.Callback && x.decision.Rung != ""
}

// ownerName is the backend that owns the callback; empty when none does.
func (x *exchange) ownerName() string {
	if x.decision.Owner == nil {
		return ""
	}
	return x.decision.Owner.Name
}

// counted is the request as its route's record counts it.
func (x *exchange) counted() usage.Request {
	r := usage.Request{
		Kind: x.kind, Arrival: x.arrival.Now, Late: !x.arrival.Now.Before(x.route.Sunset) || x.outcome == sunsetPassed, Repeat: x.repeated,
		Tried: x.backend, Failure: x.failure, Succeeded: x.outcome == delivered, Refusal: x.refusal, Browser: x.browser,
	}
	switch x.outcome {
	case refused:
		r.Kind = usage.Rejected
	case delivered, unknown, truncated, clientGone:
		r.Backend = x.backend
	case sunsetPassed, notDelivered:
	}
	return r
}

// writeLine writes the log line of the request, with one Write. It holds the names
// of response parameters in the query and the number of all others, never a
// value.
func (x *exchange) writeLine(now time.Time, took time.Duration) {
	_, query, _ := gate.SplitTarget(x.c.Target)
	known, others := gate.Parameters(query)
	l := line{x.line[:0]}
	l.begin(now, "callback")
	l.addString("route", x.routeID)
	l.addString("callback", x.callback.Name)
	l.addString("backend", x.backend)
	l.addInt("status", x.status)
	l.addString("outcome", string(x.outcome))
	l.addMilliseconds("durationMs", took)
	l.addString("requestId", x.requestID)
	l.addList("queryKeys", known)
	l.addInt("otherKeys", others)
	if x.isDecided() {
		l.addString("rung", string(x.decision.Rung))
		l.addString("owner", x.ownerName())
	}
	if x.repeated {
		l.addTrue("repeated")
	}
	if x.failover {
		l.addTrue("failover")
	}
	if x.outcome == refused {
		l.addString("peer", x.peer())
	}
	if x.reason != "" {
		l.addString("reason", x.reason)
	}
	l.end()
	_, _ = x.h.lines.Write(l.text) // as for all logs, there is no other place to report a failure
	x.line = l.text
}

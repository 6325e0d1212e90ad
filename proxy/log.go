// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// log.go: the log line, the counts and the panics of a request.

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"strings"
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
	took := x.h.now().Sub(x.start)
	x.h.metrics.ObserveDuration(took)
	route, backend := x.route.ID(), x.backend
	if x.h.store.Current().Route(x.route.Namespace, x.route.Name) == nil {
		route, backend = "", "" // the route left the table during the request: no new series for it
	}
	x.h.metrics.Count(metrics.Requests, route, backend, strconv.Itoa(x.status), string(x.outcome))
	if route != "" {
		x.countRoute(route, &counted, finding)
	}
	x.h.log.LogAttrs(x.h.life, slog.LevelInfo, "callback", x.attrs(took)...)
}

// countRoute counts a request of a route in the metrics that have its name.
func (x *exchange) countRoute(route string, counted *usage.Request, finding usage.Finding) {
	x.h.metrics.Begin(metrics.Callbacks, route)
	x.h.metrics.Begin(metrics.CallbacksAfterSunset, route)
	if counted.Kind == usage.Callback {
		x.h.metrics.Count(metrics.Callbacks, route)
		if counted.Late {
			x.h.metrics.Count(metrics.CallbacksAfterSunset, route)
		}
	}
	if x.failover {
		x.h.metrics.Count(metrics.Failovers, route)
	}
	if finding.HandedAgain {
		x.h.metrics.Count(metrics.Repeats, route, "delivered")
	}
	if finding.InLoop {
		x.h.metrics.Count(metrics.LoginLoops, route)
	}
}

// counted is the request as its route's record counts it.
func (x *exchange) counted() usage.Request {
	r := usage.Request{
		Kind: x.kind, Arrival: x.arrival, Late: !x.arrival.Before(x.route.Sunset) || x.outcome == sunsetPassed, Repeat: x.repeated,
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

// attrs are the fields of the log line. They hold the names of response parameters
// in the query and the number of all others, never a value.
func (x *exchange) attrs(took time.Duration) []slog.Attr {
	_, query, _ := gate.SplitTarget(x.c.Target)
	known, others := gate.Parameters(query)
	attrs := []slog.Attr{
		slog.String("route", x.route.ID()),
		slog.String("callback", x.callback.Name),
		slog.String("backend", x.backend),
		slog.Int("status", x.status),
		slog.String("outcome", string(x.outcome)),
		slog.Float64("durationMs", float64(took.Microseconds())/1000),
		slog.String("requestId", x.requestID),
		slog.String("queryKeys", strings.Join(known, ",")),
		slog.Int("otherKeys", others),
	}
	if x.repeated {
		attrs = append(attrs, slog.Bool("repeated", true))
	}
	if x.failover {
		attrs = append(attrs, slog.Bool("failover", true))
	}
	if x.outcome == refused {
		attrs = append(attrs, slog.String("peer", x.peer()))
	}
	if x.reason != "" {
		attrs = append(attrs, slog.String("reason", x.reason))
	}
	return attrs
}

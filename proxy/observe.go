// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/gate"
)

// finish is deferred around every request: it turns a panic into an answer,
// counts, and writes the request's one line of log.
func (x *exchange) finish(ctx context.Context) {
	value := recover()
	aborted := false
	if err, ok := value.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		aborted = true
	} else if value != nil {
		aborted = x.recovered(value)
	}
	x.observe(ctx)
	if aborted {
		panic(http.ErrAbortHandler)
	}
}

// recovered answers for a handler that panicked and reports whether it is too
// late for that. Of the panic only the type and the place are logged: its text
// may quote the request.
func (x *exchange) recovered(value any) (tooLate bool) {
	x.h.log.Error("handler panicked", "type", fmt.Sprintf("%T", value), "stack", callers())
	if x.answered {
		return true
	}
	clear(x.w.Header())
	x.answer(http.StatusBadGateway, unknown, "panic")
	return false
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

// observe counts and logs. Requests without a route are counted by their
// reason alone and logged for debugging only, or scanners would fill the log.
func (x *exchange) observe(ctx context.Context) {
	if x.route == nil {
		x.h.log.Debug("request refused", "status", x.status, "reason", x.reason)
		return
	}
	x.h.state.uses.count(x.record, x.visit())
	took := x.h.now().Sub(x.start)
	route, backend := x.route.ID(), x.backend
	if current := x.h.state.Current(); current.route(x.route.Namespace, x.route.Name) == nil {
		route, backend = "", "" // the route went while the request was here: no new series for it
	}
	x.h.metrics.finished(route, backend, x.status, x.outcome, took)
	if x.fallback && route != "" {
		x.h.metrics.fallbacks.WithLabelValues(route).Inc()
	}
	x.h.log.LogAttrs(ctx, slog.LevelInfo, "callback", x.attrs(took)...)
}

// visit is the request as its route's record counts it.
func (x *exchange) visit() visit {
	v := visit{kind: x.kind, came: x.came, late: !x.came.Before(x.route.Sunset) || x.outcome == sunsetPassed}
	switch x.outcome {
	case refused:
		v.kind = against
	case delivered, unknown, truncated, clientGone:
		v.backend = x.backend
	case sunsetPassed, notDelivered:
	}
	return v
}

// attrs are the fields of the log line. Of the query there are the names of
// response parameters and the number of all others, never a value.
func (x *exchange) attrs(took time.Duration) []slog.Attr {
	_, query, _ := gate.SplitTarget(x.r.RequestURI)
	known, others := gate.Parameters(query)
	attrs := []slog.Attr{
		slog.String("route", x.route.ID()),
		slog.String("backend", x.backend),
		slog.Int("status", x.status),
		slog.String("outcome", string(x.outcome)),
		slog.Float64("durationMs", float64(took.Microseconds())/1000),
		slog.String("requestId", x.requestID),
		slog.String("queryKeys", strings.Join(known, ",")),
		slog.Int("otherKeys", others),
	}
	if x.fallback {
		attrs = append(attrs, slog.Bool("fallback", true))
	}
	if x.reason != "" {
		attrs = append(attrs, slog.String("reason", x.reason))
	}
	return attrs
}

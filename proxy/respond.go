// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// respond.go: the responses of the proxy itself.

import (
	"net/http"
	"strings"

	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/page"
	"github.com/callbackproxy/callback-operator/proxy/usage"
)

// countRefusal notes which rule the request broke.
func (x *exchange) countRefusal(reason string) {
	x.refusal = reason
	x.h.metrics.Count(metrics.Refused, reason)
}

func (x *exchange) refuse(refusal *gate.Refusal) {
	if refusal.Status == http.StatusServiceUnavailable {
		x.shed(string(refusal.Reason))
		return
	}
	x.countRefusal(string(refusal.Reason))
	if x.c.Method == http.MethodConnect {
		x.c.Close() // what follows may be bytes for the tunnel, which are no requests of this client
	}
	if refusal.Status == http.StatusMethodNotAllowed {
		x.respondWith(refusal.Status, pages[refusal.Status], refused, string(refusal.Reason), "Allow: "+strings.Join(x.methods(), ", "))
		return
	}
	x.respond(refusal.Status, refused, string(refusal.Reason))
}

// shed responds to a request that was not read to its end, because others need
// what it holds.
func (x *exchange) shed(reason string) {
	x.kind = usage.Rejected
	x.respondBusy(reason)
}

// respondBusy responds when this instance, or a route, has too much to do. Nothing
// was delivered.
func (x *exchange) respondBusy(reason string) {
	x.countRefusal(reason)
	x.respondWith(http.StatusServiceUnavailable, busyPage, notDelivered, reason)
}

func (x *exchange) respondHeld() {
	x.countRefusal("held")
	x.respondWith(http.StatusServiceUnavailable, heldPage, notDelivered, "held")
}

func (x *exchange) respondGone() {
	x.h.metrics.Count(metrics.SunsetRefused, x.routeID)
	x.respondWith(http.StatusGone, gonePage(x.route), sunsetPassed, "", sunsetLines(nil, x.route, nil)...)
}

// respond responds with the constant page of a status.
func (x *exchange) respond(status int, o outcome, reason string) {
	x.respondWith(status, pages[status], o, reason)
}

func (x *exchange) respondWith(status int, p page.Page, o outcome, reason string, lines ...string) {
	x.status, x.outcome, x.reason = status, o, reason
	x.observe()
	d := page.Details{RequestID: x.requestID}
	if x.pages != nil {
		d.Product, d.SupportURL = x.pages.Product, x.pages.SupportURL
	}
	if x.route != nil {
		d.InfoURL = x.route.InfoURL
	}
	page.Write(x.c, status, p.Render(d), lines...)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// sidecar.go: which requests are the application's behind a sidecar.

import (
	"net/http"

	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/http1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/usage"
)

// isForOtherPath reports whether a request is for another path than those of
// callbacks, and returns the ended or held callback, if any, whose response it
// still may be.
func (h *Handler) isForOtherPath(s *config.Snapshot, c *http1.Exchange) (is bool, closed *routetable.Match) {
	if h.app == nil || s == nil || c.Refusal != nil {
		return false, nil
	}
	takes, suffixed := h.app.Takes(s, c)
	if !takes {
		return false, nil
	}
	for i := range suffixed {
		if m := &suffixed[i]; m.Hold != nil || m.Route.Protocol != routetable.Opaque && s.CloseIfPassed(m.Route, h.clock.Judgement()) {
			return true, m
		}
	}
	return true, nil
}

// serveSuffixed serves a request whose path has something after that of a callback
// that ended or is held: many servers would give its response to the callback's
// code, so it gets what the callback itself gets. All but responses of the protocol
// is the application's own.
func (x *exchange) serveSuffixed(s *config.Snapshot, closed *routetable.Match) {
	x.bodyLimit = s.BodyLimit()
	protocols := []gate.Protocol{gate.OAuth, gate.SAML} // a hold does not know its own
	if closed.Hold == nil {
		x.take(s, *closed)
		protocols = []gate.Protocol{protocolOf(x.route)}
	}
	x.c.SetWriteDeadline(x.start.Add(x.h.readTimeout + x.h.writeGrace))
	var body []byte
	if x.hasForm() {
		var ok bool
		if body, ok = x.readBody(); !ok {
			return
		}
	}
	_, query, _ := gate.SplitTarget(x.c.Target)
	for _, protocol := range protocols {
		if is, refusal := gate.CheckResponse(x.responseOf(protocol, query, body)); is || refusal != nil {
			x.kind = usage.Rejected
			x.respondClosed(closed)
			return
		}
	}
	x.pass(s, body)
}

// respondClosed responds for a callback that ended or is held.
func (x *exchange) respondClosed(closed *routetable.Match) {
	if closed.Hold != nil {
		x.respondHeld()
		return
	}
	x.respondGone()
}

// isApplications reports whether a request for a callback's path is the
// application's behind this sidecar: it is no response of the protocol, so the
// rules for callbacks do not apply. A head that cannot be read belongs to none.
func (x *exchange) isApplications(query string) bool {
	return x.h.app != nil && x.route != nil && x.c.Refusal == nil && !x.mayBeResponse(query) && !x.isPage()
}

// isPage reports whether a request may be a browser's for the page at a callback.
// A response in the fragment of a URL (response_mode=fragment, the implicit flow)
// reaches no server: a script of that page reads it, so the page comes from the
// backend that gets the responses. Requests of scripts, and browsers' own for
// other things than pages, are not for it.
func (x *exchange) isPage() bool {
	if protocolOf(x.route) != gate.OAuth || x.callback.PathType != routetable.Exact {
		return false
	}
	if x.c.Method != http.MethodGet || x.c.HasBody() || x.c.IsWebSocket() {
		return false
	}
	mode := x.c.Fields.Get("sec-fetch-mode")
	return mode == "" || http1.EqualFold(mode, "navigate")
}

// pass hands a request to the application. A body that was read is sent as it is.
func (x *exchange) pass(s *config.Snapshot, body []byte) {
	x.observed = true
	x.lent = nil // the application may read the body longer than this exchange lasts
	x.h.app.Pass(s, x.c, body)
}

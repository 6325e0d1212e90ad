// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// match.go: from the head of a request to its route, or its refusal.

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/http1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// match finds the route of a request, or refuses the request. A refused request is
// counted for the route that it names, where its host and path can be read.
func (x *exchange) match(s *config.Snapshot) bool {
	path, query, _ := gate.SplitTarget(x.c.Target)
	x.bodyLimit = routetable.DefaultBodyKiB << 10
	match, found, exact, refusal := x.find(s, path, query)
	if found && match.Hold == nil {
		x.take(s, match)
		if full, is := errors.AsType[*http1.Error](x.c.Assign(x.route.UID)); is {
			refusal = &gate.Refusal{Status: full.Status, Reason: gate.Reason(full.Reason)}
		}
	}
	x.c.SetWriteDeadline(x.start.Add(x.h.readTimeout + x.h.writeGrace))
	if refusal == nil {
		refusal = x.checkHead(exact)
	}
	if refusal != nil && (s != nil || x.h.app == nil) && !x.isApplications(query) {
		x.takeNamed(s, path, query)
		x.refuse(refusal)
		return false
	}
	switch {
	case s == nil:
		// A sidecar without a config cannot distinguish its callbacks from the
		// application's requests, so it refuses all alike.
		x.countRefusal("noConfig")
		x.respond(http.StatusServiceUnavailable, notDelivered, "no config")
		return false
	case !found && x.isHealthCheck(s, path):
		x.respondHealth()
		return false
	case !found:
		x.countRefusal("noRoute")
		x.respond(http.StatusNotFound, refused, "no route")
		return false
	case match.Hold != nil:
		x.respondHeld()
		return false
	}
	return true
}

// find returns what claims a request. An Exact path is compared as it was
// registered: the gate's rule for canonical paths does not apply to it.
func (x *exchange) find(s *config.Snapshot, path, query string) (match routetable.Match, found, exact bool, refusal *gate.Refusal) {
	if s == nil {
		return match, false, false, nil
	}
	x.trusted, x.bodyLimit = s.Trusts(x.c.Peer.Addr().Unmap().WithZone("")), s.BodyLimit()
	var one bool
	if x.host, one = s.HostOf(&x.c.Request, x.trusted); !one {
		refusal = &gate.Refusal{Status: http.StatusBadRequest, Reason: gate.HeaderTwice}
	}
	if match, exact = s.Matcher.MatchExact(x.host, path, query); exact {
		return match, true, true, refusal
	}
	if gate.IsCanonicalPath(path) {
		match, found = s.Matcher.Match(x.host, path, query)
	}
	return match, found, false, refusal
}

// take makes the request one of a route.
func (x *exchange) take(s *config.Snapshot, match routetable.Match) {
	x.route, x.callback, x.usage = match.Route, match.Callback, s.Usage(match.Route)
	x.routeID, x.arrival = x.route.ID(), x.h.clock.Judgement()
	x.setRequestID()
	if x.h.app == nil && !x.trusted {
		x.c.Close() // a client that sends on this connection again cannot take its end for an invitation to repeat
	}
}

// takeNamed counts a refused request for the route that its raw path names, where
// the path has other readings: the route's owner looks for it there. The request
// is not served, so the other readings do not matter.
func (x *exchange) takeNamed(s *config.Snapshot, path, query string) {
	if s == nil || x.route != nil {
		return
	}
	if match, found := s.Matcher.Match(x.host, path, query); found && match.Hold == nil {
		x.take(s, match)
	}
}

// total is how long the delivery of a request may take.
func (x *exchange) total() time.Duration {
	return time.Duration(x.route.TimeoutSeconds) * time.Second
}

// checkHead applies the rules of the parser and of the gate.
func (x *exchange) checkHead(declared bool) *gate.Refusal {
	if r := x.c.Refusal; r != nil {
		return &gate.Refusal{Status: r.Status, Reason: gate.Reason(r.Reason)}
	}
	head := gate.Head{
		Method: x.c.Method, Target: x.c.Target, PathDeclared: declared, Length: x.c.Length, Chunked: x.c.Chunked,
		MaxLength: x.bodyLimit,
	}
	var once gate.Once
	purposes := 0
	for i := range x.c.Fields {
		f := &x.c.Fields[i]
		once.Note(f.Name)
		switch {
		case f.Is("expect"):
			head.Expects = f.Value
		case f.Is("sec-purpose") || f.Is("purpose") || f.Is("x-moz"):
			if purposes++; purposes > 1 {
				head.Purpose += ";"
			}
			head.Purpose += f.Value
		}
	}
	head.Twice = once.Twice
	return gate.CheckHead(&head)
}

// isHealthCheck reports whether a request is a load balancer's check of this
// listener: for an address or a name that no route has.
func (x *exchange) isHealthCheck(s *config.Snapshot, path string) bool {
	declared := s.Table.Settings.HealthPath
	return declared != "" && path == declared && x.h.app == nil && !s.Claims(x.host)
}

func (x *exchange) respondHealth() {
	status := http.StatusOK
	if x.c.IsDraining() || !x.h.store.IsReady() {
		status = http.StatusServiceUnavailable
	}
	x.status, x.outcome, x.observed = status, refused, true
	x.c.Begin(status, http.StatusText(status))
	x.c.Add("Content-Type", "text/plain; charset=utf-8")
	x.c.Add("Cache-Control", "no-store")
	_ = x.c.Send(healthy)
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
	var text [2 * len(id)]byte
	_, _ = rand.Read(id[:]) // never fails, by its contract
	hex.Encode(text[:], id[:])
	return string(text[:])
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package usage counts the requests of each route, for the report. In: routes
// that come and go, and their requests; out: counts, what the last minutes show of
// backends, browsers and the proxies in front, and what changed since a cursor.
// Pure.
package usage

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/changelog"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
)

// Kind classifies a request for its route.
type Kind int

// The kinds. A Callback passed the gate and has the parameters of a response of
// the route's protocol; it stays one whether or not it is delivered. An
// Unrelated request passed the gate and has none, as those of probes and
// scanners. A Rejected one broke a rule.
const (
	Unrelated Kind = iota
	Callback
	Rejected
)

// KindOf classifies a request that passed the gate: whether it is a response of
// the route's protocol. Every request of an opaque route is a Callback.
func KindOf(r *routetable.Route, isResponse bool) Kind { //nolint:revive // a property of the request
	if isResponse || r.Protocol == routetable.Opaque {
		return Callback
	}
	return Unrelated
}

// Request is one request as it is counted.
type Request struct {
	Kind    Kind
	Arrival time.Time
	// Late: it arrived at the sunset or after it.
	Late bool
	// Backend is where its first byte was sent to; empty: nowhere.
	Backend string
	// Repeat: the same callback was delivered before and got a complete answer.
	Repeat bool
	// Tried is the backend of the attempt, also when no byte was sent to it. Failure
	// is why the attempt failed, one of the FailureXxx reasons, and Succeeded is true
	// when it had a complete response. Neither: it shows nothing of the backend.
	Tried     string
	Failure   string
	Succeeded bool
	// Refusal is the rule that a Rejected request broke.
	Refusal string
	// Browser is the one that the login of a Callback is in; zero when that is not
	// known, or no login.
	Browser Browser
}

// handedAgain reports whether a callback was handed to a backend once more.
func (r *Request) handedAgain() bool { return r.Repeat && r.Backend != "" }

// Counters count the requests of all routes. Counting is one short critical
// section and allocates nothing once a backend is known. The methods may be
// called by several goroutines.
type Counters struct {
	// Claims are those of all routes together.
	Claims Claims

	mu  sync.Mutex
	log *changelog.Log[*counts]
}

// Record counts the requests of one route.
type Record struct {
	entry changelog.Entry[*counts]
	// waiting is how many requests wait for a backend.
	waiting atomic.Int32
}

// Enter notes that a request begins to wait for a backend. It reports false when
// that many do already, and notes nothing then.
func (r *Record) Enter(most int32) bool {
	if r.waiting.Add(1) > most {
		r.waiting.Add(-1)
		return false
	}
	return true
}

// Reenter is Enter of a request that left only for a moment, without a limit.
func (r *Record) Reenter() { r.waiting.Add(1) }

// Leave notes that a request does not wait for a backend any more.
func (r *Record) Leave() { r.waiting.Add(-1) }

type counts struct {
	last                                          int64 // Unix seconds of the last callback; 0: none
	callbacks, late, repeats, unrelated, rejected int64
	lastRejected                                  int64
	refusal                                       string // of the last rejected one
	lastLoop                                      int64
	loops                                         *loops // nil before the first browser
	backends                                      []backendCounts
}

type backendCounts struct {
	name        string
	callbacks   int64
	last        int64
	lastSuccess int64
	failures    run
}

// Finding is what a request shows beyond its own counts.
type Finding struct {
	// HandedAgain: the callback was handed to a backend once more, after a complete
	// answer.
	HandedAgain bool
	// InLoop: its browser comes with one login after the other.
	InLoop bool
}

// NewCounters returns Counters without routes.
func NewCounters() *Counters {
	return &Counters{log: changelog.New[*counts](routetable.MaxReportEntries)}
}

// Start returns the Record of a route that is new in the table.
func (c *Counters) Start(uid string) *Record {
	return &Record{entry: changelog.Entry[*counts]{Key: uid, Value: &counts{}}}
}

// RetainBackends drops the counts of backends that the route lacks.
func (c *Counters) RetainBackends(r *Record, route *routetable.Route) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := r.entry.Value
	before := len(n.backends)
	n.backends = slices.DeleteFunc(n.backends, func(b backendCounts) bool { return route.Backend(b.name) == nil })
	if len(n.backends) != before {
		c.log.Touch(&r.entry)
	}
}

// End drops the counts of a route that left the table. Later requests of it are
// not counted.
func (c *Counters) End(r *Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.End(&r.entry)
}

// Count adds one request.
func (c *Counters) Count(r *Record, request *Request) Finding {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.entry.IsTombstone() {
		return Finding{}
	}
	c.log.Touch(&r.entry)
	return r.entry.Value.add(request)
}

func (n *counts) add(r *Request) Finding {
	at := r.Arrival.Unix()
	switch r.Kind {
	case Unrelated:
		n.unrelated++
	case Rejected:
		n.rejected++
		n.lastRejected, n.refusal = latest(n.lastRejected, at), r.Refusal
	case Callback:
		n.callbacks++
		n.last = latest(n.last, at)
		if r.Late {
			n.late++
		}
		if r.handedAgain() {
			n.repeats++
		}
		n.addAttempt(r, at)
		return Finding{HandedAgain: r.handedAgain(), InLoop: n.addBrowser(r, at)}
	}
	return Finding{}
}

func (n *counts) addAttempt(r *Request, at int64) {
	if r.Backend != "" {
		b := n.backend(r.Backend)
		b.callbacks++
		b.last = latest(b.last, at)
	}
	switch {
	case r.Tried == "":
	case r.Succeeded:
		b := n.backend(r.Tried)
		b.lastSuccess, b.failures = latest(b.lastSuccess, at), run{}
	case r.Failure != "":
		n.backend(r.Tried).failures.add(failure{at, r.Failure})
	}
}

// addBrowser reports whether a callback is one of a loop. One that was handed on
// again is none: a page that posts a response to itself comes back at once.
func (n *counts) addBrowser(r *Request, at int64) bool {
	if r.Browser == (Browser{}) || r.Repeat {
		return false
	}
	if n.loops == nil {
		n.loops = &loops{}
	}
	inLoop := n.loops.add(r.Browser, r.Arrival)
	if inLoop {
		n.lastLoop = latest(n.lastLoop, at)
	}
	return inLoop
}

// latest returns the time of the last callback, of which two are known in the
// order of their ends. The judged time goes back by more than the tolerance
// only when it was wrong before: then the earlier time is void, or one callback
// under a clock that is years ahead would be the last one for years.
func latest(known, at int64) int64 {
	if known > at+int64(sunset.Tolerance/time.Second) {
		return at
	}
	return max(known, at)
}

func (n *counts) backend(name string) *backendCounts {
	for i := range n.backends {
		if n.backends[i].name == name {
			return &n.backends[i]
		}
	}
	n.backends = append(n.backends, backendCounts{name: name})
	return &n.backends[len(n.backends)-1]
}

// Changes returns the counts that changed after a cursor, at most that many
// entries, and the cursor of the next call; more reports that some had no room.
// It reports false for a cursor that needs a full list instead.
func (c *Counters) Changes(cursor changelog.Cursor, most int) (entries []routetable.RouteUse, next changelog.Cursor, more, ok bool) {
	next, more, ok = c.log.Read(&c.mu, cursor, most, func(e *changelog.Entry[*counts]) { entries = append(entries, reportOf(e)) })
	return entries, next, more, ok
}

func reportOf(e *changelog.Entry[*counts]) routetable.RouteUse {
	if e.IsTombstone() {
		return routetable.RouteUse{UID: e.Key, Gone: true}
	}
	n := e.Value
	use := routetable.RouteUse{
		UID: e.Key, Last: timeOf(n.last),
		Callbacks: n.callbacks, AfterSunset: n.late, Repeats: n.repeats, Other: n.unrelated, Refused: n.rejected,
		LastRefused: timeOf(n.lastRejected), RefusedReason: n.refusal, LastLoop: timeOf(n.lastLoop),
	}
	for i := range n.backends {
		b := &n.backends[i]
		use.Backends = append(use.Backends, routetable.BackendUse{
			Name: b.name, Callbacks: b.callbacks, Last: timeOf(b.last),
			LastSuccess: timeOf(b.lastSuccess), InRow: b.failures.inRow, Failures: b.failures.report(),
		})
	}
	return use
}

func timeOf(unix int64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(unix, 0).UTC()
}

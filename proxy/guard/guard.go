// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package guard keeps one instance from handing the same authorization response
// to a backend again while the result of the first time is open. In: responses,
// as keys, and how their delivery ended; out: whether one may be delivered. Pure.
//
//	              Begin            End
//	(unknown key) ------> in flight ----> Complete: a repeat is delivered, and counted
//	                                ----> Open: a repeat is refused
//	                                ----> NotDelivered: forgotten
//
// A relying party that loads or posts the same response to itself once more, to
// regain its SameSite cookies, works: its first answer was complete.
package guard

import (
	"sync"
	"time"
)

// The bounds of what is remembered. The oldest goes first: a full guard refuses
// nothing.
const (
	// Memory is how long a response is remembered. Authorization codes live for
	// ten minutes at most (RFC 6749 section 4.1.2).
	Memory = 10 * time.Minute
	// MaxPerRoute bounds the responses of one route, MaxEntries all together.
	MaxPerRoute = 4096
	MaxEntries  = 65536
)

// Verdict is what is known of a response that is about to be delivered.
type Verdict int

// The verdicts.
const (
	// First: it was not delivered before, as far as is remembered.
	First Verdict = iota
	// Repeat: it was delivered before, and the answer was complete. It may be
	// delivered again.
	Repeat
	// Refused: its delivery is in flight, or ended without a complete answer.
	Refused
)

// Result is how a delivery ended.
type Result int

// The results.
const (
	// NotDelivered: no byte was sent to a backend.
	NotDelivered Result = iota
	// Complete: the whole answer was handed to the client.
	Complete
	// Open: a backend may have acted, and the client has no complete answer.
	Open
)

// Guard remembers responses. Its methods may be called by several goroutines.
type Guard struct {
	mu      sync.Mutex
	entries map[Key]*entry
	ages    queue
	// routes are by UID. A queue that is empty is in neither map.
	routes, namespaces map[string]*queue
	// largest is a namespace with the most entries, give or take one; nil: none has
	// any.
	largest *queue
}

// entry is one response.
type entry struct {
	key              Key
	begun            time.Time
	inFlight, open   bool
	repeats          bool // it was complete once
	route, namespace *queue
	links            [orders]link
	ticket           Ticket
}

// New returns a Guard that remembers nothing.
func New() *Guard {
	return &Guard{entries: map[Key]*entry{}, routes: map[string]*queue{}, namespaces: map[string]*queue{}, ages: queue{by: byAge}}
}

// Ticket is a delivery that has begun. End is called once.
type Ticket struct {
	guard *Guard
	entry *entry
}

// Begin notes that a response of a route is about to be delivered, unless it is
// refused: then there is no ticket.
func (g *Guard) Begin(namespace, routeUID string, key Key, now time.Time) (*Ticket, Verdict) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expire(now)
	if e := g.entries[key]; e != nil {
		if e.inFlight || e.open {
			return nil, Refused
		}
		e.inFlight = true
		return &e.ticket, Repeat
	}
	g.makeRoom(routeUID)
	e := &entry{
		key: key, begun: now, inFlight: true,
		route: queueOf(g.routes, routeUID, byRoute), namespace: queueOf(g.namespaces, namespace, byNamespace),
	}
	e.ticket = Ticket{g, e}
	g.add(e)
	return &e.ticket, First
}

// End notes how the delivery ended.
func (t *Ticket) End(result Result) {
	t.guard.mu.Lock()
	defer t.guard.mu.Unlock()
	e := t.entry
	e.inFlight = false
	switch result {
	case Complete:
		e.repeats = true
	case Open:
		e.open = true
	case NotDelivered:
		if !e.repeats && t.guard.entries[e.key] == e {
			t.guard.remove(e)
		}
	}
}

// Len returns how many responses are remembered.
func (g *Guard) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.entries)
}

// expire forgets what is too old.
func (g *Guard) expire(now time.Time) {
	for g.ages.first != nil && now.Sub(g.ages.first.begun) >= Memory {
		g.remove(g.ages.first)
	}
}

// makeRoom forgets the oldest of the route when that has too many, and the
// oldest of the namespace with the most when all are too many: who fills the
// guard loses his own entries.
func (g *Guard) makeRoom(routeUID string) {
	if of := g.routes[routeUID]; of != nil && of.length >= MaxPerRoute {
		g.remove(of.first)
	}
	if len(g.entries) >= MaxEntries {
		if g.largest.length > 0 {
			g.remove(g.largest.first)
			return
		}
		g.remove(g.ages.first)
	}
}

func (g *Guard) add(e *entry) {
	g.entries[e.key] = e
	g.ages.push(e)
	e.route.push(e)
	e.namespace.push(e)
	if g.largest == nil || e.namespace.length > g.largest.length {
		g.largest = e.namespace
	}
}

func (g *Guard) remove(e *entry) {
	delete(g.entries, e.key)
	g.ages.remove(e)
	removeFrom(g.routes, e.route, e)
	removeFrom(g.namespaces, e.namespace, e)
}

func removeFrom(queues map[string]*queue, q *queue, e *entry) {
	if q.remove(e); q.length == 0 {
		delete(queues, q.name)
	}
}

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
	"container/list"
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
	// ages are all entries, the oldest first.
	ages       list.List
	routes     map[string]*list.List // by UID
	namespaces map[string]*list.List
	// largest is a namespace with the most entries, give or take one.
	largest string
}

// entry is one response.
type entry struct {
	key              Key
	route, namespace string
	begun            time.Time
	inFlight, open   bool
	repeats          bool // it was complete once
	// its places in the lists
	age, ofRoute, ofNamespace *list.Element
}

// New returns a Guard that remembers nothing.
func New() *Guard {
	return &Guard{entries: map[Key]*entry{}, routes: map[string]*list.List{}, namespaces: map[string]*list.List{}}
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
		return &Ticket{g, e}, Repeat
	}
	e := &entry{key: key, route: routeUID, namespace: namespace, begun: now, inFlight: true}
	g.makeRoom(e)
	g.add(e)
	return &Ticket{g, e}, First
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
	for first := g.ages.Front(); first != nil; first = g.ages.Front() {
		e := first.Value.(*entry)
		if now.Sub(e.begun) < Memory {
			return
		}
		g.remove(e)
	}
}

// makeRoom forgets the oldest of the route when that has too many, and the
// oldest of the namespace with the most when all are too many: who fills the
// guard loses his own entries.
func (g *Guard) makeRoom(e *entry) {
	if of := g.routes[e.route]; of != nil && of.Len() >= MaxPerRoute {
		g.remove(of.Front().Value.(*entry))
	}
	if len(g.entries) >= MaxEntries {
		if of := g.namespaces[g.largest]; of != nil {
			g.remove(of.Front().Value.(*entry))
			return
		}
		g.remove(g.ages.Front().Value.(*entry))
	}
}

func (g *Guard) add(e *entry) {
	g.entries[e.key] = e
	e.age = g.ages.PushBack(e)
	e.ofRoute = listOf(g.routes, e.route).PushBack(e)
	e.ofNamespace = listOf(g.namespaces, e.namespace).PushBack(e)
	largest := g.namespaces[g.largest]
	if largest == nil || g.namespaces[e.namespace].Len() > largest.Len() {
		g.largest = e.namespace
	}
}

func listOf(lists map[string]*list.List, name string) *list.List {
	l := lists[name]
	if l == nil {
		l = list.New()
		lists[name] = l
	}
	return l
}

func (g *Guard) remove(e *entry) {
	delete(g.entries, e.key)
	g.ages.Remove(e.age)
	removeFrom(g.routes, e.route, e.ofRoute)
	removeFrom(g.namespaces, e.namespace, e.ofNamespace)
}

func removeFrom(lists map[string]*list.List, name string, element *list.Element) {
	l := lists[name]
	if l.Remove(element); l.Len() == 0 {
		delete(lists, name)
	}
}

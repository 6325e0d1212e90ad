// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package health knows which backends can be reached. In: tables, which say
// what to look at and how, and what callbacks learned while dialling; out:
// whether an address is worth dialling, and what changed, for the report. Only
// what this instance sees itself counts, and of callbacks only whether a
// connection came about: an answer's status would let strangers, who choose
// what is sent, decide about a backend. I/O.
package health

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const (
	// passiveThreshold is how many dials in a row must fail where no check says
	// otherwise. What they found holds for passiveLife, and within it one
	// callback in retryEvery may try again.
	passiveThreshold = 3
	passiveLife      = 30 * time.Second
	retryEvery       = 5 * time.Second

	// firstWithin bounds the time to the first look at a target.
	firstWithin = 10 * time.Second
	// hurry is the interval as long as nothing is known.
	hurry = time.Second

	preflightInterval = 5 * time.Minute
	preflightAgain    = 30 * time.Second
	preflightTimeout  = 10 * time.Second
)

// Options of a Checker.
type Options struct {
	// Upstream is what looks go through, so that the rules about what may be
	// dialled are those of callbacks.
	Upstream Upstream
	// Now must carry a monotonic reading, as time.Now does.
	Now func() time.Time
	// Closed, when set, says whether a route of the table has ended. Set asks
	// for each, and what no other route leads to is not looked at.
	Closed func(*routetable.Route) bool
	// Looked, when set, is told of each look at a target: its kind, "check" or
	// "preflight", and what was found.
	Looked func(kind, result string)
}

// Checker looks at the targets of a table. Its methods may be called by several
// goroutines.
type Checker struct {
	look   func(context.Context, *ask) finding
	looked func(kind, result string)
	now    func() time.Time
	begin  time.Time
	random func() float64 // from 0 to 1
	closed func(*routetable.Route) bool

	// sets lets one Set go on at a time. The map that targets points to is
	// never written once it is there.
	sets    sync.Mutex
	targets atomic.Pointer[map[string]*target]

	mu        sync.Mutex
	lanes     [lanes]lane
	changes   changes
	unhealthy int
}

// NewChecker returns a Checker without targets.
func NewChecker(o Options) *Checker {
	c := &Checker{
		look: prober{o.Upstream, o.Now}.look, looked: o.Looked, now: o.Now, begin: o.Now(),
		random: rand.Float64, closed: o.Closed,
	}
	if c.closed == nil {
		c.closed = func(*routetable.Route) bool { return false }
	}
	c.targets.Store(&map[string]*target{})
	for i := range c.lanes {
		c.lanes[i] = lane{free: slots, wake: make(chan struct{}, 1)}
	}
	return c
}

// Set replaces the targets by those of a table. What is known of a target that
// stays is kept, what is known of one that goes is dropped: should it come
// again, it begins Unmeasured and unreported. A target whose last route closed
// goes too, though it keeps its name, under which it is reported Unmeasured; so
// Set is to be called again when routes of the table close or open.
func (c *Checker) Set(table *routetable.Table) {
	c.sets.Lock()
	defer c.sets.Unlock()
	before := *c.targets.Load()
	after := make(map[string]*target, len(before))
	var added []*target
	for id, newAsk := range asks(table, c.closed) {
		if _, twice := after[id]; twice {
			continue
		}
		t, stays := before[id]
		if rests := newAsk == nil; !stays || t.rests != rests {
			t = &target{id: id, rests: rests}
			if !rests {
				t.ask = newAsk()
			}
			added = append(added, t)
		}
		after[id] = t
	}
	c.swap(before, after, added)
}

func (c *Checker) swap(before, after map[string]*target, added []*target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, t := range before {
		if after[id] != t {
			c.drop(t)
		}
	}
	for _, t := range added {
		if was := before[t.id]; was != nil && was.change != 0 {
			c.changes.add(t, len(after)) // what was told of it holds no more
		}
		if t.ask != nil {
			c.plan(t, time.Duration(c.random()*float64(min(t.ask.every(), firstWithin))))
		}
	}
	c.targets.Store(&after)
}

// drop is called with mu.
func (c *Checker) drop(t *target) {
	c.unplan(t)
	t.gone = true
	if t.found.isUnhealthy() {
		c.unhealthy--
	}
}

// Usable reports whether a callback may be sent to a target: not when it is
// known to be unhealthy. One that is not known may be. It costs no lock and no
// memory.
func (c *Checker) Usable(id string) bool {
	t, known := (*c.targets.Load())[id]
	if !known || !t.unhealthy.Load() {
		return true
	}
	if t.ask != nil {
		return false
	}
	// Nobody else finds out whether it is back.
	at, now := t.retry.Load(), int64(c.elapsed())
	return now >= at && t.retry.CompareAndSwap(at, now+int64(retryEvery))
}

// Dialled is told whether a callback reached a target.
func (c *Checker) Dialled(id string, reached bool) {
	t, known := (*c.targets.Load())[id]
	switch {
	case !known, reached && t.dialFails.Load() == 0 && (t.ask != nil || !t.unhealthy.Load()):
		return // nothing new, which is what it is nearly always
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.gone {
		return
	}
	switch {
	case reached && t.ask == nil && t.found.isUnhealthy():
		c.unplan(t)
		c.think(t, unmeasured)
		fallthrough
	case reached:
		t.dialFails.Store(0)
	case t.dialFails.Add(1) >= t.dialLimit():
		c.dialledInVain(t)
	}
}

// dialledInVain is called with mu when too many dials in a row failed.
func (c *Checker) dialledInVain(t *target) {
	if t.ask == nil {
		t.retry.Store(int64(c.elapsed() + retryEvery))
		c.think(t, unreachable)
		c.plan(t, passiveLife)
		return
	}
	if t.found.isUnhealthy() {
		return
	}
	// From here on the checks decide, the first of them soon.
	t.fails, t.passes = 0, 0
	c.think(t, unreachable)
	if t.queued != 0 && t.due > c.elapsed()+hurry {
		c.plan(t, c.jittered(hurry))
	}
}

// think is called with mu: it notes what is thought of a target from now on.
func (c *Checker) think(t *target, f finding) {
	if f == t.found {
		return
	}
	was := t.found.isUnhealthy()
	t.found = f
	t.unhealthy.Store(f.isUnhealthy())
	switch {
	case !was && f.isUnhealthy():
		c.unhealthy++
	case was && !f.isUnhealthy():
		c.unhealthy--
	}
	c.changes.add(t, len(*c.targets.Load()))
}

// Unhealthy returns how many targets are unhealthy.
func (c *Checker) Unhealthy() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unhealthy
}

// Changed returns what is thought of the targets that changed after since, in
// the order of their last change and at most that many. next is the since of
// the next call, and more says that some had no room. A since that was never
// given out gets everything.
func (c *Checker) Changed(since uint64, most int) (entries []routetable.TargetReport, next uint64, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changes.after(since, most)
}

// elapsed is the Checker's clock: it never goes back and never jumps.
func (c *Checker) elapsed() time.Duration { return c.now().Sub(c.begin) }

// jittered returns a time within a tenth of d.
func (c *Checker) jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*c.random()))
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package health finds out which backends can be reached. In: tables, which
// define what is probed and how, and the dials of callbacks; out: whether an
// address may be dialled, and what changed, for the report. Only what this
// instance observes itself counts, and of callbacks only whether a connection
// was made: the status of a response would let outsiders, who choose what is
// sent, decide about a backend. I/O.
package health

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/changelog"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const (
	// passiveThreshold is how many dials in a row must fail where no check has a
	// threshold. The finding holds for passiveLife, and within it one callback in
	// retryEvery may try again.
	passiveThreshold = 3
	passiveLife      = 30 * time.Second
	retryEvery       = 5 * time.Second

	// firstWithin bounds the time to the first probe of a target.
	firstWithin = 10 * time.Second
	// firstInterval is the interval until the first finding.
	firstInterval = time.Second

	pathInterval = 5 * time.Minute
	pathRetry    = 30 * time.Second
	pathTimeout  = 10 * time.Second
)

// Options of a Checker.
type Options struct {
	// Upstream is what probes go through, so that the rules about what may be
	// dialled are those of callbacks.
	Upstream Upstream
	// Now must carry a monotonic reading, as time.Now does.
	Now func() time.Time
	// Pseudonym is the fleet's name in Via, see forwarding.Pseudonym.
	Pseudonym string
	// IsClosed, when set, reports whether a route of the table has ended. Set
	// calls it for each route; targets of closed routes alone are not probed.
	IsClosed func(*routetable.Route) bool
	// Probed, when set, is called after each probe with its kind, "check" or
	// "pathProbe", and its result.
	Probed func(kind, result string)
}

// Checker probes the targets of a table. Its methods may be called by several
// goroutines.
type Checker struct {
	run      func(context.Context, *probe) finding
	probed   func(kind, result string)
	now      func() time.Time
	start    time.Time
	random   func() float64 // from 0 to 1
	isClosed func(*routetable.Route) bool

	// sets serialises Set. The map that targets points to is never written once
	// it is there.
	sets    sync.Mutex
	targets atomic.Pointer[map[string]*target]

	probes    sync.WaitGroup
	mu        sync.Mutex
	running   context.Context //nolint:containedctx // that of Run; nil before
	lanes     [lanes]lane
	log       *changelog.Log[*target]
	unhealthy int
}

// NewChecker returns a Checker without targets.
func NewChecker(o Options) *Checker {
	c := &Checker{
		run: prober{o.Upstream, o.Now, o.Pseudonym}.run, probed: o.Probed, now: o.Now, start: o.Now(),
		random: rand.Float64, isClosed: o.IsClosed, log: changelog.New[*target](routetable.MaxReportEntries),
	}
	if c.isClosed == nil {
		c.isClosed = func(*routetable.Route) bool { return false }
	}
	c.targets.Store(&map[string]*target{})
	for i := range c.lanes {
		c.lanes[i].free = slots
	}
	return c
}

// Set replaces the targets by those of the open routes of a table. The finding
// of a target that stays is kept, that of one that goes is dropped: should it
// come again, it begins Unmeasured and unreported. Call Set again when routes of
// the table close or reopen.
func (c *Checker) Set(table *routetable.Table) {
	c.sets.Lock()
	defer c.sets.Unlock()
	before := *c.targets.Load()
	after := make(map[string]*target, len(before))
	var added []*target
	for id, newProbe := range probesOf(table, c.isClosed) {
		if _, twice := after[id]; twice {
			continue
		}
		t, stays := before[id]
		if !stays {
			t = newTarget(id, newProbe())
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
		if after[id] == nil {
			c.drop(t)
		}
	}
	for _, t := range added {
		c.scheduleFirst(t)
	}
	c.targets.Store(&after)
}

// drop requires mu.
func (c *Checker) drop(t *target) {
	t.unschedule()
	t.gone = true
	if t.found.isUnhealthy() {
		c.unhealthy--
	}
	c.log.End(&t.entry)
}

// TryAcquire reports whether a callback may dial a target: not one that is known
// to be unhealthy. An unhealthy target without a check is probed by callbacks
// alone, so one callback in retryEvery acquires a dial. It takes no lock and
// allocates nothing.
func (c *Checker) TryAcquire(id string) bool {
	t, known := (*c.targets.Load())[id]
	if !known || !t.unhealthy.Load() {
		return true
	}
	if t.probe != nil {
		return false
	}
	at, now := t.retry.Load(), int64(c.elapsed())
	return now >= at && t.retry.CompareAndSwap(at, now+int64(retryEvery))
}

// Dialled takes whether a callback reached a target.
func (c *Checker) Dialled(id string, reached bool) {
	t, known := (*c.targets.Load())[id]
	switch {
	case !known, reached && t.dialFails.Load() == 0 && (t.probe != nil || !t.unhealthy.Load()):
		return // no change, as nearly always
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.gone {
		return
	}
	switch {
	case reached && t.probe == nil && t.found.isUnhealthy():
		t.unschedule()
		c.setFinding(t, unmeasured)
		fallthrough
	case reached:
		t.dialFails.Store(0)
	case t.dialFails.Add(1) >= t.dialLimit():
		c.markUnreachable(t)
	}
}

// markUnreachable follows too many failed dials in a row. It requires mu.
func (c *Checker) markUnreachable(t *target) {
	if t.probe == nil {
		t.retry.Store(int64(c.elapsed() + retryEvery))
		c.setFinding(t, unreachable)
		c.schedule(t, passiveLife)
		return
	}
	if t.found.isUnhealthy() {
		return
	}
	// From here on the checks decide, the first of them soon.
	t.fails, t.passes = 0, 0
	c.setFinding(t, unreachable)
	if t.timer != nil && t.due > c.elapsed()+firstInterval {
		c.schedule(t, c.jittered(firstInterval))
	}
}

// setFinding sets the finding of a target from now on. It requires mu.
func (c *Checker) setFinding(t *target, f finding) {
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
	c.log.Touch(&t.entry)
}

// Unhealthy returns how many targets are unhealthy.
func (c *Checker) Unhealthy() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unhealthy
}

// Changes returns the findings that changed after a cursor, at most that many,
// and the cursor of the next call; more reports that some had no room. It
// reports false for a cursor that needs a full list instead.
func (c *Checker) Changes(cursor changelog.Cursor, most int) (entries []routetable.TargetReport, next changelog.Cursor, more, ok bool) {
	next, more, ok = c.log.Read(&c.mu, cursor, most, func(e *changelog.Entry[*target]) {
		entry := routetable.TargetReport{ID: e.Key, Gone: e.IsTombstone()}
		if !entry.Gone {
			entry.State, entry.Reason = e.Value.found.state(), e.Value.found.reason()
		}
		entries = append(entries, entry)
	})
	return entries, next, more, ok
}

// elapsed is the Checker's clock: it never goes back and never jumps.
func (c *Checker) elapsed() time.Duration { return c.now().Sub(c.start) }

// jittered returns a time within a tenth of d.
func (c *Checker) jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*c.random()))
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/callbackproxy/callback-operator/controllers/status"
)

const (
	// softInterval is the time between two writes of a status in which nothing
	// changed but what instances see, or what they count.
	softInterval = 30 * time.Second
	// measuredBurst of them may follow each other when a healthy backend was or
	// is unknown: after a start, what is not known yet is soon known. They hold
	// back no news that one is unhealthy.
	measuredBurst = 2
	// statusBurst statuses of one object may be written in a row that say what
	// was declared and is served; then it is one in each statusInterval.
	statusBurst    = 15
	statusInterval = 2 * time.Second
	// refusalRest is how long a status that the API server would not store is
	// not sent again, unless it or the object changes. A CRD may be mended.
	refusalRest = 10 * time.Minute
)

// commonBound bounds, over all fleets, the statuses that say nothing but news of
// one kind; again is when a fleet asks whether it may go on.
type commonBound struct {
	burst     int
	perSecond rate.Limit
	again     time.Duration
}

// commonBounds are by kind, so that no kind waits for another one. What is seen
// may be all routes at once, when what they have in common dies; each has it at
// most twice a minute anyway. What is counted is news without end.
var commonBounds = map[status.Change]commonBound{
	status.Health:      {burst: 10_000, perSecond: 100, again: time.Second},
	status.Measurement: {burst: 10_000, perSecond: 100, again: time.Second},
	status.Counters:    {burst: 200, perSecond: 20, again: 5 * time.Second},
	status.Scale:       {burst: 60, perSecond: 1, again: time.Minute},
}

// written is what was written of one object, and when.
type written struct {
	// health is when news of its backends was written last, counted when news of
	// its callbacks was.
	health, counted time.Time
	// declared is what was used up of statusBurst, measured of measuredBurst.
	declared, measured spent
	// version is the resourceVersion that the last write gave it, writing is
	// true while the answer to a write is awaited, and seen the resourceVersion
	// of the last change that was seen meanwhile.
	version string
	writing bool
	seen    string
	refusal *refusal
}

// refusal is the status of an object that the API server would not store.
type refusal struct {
	status any
	// version is the resourceVersion of the object, and until how long the same
	// is not tried again.
	version string
	until   time.Time
}

// status returns how long a changed status has to wait because of what was
// written of its object before. What is declared, and whether it is served, has
// no time to lose, unless it changes without end.
func (p *pace) status(uid types.UID, c status.Change, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.routes[uid]
	switch c {
	case status.Spec:
		return w.declared.wait(statusBurst, statusInterval, now)
	case status.Measurement:
		return max(w.measured.wait(measuredBurst, softInterval, now), remaining(w.health, softInterval, now))
	case status.Health:
		return remaining(w.health, softInterval, now)
	case status.Scale, status.Counters, status.Unchanged:
		// While a backend comes and goes, its news takes the counts along.
	}
	return max(remaining(w.health, 2*softInterval, now), remaining(w.counted, softInterval, now))
}

// begin takes what the next status with such news needs, which is written then,
// or returns how long it has to wait because of the others.
func (p *pace) begin(c status.Change, now time.Time) time.Duration {
	if bound := p.common[c]; bound != nil && !bound.AllowN(now, 1) {
		return commonBounds[c].again
	}
	return 0
}

// writes notes that a status is about to be written.
func (p *pace) writes(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.routes[uid]
	w.writing, w.seen = true, ""
	p.routes[uid] = w
}

// wrote notes that a status was written that holds such news; version is empty
// when that failed. It reports whether somebody else wrote as well. Of an object
// that went meanwhile nothing is kept, nor of one that was not there to be written
// to.
func (p *pace) wrote(uid types.UID, c status.Change, version string, now time.Time) (foreign bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, known := p.routes[uid]
	if !known {
		return false
	}
	foreign = w.seen != "" && w.seen != version
	w.writing, w.seen = false, ""
	if version != "" {
		w.version, w.refusal = version, nil
		w.spend(c, now)
	}
	if p.routes[uid] = w; w == (written{}) {
		delete(p.routes, uid)
	}
	return foreign
}

// refuse notes instead that the API server would not store the status.
func (p *pace) refuse(object client.Object, refused any, c status.Change, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, known := p.routes[object.GetUID()]
	if !known {
		return
	}
	w.writing, w.seen = false, ""
	w.spend(c, now)
	w.refusal = &refusal{status: refused, version: object.GetResourceVersion(), until: now.Add(refusalRest)}
	p.routes[object.GetUID()] = w
}

// spend notes that news of a kind went out.
func (w *written) spend(c status.Change, now time.Time) {
	switch c {
	case status.Health:
		w.health = now
	case status.Measurement:
		w.measured = w.measured.one(softInterval, now)
	case status.Counters, status.Scale:
		w.counted = now
	case status.Spec:
		w.declared = w.declared.one(statusInterval, now)
	case status.Unchanged:
	}
}

// refused returns the last status of an object, as it is now, if the API server
// would not store it, and how long it is not sent again; else nil.
func (p *pace) refused(object client.Object, now time.Time) (last any, rest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.routes[object.GetUID()].refusal
	if f == nil || f.version != object.GetResourceVersion() {
		return nil, 0
	}
	return f.status, max(0, f.until.Sub(now))
}

// isOwn says whether a change of an object is the last write of its status.
// The change is often seen before the answer to the write; it counts as own
// then, and wrote tells when it was not.
func (p *pace) isOwn(uid types.UID, version string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.routes[uid]
	if w.writing {
		w.seen = version
		p.routes[uid] = w
		return true
	}
	return w.version == version
}

// gone drops what is known of an object that was deleted.
func (p *pace) gone(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.routes, uid)
}

// spent is how much of a burst is used up: the time until all of it has come
// back, as of an instant.
type spent struct {
	back time.Duration
	at   time.Time
}

func (s spent) left(now time.Time) time.Duration { return max(0, s.back-now.Sub(s.at)) }

// one returns what is used up after one more, when one comes back in each
// interval.
func (s spent) one(interval time.Duration, now time.Time) spent {
	return spent{back: s.left(now) + interval, at: now}
}

// wait returns how long one more has to wait.
func (s spent) wait(burst int, interval time.Duration, now time.Time) time.Duration {
	return max(0, s.left(now)-time.Duration(burst-1)*interval)
}

// remaining returns how much of an interval is left since an instant; the zero
// one is never.
func remaining(since time.Time, interval time.Duration, now time.Time) time.Duration {
	if since.IsZero() {
		return 0
	}
	return max(0, since.Add(interval).Sub(now))
}

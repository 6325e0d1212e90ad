// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
)

const (
	// softInterval is the time between two writes of a status in which nothing
	// changed but what instances see, or what they count.
	softInterval = 30 * time.Second
	// measuredBurst of them may follow each other when a healthy backend was or
	// is unknown: after a start, what is not known yet is soon known. They hold
	// back no news that one is unhealthy.
	measuredBurst = 2
	// passBurst passes of a fleet may publish in a row; then it is
	// passesPerSecond. A tenant that changes its routes without end costs the API
	// server no more than that, and its neighbours in the fleet wait no longer.
	passBurst       = 30
	passesPerSecond = 1.5
	// softBurst and softPerSecond bound, over all fleets, the writes that say
	// nothing but what instances see and count.
	softBurst     = 200
	softPerSecond = 20
	// statusBurst statuses of one object may be written in a row that say what
	// was declared and is served; then it is one in each statusInterval.
	statusBurst    = 15
	statusInterval = 2 * time.Second
	// ackPatience is how long after a change nothing is said about instances
	// that have not acknowledged it yet: most do within a tenth of it, and one
	// status says more than two.
	ackPatience = time.Second
	// restFactor is how much longer than its last look at the world a fleet
	// rests, at most maxRest: however often something changes, a large fleet
	// takes no more than a quarter of a core. A look may also have waited for
	// the API server, which is no reason to rest.
	restFactor = 3
	maxRest    = time.Second
	// refusalRest is how long a status that the API server would not store is
	// not sent again, unless it or the route changes. A CRD may be mended.
	refusalRest = 10 * time.Minute
)

// pace says when something may be written that has time. Its clock only
// measures: what is decided by the time of day is decided by another one.
type pace struct {
	clock clock.PassiveClock

	mu     sync.Mutex
	fleets map[types.NamespacedName]*fleetPace
	routes map[types.UID]written
	soft   *rate.Limiter
}

// fleetPace is the pace of one fleet.
type fleetPace struct {
	writes *rate.Limiter
	// published is when the fleet's config was written last.
	published time.Time
	// rested is when the fleet has rested from the last pass.
	rested time.Time
	// turn is how many statuses of its routes were written.
	turn int
}

// written is what was written of one route, and when.
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

// refusal is the status of a route that the API server would not store.
type refusal struct {
	status *callbackv1alpha1.CallbackRouteStatus
	// version is the resourceVersion of the route, and until how long the same
	// is not tried again.
	version string
	until   time.Time
}

func newPace(c clock.PassiveClock) *pace {
	return &pace{
		clock:  c,
		fleets: map[types.NamespacedName]*fleetPace{},
		routes: map[types.UID]written{},
		soft:   rate.NewLimiter(softPerSecond, softBurst),
	}
}

// pass returns how long a pass over a fleet has to wait.
func (p *pace) pass(fleet types.NamespacedName, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.fleet(fleet)
	wait := max(0, f.rested.Sub(now))
	if missing := 1 - f.writes.TokensAt(now); missing > 0 {
		wait = max(wait, time.Duration(missing/passesPerSecond*float64(time.Second)))
	}
	return wait
}

// fleet returns the pace of a fleet. The caller holds the lock.
func (p *pace) fleet(key types.NamespacedName) *fleetPace {
	f := p.fleets[key]
	if f == nil {
		f = &fleetPace{writes: rate.NewLimiter(passesPerSecond, passBurst)}
		p.fleets[key] = f
	}
	return f
}

// looked notes how long a pass took to look at the world. A fleet that is not
// there has no pace: its name is a tenant's choice, and kept by nobody.
func (p *pace) looked(fleet types.NamespacedName, took time.Duration, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.fleets[fleet]; f != nil {
		f.rested = now.Add(min(restFactor*took, maxRest))
	}
}

// turn returns with which of a fleet's routes to begin where not all of their
// statuses can be written, after that many more were: else the first ones would
// always be first.
func (p *pace) turn(fleet types.NamespacedName, more int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.fleets[fleet]
	if f == nil {
		return 0
	}
	f.turn += more
	return f.turn
}

// published notes that a fleet's config was written.
func (p *pace) published(fleet types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	p.fleet(fleet).published = now
	p.fleet(fleet).writes.AllowN(now, 1)
}

// pending returns how long what only says that instances have not acknowledged
// yet has to wait.
func (p *pace) pending(fleet types.NamespacedName) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, ackPatience-p.clock.Since(p.fleet(fleet).published))
}

// forget drops what is known of a fleet that is gone.
func (p *pace) forget(fleet types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.fleets, fleet)
}

// status returns how long a changed status has to wait. What is declared, and
// whether it is served, has no time to lose, unless it changes without end.
func (p *pace) status(uid types.UID, c compile.Change, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.routes[uid]
	var wait time.Duration
	switch c {
	case compile.Declared:
		return w.declared.wait(statusBurst, statusInterval, now)
	case compile.Measured:
		wait = max(w.measured.wait(measuredBurst, softInterval, now), remaining(w.health, softInterval, now))
	case compile.Seen:
		wait = remaining(w.health, softInterval, now)
	case compile.Counted, compile.Same:
		// While a backend comes and goes, its news takes the counts along.
		wait = max(remaining(w.health, 2*softInterval, now), remaining(w.counted, softInterval, now))
	}
	if wait > 0 {
		return wait
	}
	if !p.soft.AllowN(now, 1) {
		return time.Second
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
// when that failed. It reports whether somebody else wrote as well.
func (p *pace) wrote(uid types.UID, c compile.Change, version string, now time.Time) (foreign bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.routes[uid]
	foreign = w.seen != "" && w.seen != version
	w.writing, w.seen = false, ""
	if version != "" {
		w.version, w.refusal = version, nil
		w.spend(c, now)
	}
	p.routes[uid] = w
	return foreign
}

// spend notes that news of a kind went out.
func (w *written) spend(c compile.Change, now time.Time) {
	switch c {
	case compile.Seen:
		w.health = now
	case compile.Measured:
		w.measured = w.measured.one(softInterval, now)
	case compile.Counted:
		w.counted = now
	case compile.Declared:
		w.declared = w.declared.one(statusInterval, now)
	case compile.Same:
	}
}

// refuse notes that the API server would not store a status with such news.
func (p *pace) refuse(s *pendingStatus, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, status := p.routes[s.route.UID], s.status // not the others of its pass
	w.spend(s.change, now)
	w.refusal = &refusal{status: &status, version: s.route.ResourceVersion, until: now.Add(refusalRest)}
	p.routes[s.route.UID] = w
}

// refused returns the last status of a route, as it is now, if the API server
// would not store it, and how long it is not sent again; else nil.
func (p *pace) refused(route *callbackv1alpha1.CallbackRoute, now time.Time) (*callbackv1alpha1.CallbackRouteStatus, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.routes[route.UID].refusal
	if f == nil || f.version != route.ResourceVersion {
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

// gone drops what is known of an object that was deleted.
func (p *pace) gone(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.routes, uid)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/callbackproxy/callback-operator/controllers/status"
)

const (
	// passBurst passes of a fleet may publish in a row; then it is
	// passesPerSecond. A tenant that changes its routes without end costs the API
	// server no more than that, and its neighbours in the fleet wait no longer.
	passBurst       = 30
	passesPerSecond = 1.5
	// ackPatience is how long after a change nothing is said about instances
	// that have not acknowledged it yet: most do within a tenth of it, and one
	// status says more than two. It begins anew at most once in each
	// ackInterval: where something changes all the time, nothing would ever be
	// said of an instance that does not answer, nor of anything else with it.
	ackPatience = time.Second
	ackInterval = 5 * time.Second
	// restFactor is how much longer than its last look at the world a fleet
	// rests, at most maxRest: however often something changes, a large fleet
	// takes no more than a quarter of a core. A look may also have waited for
	// the API server, which is no reason to rest.
	restFactor = 3
	maxRest    = time.Second
	// maxAbsentRest is how much rest the fleets that do not exist may owe all
	// together before none of them is looked at for a maxRest.
	maxAbsentRest = 2 * time.Second
)

// pace says when something may be written that has time. Its clock only
// measures: what is decided by the time of day is decided by another one.
type pace struct {
	clock clock.PassiveClock

	mu     sync.Mutex
	fleets map[types.NamespacedName]*fleetPace
	routes map[types.UID]written
	// common bounds, over all fleets, what is written of one kind of news.
	common map[status.Change]*rate.Limiter
	// absent is the rest that the fleets owe that do not exist.
	absent spent
}

// fleetPace is the pace of one fleet.
type fleetPace struct {
	writes *rate.Limiter
	// patient is when the present ackPatience began.
	patient time.Time
	// rested is when the fleet has rested from the last pass.
	rested time.Time
	// turn is how many statuses of its routes were written.
	turn int
}

func newPace(c clock.PassiveClock) *pace {
	p := &pace{
		clock:  c,
		fleets: map[types.NamespacedName]*fleetPace{},
		routes: map[types.UID]written{},
		common: map[status.Change]*rate.Limiter{},
	}
	for change, bound := range commonBounds {
		p.common[change] = rate.NewLimiter(bound.perSecond, bound.burst)
	}
	return p
}

// pass returns how long a pass over a fleet has to wait.
func (p *pace) pass(fleet types.NamespacedName, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.fleets[fleet]
	if f == nil {
		return 0
	}
	wait := max(0, f.rested.Sub(now))
	if missing := 1 - f.writes.TokensAt(now); missing > 0 {
		wait = max(wait, time.Duration(missing/passesPerSecond*float64(time.Second)))
	}
	return wait
}

// passInVain returns how long a pass over a fleet has to wait that does not
// exist. Its name is a tenant's choice and kept by nobody, so all of them rest
// together. Each waits as long as a fleet rests at most, as they may be many.
func (p *pace) passInVain(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.absent.left(now) > maxAbsentRest {
		return maxRest
	}
	return 0
}

// fleet returns the pace of a fleet that exists. The caller holds the lock.
func (p *pace) fleet(key types.NamespacedName) *fleetPace {
	f := p.fleets[key]
	if f == nil {
		f = &fleetPace{writes: rate.NewLimiter(passesPerSecond, passBurst)}
		p.fleets[key] = f
	}
	return f
}

// looked notes how long a pass over a fleet took to look at the world.
func (p *pace) looked(fleet types.NamespacedName, took time.Duration, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fleet(fleet).rested = now.Add(min(restFactor*took, maxRest))
}

// lookedInVain notes the same of a fleet that does not exist.
func (p *pace) lookedInVain(took time.Duration, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.absent = p.absent.one(restFactor*took, now)
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
	f, now := p.fleet(fleet), p.clock.Now()
	f.writes.AllowN(now, 1)
	if now.Sub(f.patient) >= ackInterval {
		f.patient = now
	}
}

// pending returns how long what only says that instances have not acknowledged
// yet has to wait.
func (p *pace) pending(fleet types.NamespacedName) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.fleets[fleet]
	if f == nil {
		return 0
	}
	return max(0, ackPatience-p.clock.Since(f.patient))
}

// forget drops what is known of a fleet that is gone.
func (p *pace) forget(fleet types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.fleets, fleet)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

// This file bounds how often passes are made.

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

const (
	// passBurst passes over a fleet may publish in a row; then passesPerSecond may.
	// A tenant that changes its routes without end costs the API server no more
	// than that, and its neighbours in the fleet wait no longer.
	passBurst       = 30
	passesPerSecond = 1.5
	// However often objects change, the passes over a fleet take no more than
	// coreShare of a core, and a fleet waits for maxRest at most.
	coreShare = 0.25
	maxRest   = time.Second
)

// passLimits bound the passes over each fleet. Fleets without a CallbackProxy
// have one limit together: their names are a tenant's choice, so nothing is kept
// for each of them.
type passLimits struct {
	clock   clock.PassiveClock // measures
	missing *passLimit

	mu     sync.Mutex
	fleets map[types.NamespacedName]*passLimit
}

// passLimit bounds passes that publish, and the nanoseconds that passes compute.
type passLimit struct{ publishing, computing *rate.Limiter }

func newPassLimit() *passLimit {
	return &passLimit{
		publishing: rate.NewLimiter(passesPerSecond, passBurst),
		computing:  rate.NewLimiter(rate.Limit(coreShare*float64(time.Second)), int(coreShare*float64(maxRest))),
	}
}

// note notes the time at which the computation of a pass began, as it ends.
func (l *passLimit) note(began, now time.Time) {
	l.computing.ReserveN(now, min(int(now.Sub(began)), l.computing.Burst()))
}

func newPassLimits(c clock.PassiveClock) *passLimits {
	return &passLimits{clock: c, missing: newPassLimit(), fleets: map[types.NamespacedName]*passLimit{}}
}

// wait returns how long a pass over a fleet has to wait.
func (p *passLimits) wait(fleet types.NamespacedName) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, now := p.fleets[fleet], p.clock.Now()
	if l == nil {
		return 0
	}
	return max(untilNext(l.publishing, now), untilNext(l.computing, now))
}

// waitMissing returns the same for a fleet without a CallbackProxy. There may be
// thousands, so none is tried again at the next opportunity.
func (p *passLimits) waitMissing() time.Duration {
	if untilNext(p.missing.computing, p.clock.Now()) > 0 {
		return maxRest
	}
	return 0
}

// untilNext returns the time until a limiter has a token.
func untilNext(l *rate.Limiter, now time.Time) time.Duration {
	lacking := max(0, 1-l.TokensAt(now))
	return time.Duration(lacking / float64(l.Limit()) * float64(time.Second))
}

// notePass notes the time at which the computation of a pass began, as it ends.
func (p *passLimits) notePass(fleet types.NamespacedName, began time.Time) {
	p.limit(fleet).note(began, p.clock.Now())
}

// noteMissing notes the same for a fleet without a CallbackProxy.
func (p *passLimits) noteMissing(began time.Time) { p.missing.note(began, p.clock.Now()) }

// notePublished notes that a pass wrote the config of a fleet.
func (p *passLimits) notePublished(fleet types.NamespacedName) {
	p.limit(fleet).publishing.AllowN(p.clock.Now(), 1)
}

func (p *passLimits) limit(fleet types.NamespacedName) *passLimit {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.fleets[fleet]
	if l == nil {
		l = newPassLimit()
		p.fleets[fleet] = l
	}
	return l
}

func (p *passLimits) forget(fleet types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.fleets, fleet)
}

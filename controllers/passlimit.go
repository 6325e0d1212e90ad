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
	// restFactor is how much longer than the computation of its last pass a fleet
	// rests, at most maxRest: however often objects change, a large fleet takes no
	// more than a quarter of a core.
	restFactor = 3
	maxRest    = time.Second
	// maxMissingRest is how much rest the fleets without a CallbackProxy may owe
	// together before none of them gets a pass for a maxRest.
	maxMissingRest = 2 * time.Second
)

// passLimits bound the passes over each fleet. Fleets without a CallbackProxy
// have one limit together: their names are a tenant's choice, so nothing is kept
// for each of them.
type passLimits struct {
	clock clock.PassiveClock // measures

	mu      sync.Mutex
	fleets  map[types.NamespacedName]*passLimit
	missing passLimit
}

type passLimit struct {
	publishing *rate.Limiter
	restUntil  time.Time
}

func newPassLimits(c clock.PassiveClock) *passLimits {
	return &passLimits{clock: c, fleets: map[types.NamespacedName]*passLimit{}}
}

// wait returns how long a pass over a fleet has to wait.
func (p *passLimits) wait(fleet types.NamespacedName) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, now := p.fleets[fleet], p.clock.Now()
	if f == nil {
		return 0
	}
	wait := max(0, f.restUntil.Sub(now))
	if missing := 1 - f.publishing.TokensAt(now); missing > 0 {
		wait = max(wait, time.Duration(missing/passesPerSecond*float64(time.Second)))
	}
	return wait
}

// waitMissing returns the same for a fleet without a CallbackProxy.
func (p *passLimits) waitMissing() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.missing.restUntil.Sub(p.clock.Now()) > maxMissingRest {
		return maxRest
	}
	return 0
}

// notePass notes the time at which the computation of a pass began, as it ends.
func (p *passLimits) notePass(fleet types.NamespacedName, began time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	p.limit(fleet).restUntil = now.Add(min(restFactor*now.Sub(began), maxRest))
}

// noteMissing notes the same for a fleet without a CallbackProxy.
func (p *passLimits) noteMissing(began time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	if p.missing.restUntil.Before(now) {
		p.missing.restUntil = now
	}
	p.missing.restUntil = p.missing.restUntil.Add(restFactor * now.Sub(began))
}

// notePublished notes that a pass wrote the config of a fleet.
func (p *passLimits) notePublished(fleet types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit(fleet).publishing.AllowN(p.clock.Now(), 1)
}

// limit returns the limit of a fleet. The caller holds the lock.
func (p *passLimits) limit(fleet types.NamespacedName) *passLimit {
	f := p.fleets[fleet]
	if f == nil {
		f = &passLimit{publishing: rate.NewLimiter(passesPerSecond, passBurst)}
		p.fleets[fleet] = f
	}
	return f
}

func (p *passLimits) forget(fleet types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.fleets, fleet)
}

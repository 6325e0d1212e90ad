// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sunset

// latch.go: routes that stay closed.

import (
	"sync/atomic"
	"time"
)

// Latch keeps a closed route closed, at any later time of the clock: only
// another generation of the route, or a later end of its hold, opens it again;
// a hold that is taken back opens nothing. A route that was closed before the
// second source of time overturned the clock of the start is judged anew,
// because it was closed by a wrong clock. The zero Latch is open.
type Latch struct{ closed atomic.Pointer[closure] }

// closure is what was closed.
type closure struct {
	generation int64
	heldUntil  time.Time
	overturned bool // the clock by which it was closed
}

// CloseIfPassed closes the latch if the sunset of this generation of the route
// has passed, and reports whether the latch is closed.
func (l *Latch) CloseIfPassed(s Schedule, generation int64, now Judgement) bool {
	closed := l.closed.Load()
	if closed != nil && closed.generation == generation && !s.HeldUntil.After(closed.heldUntil) &&
		(closed.overturned || !now.Overturned) {
		return true
	}
	if phase, _ := PhaseAt(s, now.Now); phase != Passed {
		return false
	}
	// A request that still sees an older generation must not open the newer.
	if closed == nil || closed.generation <= generation {
		l.closed.CompareAndSwap(closed, &closure{generation, s.HeldUntil, now.Overturned})
	}
	return true
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"sync/atomic"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
)

// latch remembers that a route was closed. What was closed once stays closed,
// whatever the clock says later: only another generation of the route, or a
// later end of its hold, opens it again; a hold that is taken back opens
// nothing. What was closed before the second source of time overturned the
// clock of the start was never over, and is judged anew. It lives in the route's
// record, so a swap of the config leaves it as it is.
type latch struct{ closed atomic.Pointer[closure] }

// closure is what was closed.
type closure struct {
	generation int64
	heldUntil  time.Time
	overturned bool // the clock by which it was closed
}

// isClosed reports whether a route that rejects callbacks after its sunset is
// closed now, or was before, and remembers it.
func (l *latch) isClosed(r *routetable.Route, now sunset.Judgement) bool {
	if r.AfterSunset != routetable.Reject {
		return false
	}
	closed := l.closed.Load()
	if closed != nil && closed.generation == r.Generation && !r.HeldUntil.After(closed.heldUntil) &&
		(closed.overturned || !now.Overturned) {
		return true
	}
	phase, _ := sunset.PhaseAt(scheduleOf(r), now.Now)
	if phase != sunset.Passed {
		return false
	}
	// A request that still sees an older generation must not open the newer.
	if closed == nil || closed.generation <= r.Generation {
		l.closed.CompareAndSwap(closed, &closure{r.Generation, r.HeldUntil, now.Overturned})
	}
	return true
}

func scheduleOf(r *routetable.Route) sunset.Schedule {
	return sunset.Schedule{Deprecation: r.Deprecation, Sunset: r.Sunset, HeldUntil: r.HeldUntil}
}

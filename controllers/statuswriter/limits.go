// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package statuswriter

// This file decides when a status may be written, and which one goes first. Pure.

import (
	"math/bits"
	"time"

	"golang.org/x/time/rate"

	"github.com/callbackproxy/callback-operator/controllers/status"
)

// limit bounds how often the status of one object is written because of one
// kind of change: burst times in a row, then once in each interval.
type limit struct {
	burst    int
	interval time.Duration
}

// limits by kind of change. Health and counts change as backends and traffic do,
// without end, so each has 30 seconds between two writes. After a start health
// that was unknown becomes known step by step, so a second write follows at once.
// A user changes a spec as often as a script does, so there is a bound as well.
var limits = [...]limit{
	status.Scale:       {burst: 1, interval: 30 * time.Second},
	status.Counters:    {burst: 1, interval: 30 * time.Second},
	status.Measurement: {burst: 2, interval: 30 * time.Second},
	status.Health:      {burst: 1, interval: 30 * time.Second},
	status.Spec:        {burst: 15, interval: 2 * time.Second},
}

// commonBounds bound over all objects the writes that report counts alone: they
// change without end, possibly for all routes at once.
var commonBounds = map[status.Change]struct {
	perSecond rate.Limit
	burst     int
}{
	status.Counters: {perSecond: 20, burst: 200},
	status.Scale:    {perSecond: 5, burst: 60},
}

// acknowledgementDelay is how long Programmed=False with reason Pending waits:
// instances usually acknowledge in a tenth of it, and their acknowledgement
// replaces the status, so a normal rollout writes one status instead of two.
const acknowledgementDelay = time.Second

// usage is when the limits of one object allow the next write. For each kind of
// change it is the time at which the whole burst is available again (a generic
// cell rate algorithm).
type usage [len(limits)]time.Time

// nextWrite returns when a status with such a change may be written.
func (u *usage) nextWrite(c status.Change) time.Time {
	next := u[c].Add(-time.Duration(limits[c].burst-1) * limits[c].interval)
	switch c {
	case status.Measurement:
		return latest(next, u[status.Health])
	case status.Scale, status.Counters:
		// While a backend comes and goes, the writes of its health take the counts
		// along.
		health := u[status.Health]
		if !health.IsZero() {
			health = health.Add(limits[status.Health].interval)
		}
		return latest(next, health, u[status.Scale], u[status.Counters])
	case status.Unchanged, status.Health, status.Spec:
	}
	return next
}

// spend notes a write.
func (u *usage) spend(c status.Change, now time.Time) {
	u[c] = latest(u[c], now).Add(limits[c].interval)
}

func latest(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// maxBacklog is the highest level of backlog that counts.
const maxBacklog = 13

// priority returns the priority of a status in the queue. Changes of specs go
// first, then health, then counts. Among the former a namespace with many
// statuses to write yields to one with few, by powers of two, so one tenant's
// thousands do not delay another tenant's single one.
func priority(c status.Change, backlog int) int {
	if c < status.Spec {
		return int(c)
	}
	return int(status.Spec) + maxBacklog - min(bits.Len(uint(backlog)), maxBacklog)
}

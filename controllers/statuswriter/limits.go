// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package statuswriter

// This file decides when a status may be written, and which one goes first. Pure.

import (
	"math/bits"
	"time"

	"github.com/callbackproxy/callback-operator/controllers/status"
)

// limit bounds how often the status of one object is written because of one
// kind of change: burst times in a row, then once in each interval.
type limit struct {
	burst    int
	interval time.Duration
}

// limits by kind of change. Health and counts change as backends and traffic do,
// without end, so each has 30 seconds between two writes. A user changes a spec as
// often as a script does, so there is a bound as well.
var limits = [...]limit{
	status.Counters: {burst: 1, interval: 30 * time.Second},
	status.Health:   {burst: 1, interval: 30 * time.Second},
	status.Spec:     {burst: 15, interval: 2 * time.Second},
}

// countsPerSecond and countBurst bound over all objects the writes that report
// counts alone: they change without end, possibly for all routes at once.
const (
	countsPerSecond = 20
	countBurst      = 200
)

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
	if health := u[status.Health]; c == status.Counters && !health.IsZero() {
		// While a backend comes and goes, the writes of its health take the counts
		// along.
		next = latest(next, health.Add(limits[status.Health].interval))
	}
	return next
}

// spend notes a write.
func (u *usage) spend(c status.Change, now time.Time) {
	u[c] = latest(u[c], now).Add(limits[c].interval)
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
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

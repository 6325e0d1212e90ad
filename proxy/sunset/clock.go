// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sunset

// clock.go: the time, judged from several sources.

import "time"

// Tolerance is how far two sources of time may differ and still agree. It is
// also the greatest error of a Clock that observed a right second source and
// has a right monotonic clock: routes end at most that much too early or late.
const Tolerance = time.Hour

// Reading is both local clocks at the same moment.
type Reading struct {
	// Wall is the wall clock. It can be set, so it may jump.
	Wall time.Time
	// Elapsed is the monotonic clock: the time since some fixed moment of this
	// run. It does not jump, and may stand still while a machine is suspended.
	Elapsed time.Duration
}

// Clock judges the present time. It holds an anchor, a moment whose time is
// trusted; anchor and monotonic clock together give the held time. The wall
// clock is followed as long as it agrees with the held time; otherwise, or when
// the second source disputes both, the held time is followed.
//
//	            wall jumps away
//	following ------------------> holding
//	  |   ^  <------------------    |
//	  |   |     wall comes back     |
//	  |   +-------------------------+
//	  |   |  second source agrees with the wall: it is the new anchor
//	  v   |
//	disputed: the second source contradicts two clocks that agree
//
// The second source moves the anchor only when the wall clock agrees with it,
// so it takes two sources to move the time. Its first date is an exception:
// until then there is nothing but the wall clock of the start, and that date is
// trusted.
//
// A Clock never changes; the zero Clock is not usable.
type Clock struct {
	at         time.Time
	elapsed    time.Duration
	confirmed  bool // the second source was observed
	disputed   bool
	overturned bool
}

// Judgement is the result of a Clock for a reading.
type Judgement struct {
	Now time.Time
	// Suspect is true while the sources contradict each other.
	Suspect bool
	// Overturned is true once the first date of the second source contradicted
	// the time until then: earlier decisions were made by a wrong clock. It
	// happens once or never.
	Overturned bool
}

// NewClock returns the Clock of a start, which has only the wall clock.
func NewClock(r Reading) Clock { return Clock{at: r.Wall, elapsed: r.Elapsed} }

// At judges a reading.
func (c Clock) At(r Reading) Judgement {
	held := c.held(r)
	if c.disputed || !near(r.Wall, held) {
		return Judgement{Now: held, Suspect: true, Overturned: c.overturned}
	}
	return Judgement{Now: r.Wall, Overturned: c.overturned}
}

// Observe returns the Clock after a date of the second source.
func (c Clock) Observe(r Reading, date time.Time) Clock {
	switch {
	case near(date, r.Wall), !c.confirmed:
		return Clock{
			at: date, elapsed: r.Elapsed, confirmed: true,
			overturned: c.overturned || !c.confirmed && !near(date, c.At(r).Now),
		}
	case near(r.Wall, c.held(r)):
		c.disputed = true
	}
	return c
}

// NotBefore returns the Clock after a time that has passed for certain. It is
// weaker than the second source, and comes from another wall clock, so it counts
// only until the second source is observed.
func (c Clock) NotBefore(r Reading, floor time.Time) Clock {
	if !c.confirmed && c.At(r).Now.Before(floor.Add(-Tolerance)) {
		c.at, c.elapsed = floor, r.Elapsed
	}
	return c
}

// held is the time by the anchor and the monotonic clock alone.
func (c Clock) held(r Reading) time.Time { return c.at.Add(r.Elapsed - c.elapsed) }

func near(a, b time.Time) bool { return a.Sub(b).Abs() <= Tolerance }

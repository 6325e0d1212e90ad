// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sunset

import "time"

// Tolerance is how far two sources of time may differ and still agree. It is
// also the greatest error of a Clock that has heard a right second source and
// has a right monotonic clock: routes end at most that much too early or late.
const Tolerance = time.Hour

// Reading is what both local clocks say at the same moment.
type Reading struct {
	// Wall is the wall clock. Anybody may set it, so it may jump.
	Wall time.Time
	// Elapsed is the monotonic clock: the time since some fixed moment of this
	// run. It does not jump, and may stand still while a machine is suspended.
	Elapsed time.Duration
}

// Clock judges what time it is. It holds an anchor, a moment whose time is
// believed, and knows from it and the monotonic clock what time it should be
// now, the held time. The wall clock is followed as long as it agrees with
// that; otherwise, or when the second source disputes both, the held time is.
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
// so it takes two sources to move the time. The first word of it is an
// exception: until then there is nothing but the wall clock of the start, and
// what it says is believed.
//
// A Clock never changes; the zero Clock is not usable.
type Clock struct {
	at         time.Time
	elapsed    time.Duration
	confirmed  bool // the second source was heard
	disputed   bool
	overturned bool
}

// Judgement is what a Clock makes of a reading.
type Judgement struct {
	Now time.Time
	// Suspect is true while the sources contradict each other.
	Suspect bool
	// Overturned is true once the first word of the second source contradicted
	// what was believed till then: what was decided before was decided by a
	// wrong clock. It happens once or never.
	Overturned bool
}

// NewClock returns the Clock of a start: nothing is known but the wall clock.
func NewClock(r Reading) Clock { return Clock{at: r.Wall, elapsed: r.Elapsed} }

// At judges a reading.
func (c Clock) At(r Reading) Judgement {
	held := c.held(r)
	if c.disputed || !near(r.Wall, held) {
		return Judgement{Now: held, Suspect: true, Overturned: c.overturned}
	}
	return Judgement{Now: r.Wall, Overturned: c.overturned}
}

// Heard returns the Clock after the second source said what time it is.
func (c Clock) Heard(r Reading, date time.Time) Clock {
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

// NotBefore returns the Clock after it became known that a time has passed. It
// says less than the second source, and is itself the word of another wall
// clock, so it counts only until that is heard.
func (c Clock) NotBefore(r Reading, floor time.Time) Clock {
	if !c.confirmed && c.At(r).Now.Before(floor.Add(-Tolerance)) {
		c.at, c.elapsed = floor, r.Elapsed
	}
	return c
}

// held is what time it is by the anchor and the monotonic clock alone.
func (c Clock) held(r Reading) time.Time { return c.at.Add(r.Elapsed - c.elapsed) }

func near(a, b time.Time) bool { return a.Sub(b).Abs() <= Tolerance }

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sunset

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

const year = 365 * 24 * time.Hour

var origin = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// step is one event. All times are after origin: wall is the wall clock,
// elapsed the monotonic clock, date the second source and floor a time that has
// passed. now and suspect are the judgement after it.
type step struct {
	wall, elapsed  time.Duration
	date, floor    time.Duration
	observed, past bool
	now            time.Duration
	suspect        bool
}

func TestT15_ClockJudges(t *testing.T) {
	const h, m = time.Hour, time.Minute
	at := func(wall, elapsed, now time.Duration) step { return step{wall: wall, elapsed: elapsed, now: now} }
	held := func(wall, elapsed, now time.Duration) step {
		return step{wall: wall, elapsed: elapsed, now: now, suspect: true}
	}
	observes := func(date time.Duration, s step) step { s.date, s.observed = date, true; return s }
	past := func(floor time.Duration, s step) step { s.floor, s.past = floor, true; return s }

	for _, tc := range []struct {
		name       string
		start      time.Duration // of the wall clock
		steps      []step
		overturned bool
	}{
		{"clocks agree", 0, []step{at(h, h, h), at(99*h, 99*h, 99*h)}, false},
		{"an hour is no jump", 0, []step{at(2*h, h, 2*h), at(h, 2*h, h)}, false},
		{"forward", 0, []step{held(h+1, 0, 0), held(3*h, h, h)}, false},
		{"backward", 0, []step{held(-h-1, 0, 0), held(-10*year, h, h)}, false},
		{"ten years and back", 0, []step{held(10*year, 0, 0), at(5*m, 5*m, 5*m)}, false},
		{"small steps add up", 0, []step{at(50*m, 0, 50*m), held(100*m, 0, 0)}, false},

		{"second source agrees with the wall", 0, []step{observes(0, at(0, 0, 0)), held(5*h, 0, 0), observes(5*h+m, at(5*h, 0, 5*h)), at(6*h, h, 6*h)}, false},
		{"second source agrees with the held time", 0, []step{
			observes(0, at(0, 0, 0)), held(5*h, 0, 0), observes(m, held(5*h, 0, 0)), held(6*h, h, h), at(2*h, 2*h, 2*h),
		}, false},
		{"second source agrees with neither", 0, []step{observes(0, at(0, 0, 0)), held(5*h, 0, 0), observes(-9*h, held(5*h, 0, 0))}, false},
		{"second source alone jumps", 0, []step{
			observes(0, at(0, 0, 0)), observes(10*year, held(m, 0, 0)), held(h+m, h, h), observes(h, at(h+m, h, h+m)),
		}, false},
		{"second source and wall differ around the held time", 0, []step{
			observes(0, at(0, 0, 0)), at(50*m, 0, 50*m), observes(-50*m, held(50*m, 0, 0)), observes(0, at(50*m, 0, 50*m)),
		}, false},
		{"machine slept: both local clocks stood", 0, []step{
			observes(0, at(0, 0, 0)), observes(9*h, held(0, 0, 0)), held(9*h, 0, 0), observes(9*h, at(9*h, 0, 9*h)),
		}, false},
		{"skew of five minutes", 0, []step{observes(-5*m, at(0, 0, 0)), observes(h-5*m, at(h, h, h)), at(h+54*m, h, h+54*m)}, false},

		{"first date wins over a start ahead", 10 * year, []step{at(10*year, 0, 10*year), observes(0, held(10*year, 0, 0)), observes(m, at(m, m, m))}, true},
		{"first date wins over a start behind", 0, []step{observes(20*year, held(0, 0, 20*year))}, true},
		{"first date after a jump agrees with the wall", 0, []step{held(5*h, 0, 0), observes(5*h, at(5*h, 0, 5*h))}, true},
		{"first date after a jump agrees with the held time", 0, []step{held(5*h, 0, 0), observes(0, held(5*h, 0, 0))}, false},
		{"only the first date overturns", 0, []step{
			observes(0, at(0, 0, 0)), held(5*h, 0, 0), observes(5*h, at(5*h, 0, 5*h)),
		}, false},

		{"start before what has passed", 0, []step{past(20*year, held(0, 0, 20*year)), held(h, h, 20*year+h)}, false},
		{"start an hour before what has passed", 0, []step{past(h, at(0, 0, 0))}, false},
		{"the floor is long past", 0, []step{past(-year, at(0, 0, 0))}, false},
		{"first date wins over what has passed", 0, []step{past(20*year, held(0, 0, 20*year)), observes(0, at(0, 0, 0))}, true},
		{"what has passed does not move a confirmed clock", 0, []step{observes(0, at(0, 0, 0)), past(20*year, at(0, 0, 0))}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := NewClock(Reading{Wall: origin.Add(tc.start)})
			var got Judgement
			for i, s := range tc.steps {
				r := Reading{Wall: origin.Add(s.wall), Elapsed: s.elapsed}
				if s.observed {
					c = c.Observe(r, origin.Add(s.date))
				}
				if s.past {
					c = c.NotBefore(r, origin.Add(s.floor))
				}
				got = c.At(r)
				if !got.Now.Equal(origin.Add(s.now)) || got.Suspect != s.suspect {
					t.Fatalf("step %d: %s after origin, suspect %v; want %s, %v", i, got.Now.Sub(origin), got.Suspect, s.now, s.suspect)
				}
			}
			if got.Overturned != tc.overturned {
				t.Errorf("overturned is %v", got.Overturned)
			}
		})
	}
}

// With any clocks and any second source, the judged time is within the
// tolerance of what was last agreed on, and goes on with the monotonic clock.
func TestT15_ClockNeverLeavesItsAnchor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		odd := rapid.Custom(func(t *rapid.T) time.Duration {
			around := rapid.SampledFrom([]time.Duration{0, time.Hour, -time.Hour, 5 * time.Hour, 10 * year, -10 * year}).Draw(t, "around")
			return around + time.Duration(rapid.Int64Range(-int64(Tolerance), int64(Tolerance)).Draw(t, "by"))
		})
		r := Reading{Wall: origin}
		c := NewClock(r)
		anchor, confirmed := r, false
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			passed := time.Duration(rapid.Int64Range(0, int64(2*time.Hour)).Draw(t, "passed"))
			r.Elapsed += passed
			r.Wall = r.Wall.Add(passed)
			switch rapid.IntRange(0, 3).Draw(t, "event") {
			case 0:
				r.Wall = origin.Add(r.Elapsed + odd.Draw(t, "wall"))
			case 1:
				date := origin.Add(r.Elapsed + odd.Draw(t, "date"))
				if c = c.Observe(r, date); !confirmed || near(date, r.Wall) {
					anchor, confirmed = Reading{date, r.Elapsed}, true
				}
			case 2:
				floor := origin.Add(r.Elapsed + odd.Draw(t, "floor"))
				moves := !confirmed && c.At(r).Now.Before(floor.Add(-Tolerance))
				if c = c.NotBefore(r, floor); moves {
					anchor = Reading{floor, r.Elapsed}
				}
			}
			got := c.At(r)
			if should := anchor.Wall.Add(r.Elapsed - anchor.Elapsed); !near(got.Now, should) {
				t.Fatalf("judged %s, should be %s", got.Now, should)
			}
			if !got.Suspect && !got.Now.Equal(r.Wall) {
				t.Fatalf("judged %s and not suspect, the wall clock is %s", got.Now, r.Wall)
			}
		}
	})
}

// Once the second source was observed, one wrong source of the two, with any value,
// does not make the judged time wrong by more than the tolerance.
func TestT15_OneWrongSourceIsNotEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wallIsWrong := rapid.Bool().Draw(t, "wall is wrong")
		offset := func() time.Duration {
			return time.Duration(rapid.Int64Range(-int64(3*Tolerance), int64(3*Tolerance)).Draw(t, "offset"))
		}
		r := Reading{Wall: origin}
		c := NewClock(r).Observe(r, origin)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			r.Elapsed += time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "passed"))
			truth := origin.Add(r.Elapsed)
			r.Wall = truth
			date := truth
			if wallIsWrong {
				r.Wall = truth.Add(offset())
			} else {
				date = truth.Add(offset())
			}
			if rapid.Bool().Draw(t, "observed") {
				c = c.Observe(r, date)
			}
			if got := c.At(r).Now; !near(got, truth) {
				t.Fatalf("judged %s, it is %s", got, truth)
			}
		}
	})
}

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

// step is one thing that happens. All times are after origin: wall is what the
// wall clock says, elapsed what the monotonic one does, date what the second
// source says and floor what is known to have passed. now and suspect are what
// is judged after it.
type step struct {
	wall, elapsed time.Duration
	date, floor   time.Duration
	heard, known  bool
	now           time.Duration
	suspect       bool
}

func TestT15_ClockJudges(t *testing.T) {
	const h, m = time.Hour, time.Minute
	at := func(wall, elapsed, now time.Duration) step { return step{wall: wall, elapsed: elapsed, now: now} }
	held := func(wall, elapsed, now time.Duration) step {
		return step{wall: wall, elapsed: elapsed, now: now, suspect: true}
	}
	hears := func(date time.Duration, s step) step { s.date, s.heard = date, true; return s }
	knows := func(floor time.Duration, s step) step { s.floor, s.known = floor, true; return s }

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

		{"second source agrees with the wall", 0, []step{hears(0, at(0, 0, 0)), held(5*h, 0, 0), hears(5*h+m, at(5*h, 0, 5*h)), at(6*h, h, 6*h)}, false},
		{"second source agrees with the held time", 0, []step{
			hears(0, at(0, 0, 0)), held(5*h, 0, 0), hears(m, held(5*h, 0, 0)), held(6*h, h, h), at(2*h, 2*h, 2*h),
		}, false},
		{"second source agrees with nobody", 0, []step{hears(0, at(0, 0, 0)), held(5*h, 0, 0), hears(-9*h, held(5*h, 0, 0))}, false},
		{"second source alone jumps", 0, []step{
			hears(0, at(0, 0, 0)), hears(10*year, held(m, 0, 0)), held(h+m, h, h), hears(h, at(h+m, h, h+m)),
		}, false},
		{"second source and wall part around the held time", 0, []step{
			hears(0, at(0, 0, 0)), at(50*m, 0, 50*m), hears(-50*m, held(50*m, 0, 0)), hears(0, at(50*m, 0, 50*m)),
		}, false},
		{"machine slept: both local clocks stood", 0, []step{
			hears(0, at(0, 0, 0)), hears(9*h, held(0, 0, 0)), held(9*h, 0, 0), hears(9*h, at(9*h, 0, 9*h)),
		}, false},
		{"skew of five minutes", 0, []step{hears(-5*m, at(0, 0, 0)), hears(h-5*m, at(h, h, h)), at(h+54*m, h, h+54*m)}, false},

		{"first word wins over a start ahead", 10 * year, []step{at(10*year, 0, 10*year), hears(0, held(10*year, 0, 0)), hears(m, at(m, m, m))}, true},
		{"first word wins over a start behind", 0, []step{hears(20*year, held(0, 0, 20*year))}, true},
		{"first word after a jump agrees with the wall", 0, []step{held(5*h, 0, 0), hears(5*h, at(5*h, 0, 5*h))}, true},
		{"first word after a jump agrees with the held time", 0, []step{held(5*h, 0, 0), hears(0, held(5*h, 0, 0))}, false},
		{"only the first word overturns", 0, []step{
			hears(0, at(0, 0, 0)), held(5*h, 0, 0), hears(5*h, at(5*h, 0, 5*h)),
		}, false},

		{"start before what has passed", 0, []step{knows(20*year, held(0, 0, 20*year)), held(h, h, 20*year+h)}, false},
		{"start an hour before what has passed", 0, []step{knows(h, at(0, 0, 0))}, false},
		{"what has passed is no news", 0, []step{knows(-year, at(0, 0, 0))}, false},
		{"first word wins over what has passed", 0, []step{knows(20*year, held(0, 0, 20*year)), hears(0, at(0, 0, 0))}, true},
		{"what has passed does not move a confirmed clock", 0, []step{hears(0, at(0, 0, 0)), knows(20*year, at(0, 0, 0))}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := NewClock(Reading{Wall: origin.Add(tc.start)})
			var got Judgement
			for i, s := range tc.steps {
				r := Reading{Wall: origin.Add(s.wall), Elapsed: s.elapsed}
				if s.heard {
					c = c.Heard(r, origin.Add(s.date))
				}
				if s.known {
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

// Whatever the clocks and the second source say, the judged time is within the
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
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				r.Wall = origin.Add(r.Elapsed + odd.Draw(t, "wall"))
			case 1:
				date := origin.Add(r.Elapsed + odd.Draw(t, "date"))
				if c = c.Heard(r, date); !confirmed || near(date, r.Wall) {
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
				t.Fatalf("judged %s without doubt, the wall clock says %s", got.Now, r.Wall)
			}
		}
	})
}

// Once the second source was heard, one liar of the two, whatever it says,
// does not make the judged time wrong by more than the tolerance.
func TestT15_OneLiarIsNotEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wallLies := rapid.Bool().Draw(t, "wall lies")
		lie := func() time.Duration {
			return time.Duration(rapid.Int64Range(-int64(3*Tolerance), int64(3*Tolerance)).Draw(t, "lie"))
		}
		r := Reading{Wall: origin}
		c := NewClock(r).Heard(r, origin)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			r.Elapsed += time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "passed"))
			truth := origin.Add(r.Elapsed)
			r.Wall = truth
			date := truth
			if wallLies {
				r.Wall = truth.Add(lie())
			} else {
				date = truth.Add(lie())
			}
			if rapid.Bool().Draw(t, "heard") {
				c = c.Heard(r, date)
			}
			if got := c.At(r).Now; !near(got, truth) {
				t.Fatalf("judged %s, it is %s", got, truth)
			}
		}
	})
}

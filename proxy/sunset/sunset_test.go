// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sunset

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPhaseAt(t *testing.T) {
	deprecation := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	end := time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)
	both := Schedule{Deprecation: deprecation, Sunset: end}
	only := Schedule{Sunset: end}
	until := end.Add(36 * time.Hour)
	held := Schedule{Deprecation: deprecation, Sunset: end, HeldUntil: until}
	never := time.Time{}

	for _, tc := range []struct {
		name     string
		schedule Schedule
		now      time.Time
		phase    Phase
		next     time.Time
	}{
		{"long before", both, deprecation.AddDate(0, -1, 0), Active, deprecation},
		{"just before the deprecation", both, deprecation.Add(-1), Active, deprecation},
		{"at the deprecation", both, deprecation, Deprecated, end},
		{"just before the sunset", both, end.Add(-1), Deprecated, end},
		{"at the sunset", both, end, Passed, never},
		{"long after", both, end.AddDate(10, 0, 0), Passed, never},
		{"no deprecation, before", only, end.Add(-1), Active, end},
		{"no deprecation, at the sunset", only, end, Passed, never},
		{"deprecation at the sunset", Schedule{Deprecation: end, Sunset: end}, end, Passed, never},
		{"hold, before the sunset", held, end.Add(-1), Deprecated, end},
		{"hold, at the sunset", held, end, Held, until},
		{"hold, just before its end", held, until.Add(-1), Held, until},
		{"hold, at its end", held, until, Passed, never},
		{"hold that ends at the sunset", Schedule{Sunset: end, HeldUntil: end}, end, Passed, never},
		{"hold that ends before the sunset", Schedule{Sunset: end, HeldUntil: end.Add(-1)}, end.Add(-1), Active, end},
		{"another zone, same instant", both, end.In(time.FixedZone("", 3600)), Passed, never},
	} {
		t.Run(tc.name, func(t *testing.T) {
			phase, next := PhaseAt(tc.schedule, tc.now)
			if phase != tc.phase || !next.Equal(tc.next) {
				t.Errorf("PhaseAt = %v, %v, want %v, %v", phase, next, tc.phase, tc.next)
			}
		})
	}
}

// Walking from one announced change to the next visits the phases in order,
// ends, and each announced instant is the first of its phase.
func TestPhaseAt_AnnouncesEveryChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sunset := rapid.Int64Range(0, 1<<33).Draw(t, "sunset")
		s := Schedule{Sunset: time.Unix(sunset, 0)}
		if rapid.Bool().Draw(t, "deprecated") {
			s.Deprecation = time.Unix(rapid.Int64Range(0, sunset).Draw(t, "deprecation"), 0)
		}
		if rapid.Bool().Draw(t, "held") {
			s.HeldUntil = s.Sunset.Add(time.Duration(rapid.Int64Range(-1<<30, 1<<30).Draw(t, "hold")) * time.Second)
		}
		now := time.Unix(rapid.Int64Range(0, 1<<34).Draw(t, "now"), 0)
		for range 4 {
			phase, next := PhaseAt(s, now)
			if next.IsZero() {
				if phase != Passed {
					t.Fatalf("%v has no next change", phase)
				}
				return
			}
			if before, _ := PhaseAt(s, next.Add(-1)); !next.After(now) || before != phase {
				t.Fatalf("the change after %v is announced for %v", now, next)
			}
			now = next
		}
		t.Fatalf("no end after four readings")
	})
}

func TestWarningAt(t *testing.T) {
	end := time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)
	before := func(days float64) time.Time { return end.Add(-time.Duration(days * 24 * float64(time.Hour))) }
	for _, tc := range []struct {
		name     string
		warnings []int32
		now      time.Time
		days     int32
		next     time.Time
	}{
		{"long before", []int32{30, 7, 1}, before(31), 0, before(30)},
		{"at the first", []int32{30, 7, 1}, before(30), 30, before(7)},
		{"between", []int32{30, 7, 1}, before(7.5), 30, before(7)},
		{"after the last", []int32{30, 7, 1}, before(0.5), 1, time.Time{}},
		{"any order, twice", []int32{1, 30, 7, 30}, before(10), 30, before(7)},
		{"at the sunset", []int32{30, 7, 1}, end, 0, time.Time{}},
		{"none", nil, before(1), 0, time.Time{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			days, next := WarningAt(end, tc.warnings, tc.now)
			if days != tc.days || !next.Equal(tc.next) {
				t.Errorf("WarningAt = %d, %v, want %d, %v", days, next, tc.days, tc.next)
			}
		})
	}
}

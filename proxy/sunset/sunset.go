// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sunset is the state machine of a route's end: a schedule and the
// present time in, a phase and the next change out. Pure, stdlib only, and
// the same code on both sides: the controller reports what the proxies do.
//
//	          deprecation            sunset          end of the hold
//	Active --------------> Deprecated -------> Held -----------> Passed
//	   \_____________________________________/   \________________/
//	            (no deprecation declared)           (no hold)
//
// A phase begins at its instant: a request that arrives exactly at the sunset
// is late.
package sunset

import "time"

// Schedule holds the instants of a route's end. Sunset is always set. A zero
// Deprecation means that none is declared; a HeldUntil that is not after Sunset
// means that there is no hold.
type Schedule struct {
	Deprecation time.Time
	Sunset      time.Time
	HeldUntil   time.Time
}

// Phase is a route's position in its schedule.
type Phase int

// The phases, in their order. Held is past the sunset, and callbacks are
// served all the same.
const (
	Active Phase = iota
	Deprecated
	Held
	Passed
)

// String returns the phase's name.
func (p Phase) String() string {
	switch p {
	case Active:
		return "Active"
	case Deprecated:
		return "Deprecated"
	case Held:
		return "Held"
	case Passed:
		return "Passed"
	}
	return "Unknown"
}

// PhaseAt returns the phase at now, and the instant of the next change; the
// zero time when there is none.
func PhaseAt(s Schedule, now time.Time) (phase Phase, next time.Time) {
	switch {
	case !now.Before(s.Sunset) && now.Before(s.HeldUntil):
		return Held, s.HeldUntil
	case !now.Before(s.Sunset):
		return Passed, time.Time{}
	case s.Deprecation.IsZero():
		return Active, s.Sunset
	case now.Before(s.Deprecation):
		return Active, s.Deprecation
	default:
		return Deprecated, s.Sunset
	}
}

// WarningAt returns the smallest of the warnings, in days before the sunset,
// that has come at now, and the instant of the next one. days is 0 when none
// has come, or the sunset has; next is zero when none is left.
func WarningAt(sunset time.Time, warnings []int32, now time.Time) (days int32, next time.Time) {
	if !now.Before(sunset) {
		return 0, time.Time{}
	}
	for _, d := range warnings {
		at := sunset.Add(-time.Duration(d) * 24 * time.Hour)
		switch {
		case now.Before(at):
			if next.IsZero() || at.Before(next) {
				next = at
			}
		case days == 0 || d < days:
			days = d
		}
	}
	return days, next
}

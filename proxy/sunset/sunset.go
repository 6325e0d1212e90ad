// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sunset is the state machine of a route's end: a schedule and the
// present time in, a phase and the next change out. Pure, stdlib only, and
// the same code on both sides: the controller reports what the proxies do.
//
//	          deprecation            sunset
//	Active --------------> Deprecated --------> Passed
//	   \_____________________________________/
//	            (no deprecation declared)
//
// A phase begins at its instant: a request that arrives exactly at the sunset
// is late.
package sunset

import "time"

// Schedule holds the instants of a route's end. The zero Deprecation means
// that none is declared; Sunset is always set.
type Schedule struct {
	Deprecation time.Time
	Sunset      time.Time
}

// Phase is where in its schedule a route stands.
type Phase int

// The phases, in their order.
const (
	Active Phase = iota
	Deprecated
	Passed
)

// String returns the phase's name.
func (p Phase) String() string {
	switch p {
	case Active:
		return "Active"
	case Deprecated:
		return "Deprecated"
	case Passed:
		return "Passed"
	}
	return "Unknown"
}

// PhaseAt returns the phase at now, and the instant of the next change; the
// zero time when there is none.
func PhaseAt(s Schedule, now time.Time) (phase Phase, next time.Time) {
	switch {
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

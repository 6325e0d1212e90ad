// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

// schedule.go computes where a route stands between its creation and its sunset.

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
)

// MaxSunsetHoldReason is the longest reason of a sunset hold, in characters.
const MaxSunsetHoldReason = 256

// schedule sets where the route stands, and returns the time of the next change.
func (v *Verdict) schedule(proxy *callbackv1alpha1.CallbackProxy, now time.Time) time.Time {
	phase, next := sunset.PhaseAt(sunset.Schedule{
		Deprecation: v.Entry.Deprecation, Sunset: v.Entry.Sunset, HeldUntil: v.Entry.HeldUntil,
	}, now)
	days, warning := sunset.WarningAt(v.Entry.Sunset, proxy.Spec.Policy.SunsetWarningDays, now)
	v.Phase, v.Warning = phase, days
	next = Earlier(next, warning)
	if now.Before(v.LatestSunset) {
		next = Earlier(next, v.LatestSunset) // from then on the policy allows no later sunsetTime
	}
	return next
}

// HasEnded reports whether the callbacks of an accepted route reach no backend
// any more.
func (v *Verdict) HasEnded() bool {
	return v.Accepted.OK && v.Phase == sunset.Passed && v.Route.Spec.AfterSunset != callbackv1alpha1.AfterSunsetServe
}

// SunsetHoldReason returns the reason that a route's hold annotation gives, and
// whether it is valid: a condition repeats it.
func SunsetHoldReason(route *callbackv1alpha1.CallbackRoute) (reason string, valid bool) {
	reason = strings.TrimSpace(route.Annotations[callbackv1alpha1.HoldAnnotation])
	printable := strings.IndexFunc(reason, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
	return reason, reason != "" && utf8.RuneCountInString(reason) <= MaxSunsetHoldReason && printable && utf8.ValidString(reason)
}

// Earlier returns the earlier of two times. The zero time means never.
func Earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

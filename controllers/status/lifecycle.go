// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

// lifecycle.go computes the conditions of a route's deprecation and sunset.

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
)

// addLifecycle adds the conditions that are present only while they apply.
func addLifecycle(set *conditionSet, v *compile.Verdict, t *Traffic) {
	end := compile.FormatTime(v.Entry.Sunset)
	if v.Phase >= sunset.Deprecated && v.Route.Spec.DeprecationTime != nil {
		set.add(callbackv1alpha1.ConditionDeprecated, compile.True(callbackv1alpha1.ReasonDeprecated,
			"deprecated since %s", compile.FormatTime(v.Route.Spec.DeprecationTime.Time)))
	}
	if v.Warning > 0 {
		set.add(callbackv1alpha1.ConditionSunsetApproaching, compile.True(callbackv1alpha1.ReasonSunsetApproaching,
			"sunsetTime %s is %s or less away: %s", end, plural(int64(v.Warning), "day"), describeEnd(v)))
	}
	if v.Phase >= sunset.Held {
		set.addSince(callbackv1alpha1.ConditionSunsetPassed, sunsetPassed(v, t, set.now), passedSince(v, set.now))
	}
	if held := sunsetHeld(v, set.now); held != nil {
		set.add(callbackv1alpha1.ConditionSunsetHeld, *held)
	}
}

// passedSince returns the transition time of the condition SunsetPassed: sunsetTime
// itself for a planned end, else the time of the first pass that found the
// sunset in the past. The end is planned when the previous status, of the same
// generation, was that of an accepted route before its sunset. The condition
// keeps the answer for later passes.
func passedSince(v *compile.Verdict, now time.Time) time.Time {
	before := &v.Route.Status
	if passed := meta.FindStatusCondition(before.Conditions, callbackv1alpha1.ConditionSunsetPassed); passed != nil {
		since := passed.LastTransitionTime.Time
		if since.Equal(v.Entry.Sunset) || passed.ObservedGeneration == v.Route.Generation {
			return since
		}
		return now
	}
	accepted := meta.FindStatusCondition(before.Conditions, callbackv1alpha1.ConditionAccepted)
	if accepted != nil && accepted.Status == metav1.ConditionTrue && before.ObservedGeneration == v.Route.Generation {
		return v.Entry.Sunset
	}
	return now
}

// isPlanned reports whether the sunset passed as it was declared before.
func isPlanned(v *compile.Verdict, now time.Time) bool {
	return !passedSince(v, now).After(v.Entry.Sunset)
}

// describeEnd describes the response to callbacks after the sunset.
func describeEnd(v *compile.Verdict) string {
	switch {
	case v.Route.Spec.AfterSunset == callbackv1alpha1.AfterSunsetServe:
		return "callbacks are served after it as well (afterSunset: Serve)"
	case !v.Entry.HeldUntil.IsZero():
		return "it is held, and from " + compile.FormatTime(v.Entry.HeldUntil) + " on callbacks are answered with 410 Gone"
	}
	return "from then on callbacks are answered with 410 Gone"
}

func sunsetPassed(v *compile.Verdict, t *Traffic, now time.Time) compile.Finding {
	var text strings.Builder
	text.WriteString("sunsetTime " + compile.FormatTime(v.Entry.Sunset) + " has passed and callbacks are ")
	serves := v.Route.Spec.AfterSunset == callbackv1alpha1.AfterSunsetServe
	switch {
	case serves:
		text.WriteString("still served (afterSunset: Serve)")
	case v.Phase == sunset.Held:
		text.WriteString("still served until " + compile.FormatTime(v.Entry.HeldUntil) + " (annotation " + callbackv1alpha1.HoldAnnotation + ")")
	default:
		text.WriteString("answered with 410 Gone")
	}
	// AfterSunset counts for the route's whole life, which may include earlier
	// sunsets. The last callback shows whether any arrived after this one.
	switch came := !t.Last.Before(v.Entry.Sunset); {
	case came && t.AfterSunset > 0:
		fmt.Fprintf(&text, "; %s came after a sunset of this route, the last at %s", plural(t.AfterSunset, "callback"), compile.FormatTime(t.Last))
	case !came && serves:
		text.WriteString("; none was counted since")
	}
	if now.Before(v.LatestSunset) {
		text.WriteString(": delete the route, or set a later sunsetTime; the policy allows until " + compile.FormatTime(v.LatestSunset))
	} else {
		text.WriteString(": delete the route; the policy allows no sunsetTime after " + compile.FormatTime(v.LatestSunset))
	}
	return compile.True(callbackv1alpha1.ReasonSunsetPassed, "%s", text.String())
}

// sunsetHeld computes the condition SunsetHeld; nil without the annotation.
func sunsetHeld(v *compile.Verdict, now time.Time) *compile.Finding {
	if _, annotated := v.Route.Annotations[callbackv1alpha1.HoldAnnotation]; !annotated {
		return nil
	}
	reason, ok := compile.SunsetHoldReason(v.Route)
	end, until := compile.FormatTime(v.Entry.Sunset), compile.FormatTime(v.LatestSunset)
	switch {
	case !ok:
		return new(compile.False(callbackv1alpha1.ReasonHoldWithoutReason,
			"annotation %s has no effect: its value must say why, in 1 to %d printable characters",
			callbackv1alpha1.HoldAnnotation, compile.MaxSunsetHoldReason))
	case v.Entry.HeldUntil.IsZero():
		return new(compile.False(callbackv1alpha1.ReasonHoldExpired,
			"the hold has no effect: the policy allows no sunset after %s; the reason given was: %s", until, reason))
	case !now.Before(v.LatestSunset):
		return new(compile.False(callbackv1alpha1.ReasonHoldExpired,
			"the hold ended at %s, the latest sunset that the policy allows; the reason given was: %s", until, reason))
	case v.Route.Spec.AfterSunset == callbackv1alpha1.AfterSunsetServe:
		return new(compile.True(callbackv1alpha1.ReasonSunsetHeld,
			"callbacks are served past sunsetTime %s with and without the hold (afterSunset: Serve); the reason given was: %s", end, reason))
	}
	return new(compile.True(callbackv1alpha1.ReasonSunsetHeld,
		"callbacks are served past sunsetTime %s, until %s at the latest, because: %s", end, until, reason))
}

// plural counts things in words: 1 day, 2 days.
func plural(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

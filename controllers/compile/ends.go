// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
)

// maxHoldReason is the longest reason of a hold, in characters.
const maxHoldReason = 256

// addEnds adds the conditions of a route's end, those that have something to
// say.
func addEnds(set *conditionSet, v *Verdict, use *Use) {
	end := stamp(v.Entry.Sunset)
	if v.Phase >= sunset.Deprecated && v.Route.Spec.DeprecationTime != nil {
		set.add(callbackv1alpha1.ConditionDeprecated, Finding{
			OK:      true,
			Reason:  callbackv1alpha1.ReasonDeprecated,
			Message: "deprecated since " + stamp(v.Route.Spec.DeprecationTime.Time),
		})
	}
	if v.Warning > 0 {
		set.add(callbackv1alpha1.ConditionSunsetApproaching, Finding{
			OK:     true,
			Reason: callbackv1alpha1.ReasonSunsetApproaching,
			Message: fmt.Sprintf("sunsetTime %s is %s or less away: %s",
				end, plural(int64(v.Warning), "day"), v.afterwards()),
		})
	}
	if v.Phase >= sunset.Held {
		set.add(callbackv1alpha1.ConditionSunsetPassed, sunsetPassed(v, use, set.now))
	}
	if v.Hold != nil {
		set.add(callbackv1alpha1.ConditionSunsetHeld, *v.Hold)
	}
}

// afterwards says what becomes of callbacks after the sunset.
func (v *Verdict) afterwards() string {
	switch {
	case v.Route.Spec.AfterSunset == callbackv1alpha1.AfterSunsetWarn:
		return "callbacks are served after it as well (afterSunset: Warn)"
	case !v.Entry.HeldUntil.IsZero():
		return "it is held, and from " + stamp(v.Entry.HeldUntil) + " on callbacks are answered with 410 Gone"
	}
	return "from then on callbacks are answered with 410 Gone"
}

func sunsetPassed(v *Verdict, use *Use, now time.Time) Finding {
	var text strings.Builder
	text.WriteString("sunsetTime " + stamp(v.Entry.Sunset) + " has passed and callbacks are ")
	warns := v.Route.Spec.AfterSunset == callbackv1alpha1.AfterSunsetWarn
	switch {
	case warns:
		text.WriteString("still served (afterSunset: Warn)")
	case v.Phase == sunset.Held:
		text.WriteString("still served until " + stamp(v.Entry.HeldUntil) + " (annotation " + callbackv1alpha1.HoldAnnotation + ")")
	default:
		text.WriteString("answered with 410 Gone")
	}
	// They are counted for the route's whole life, in which there may have been
	// other sunsets; the last one says whether any came after this one.
	switch came := !use.Last.Before(v.Entry.Sunset); {
	case came && use.AfterSunset > 0:
		fmt.Fprintf(&text, "; %s came after a sunset of this route, the last at %s", plural(use.AfterSunset, "callback"), stamp(use.Last))
	case !came && warns:
		text.WriteString("; none was counted since")
	}
	if now.Before(v.Until) {
		text.WriteString(": delete the route, or set a later sunsetTime; the policy allows until " + stamp(v.Until))
	} else {
		text.WriteString(": delete the route; the policy allows no sunsetTime after " + stamp(v.Until))
	}
	return Finding{OK: true, Reason: callbackv1alpha1.ReasonSunsetPassed, Message: text.String()}
}

// late says whether the route has ended: its callbacks reach no backend.
func (v *Verdict) late() bool {
	return v.Accepted.OK && v.Phase == sunset.Passed && v.Route.Spec.AfterSunset != callbackv1alpha1.AfterSunsetWarn
}

// isHeld says whether the route carries the annotation with a reason.
func (c *candidate) isHeld() bool {
	_, ok := holdReason(c.route.Object)
	return ok
}

// holdReason returns why a sunset is held, and whether that can be repeated.
func holdReason(route *callbackv1alpha1.CallbackRoute) (string, bool) {
	reason := strings.TrimSpace(route.Annotations[callbackv1alpha1.HoldAnnotation])
	printable := strings.IndexFunc(reason, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
	return reason, reason != "" && utf8.RuneCountInString(reason) <= maxHoldReason && printable && utf8.ValidString(reason)
}

// hold returns the condition SunsetHeld, nil without the annotation.
func (c *candidate) hold(now time.Time) *Finding {
	if _, there := c.route.Object.Annotations[callbackv1alpha1.HoldAnnotation]; !there {
		return nil
	}
	reason, ok := holdReason(c.route.Object)
	until := c.until()
	switch {
	case !ok:
		return &Finding{
			Reason: callbackv1alpha1.ReasonHoldWithoutReason,
			Message: fmt.Sprintf("annotation %s has no effect: its value must say why, in 1 to %d printable characters",
				callbackv1alpha1.HoldAnnotation, maxHoldReason),
		}
	case c.entry.HeldUntil.IsZero():
		return &Finding{
			Reason:  callbackv1alpha1.ReasonHoldExpired,
			Message: "the hold has no effect: the policy allows no sunset after " + stamp(until) + "; the reason given was: " + reason,
		}
	case !now.Before(until):
		return &Finding{
			Reason:  callbackv1alpha1.ReasonHoldExpired,
			Message: "the hold ended at " + stamp(until) + ", the latest sunset that the policy allows; the reason given was: " + reason,
		}
	}
	if c.route.Object.Spec.AfterSunset == callbackv1alpha1.AfterSunsetWarn {
		return &Finding{
			OK:     true,
			Reason: callbackv1alpha1.ReasonSunsetHeld,
			Message: fmt.Sprintf("callbacks are served past sunsetTime %s with and without the hold (afterSunset: Warn); the reason given was: %s",
				stamp(c.entry.Sunset), reason),
		}
	}
	return &Finding{
		OK:     true,
		Reason: callbackv1alpha1.ReasonSunsetHeld,
		Message: fmt.Sprintf("callbacks are served past sunsetTime %s, until %s at the latest, because: %s",
			stamp(c.entry.Sunset), stamp(until), reason),
	}
}

// plural counts things in words: 1 day, 2 days.
func plural(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expect

import (
	"testing"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

func TestConsistentRoute_FindsContradictionsAboutTheEnd(t *testing.T) {
	routeChanges{
		"past the sunset and ready":               func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("SunsetPassed", "True", "SunsetPassed")) },
		"a sunset that has not come":              func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("SunsetPassed", "False", "SunsetPassed")) },
		"unready by a sunset without a condition": func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("Ready", "False", "SunsetPassed")) },
		"deprecated without a time":               func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("Deprecated", "True", "Deprecated")) },
		"past and not deprecated":                 func(r *callbackv1alpha1.CallbackRoute) { pass(r); r.Spec.DeprecationTime = &created },
		"past with Serve, not ready by it": func(r *callbackv1alpha1.CallbackRoute) {
			r.Spec.AfterSunset = callbackv1alpha1.AfterSunsetServe
			pass(r)
		},
		"past and approaching": func(r *callbackv1alpha1.CallbackRoute) {
			pass(r)
			set(r, newCondition("SunsetApproaching", "True", "SunsetApproaching"))
		},
		"a sunset that does not approach": func(r *callbackv1alpha1.CallbackRoute) {
			set(r, newCondition("SunsetApproaching", "False", "SunsetApproaching"))
		},
		"held, and not ready by the sunset": func(r *callbackv1alpha1.CallbackRoute) { hold(r); pass(r) },
		"past, a hold without effect, and ready": func(r *callbackv1alpha1.CallbackRoute) {
			hold(r)
			pass(r)
			set(r, newCondition("SunsetHeld", "False", "HoldWithoutReason"), newCondition("Ready", "True", "Ready"))
		},
		"held without the annotation": func(r *callbackv1alpha1.CallbackRoute) { hold(r); r.Annotations = nil },
		"no reason without the annotation": func(r *callbackv1alpha1.CallbackRoute) {
			set(r, newCondition("SunsetHeld", "False", "HoldWithoutReason"))
		},
		"an annotation without a condition": func(r *callbackv1alpha1.CallbackRoute) {
			r.Annotations = map[string]string{callbackv1alpha1.HoldAnnotation: ""}
		},
		"held for a reason that is not repeated": func(r *callbackv1alpha1.CallbackRoute) {
			hold(r)
			set(r, newCondition("SunsetHeld", "True", "SunsetHeld"))
		},
		"held for no reason": func(r *callbackv1alpha1.CallbackRoute) {
			hold(r)
			r.Annotations[callbackv1alpha1.HoldAnnotation] = " "
		},
		"held by an expired hold": func(r *callbackv1alpha1.CallbackRoute) {
			hold(r)
			set(r, newCondition("SunsetHeld", "True", "HoldExpired"))
		},
		"a hold that held and did not": func(r *callbackv1alpha1.CallbackRoute) {
			hold(r)
			set(r, newCondition("SunsetHeld", "False", "SunsetHeld"))
		},
		"not ready after a planned end": func(r *callbackv1alpha1.CallbackRoute) {
			end(r)
			blame(r, "SunsetPassed")
		},
		"ready after an end in the past": func(r *callbackv1alpha1.CallbackRoute) {
			pass(r)
			set(r, newCondition("Ready", "True", "SunsetPassed"))
		},
	}.contradict(t)
}

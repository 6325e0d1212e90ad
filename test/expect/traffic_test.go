// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expect

import (
	"testing"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

func TestConsistentRoute_FindsContradictionsAboutTraffic(t *testing.T) {
	zero, three, five := int64(0), int64(3), int64(5)
	message := func(r *callbackv1alpha1.CallbackRoute, text string) {
		pass(r)
		passed := newCondition("SunsetPassed", "True", "SunsetPassed")
		passed.Message = text
		set(r, passed)
		blame(r, "SunsetPassed")
	}
	routeChanges{
		"no traffic":                     func(r *callbackv1alpha1.CallbackRoute) { r.Status.Traffic = nil },
		"no count":                       func(r *callbackv1alpha1.CallbackRoute) { r.Status.Traffic.Callbacks = nil },
		"more came after the sunset":     func(r *callbackv1alpha1.CallbackRoute) { r.Status.Traffic.AfterSunset = &five },
		"the last refused request":       func(r *callbackv1alpha1.CallbackRoute) { r.Status.Traffic.LastRefusedReason = "noLength" },
		"more were repeats":              func(r *callbackv1alpha1.CallbackRoute) { r.Status.Traffic.Repeats = &five },
		"no repeats, said":               func(r *callbackv1alpha1.CallbackRoute) { r.Status.Traffic.Repeats = &zero },
		"nothing, said":                  func(r *callbackv1alpha1.CallbackRoute) { r.Status.Traffic.Other = &zero },
		"quiet before the last callback": func(r *callbackv1alpha1.CallbackRoute) { r.Status.Traffic.QuietSince = &created },
		"quiet since the last one, of none": func(r *callbackv1alpha1.CallbackRoute) {
			r.Status.Traffic.QuietSince, r.Status.Traffic.LastCallbackTime = &called, nil
		},
		"refused and quiet": func(r *callbackv1alpha1.CallbackRoute) {
			refuse(r)
			r.Status.Traffic.QuietSince = r.Status.Traffic.LastCallbackTime
		},
		"past, and not told how many came": func(r *callbackv1alpha1.CallbackRoute) {
			message(r, "it is over")
			r.Status.Traffic.AfterSunset = &three
		},
		"past, and told of others": func(r *callbackv1alpha1.CallbackRoute) {
			message(r, "it is over; 2 callbacks came after a sunset of this route, the last at noon")
			r.Status.Traffic.AfterSunset = &three
		},
		"past, and told of some that did not come": func(r *callbackv1alpha1.CallbackRoute) {
			message(r, "it is over; 2 callbacks came after a sunset of this route, the last at noon")
		},
	}.contradict(t)
}

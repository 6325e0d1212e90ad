// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expect

import (
	"testing"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

func TestConsistentRoute_FindsContradictionsAboutBackends(t *testing.T) {
	few := int64(-1)
	routeChanges{
		"a backend is missing":      func(r *callbackv1alpha1.CallbackRoute) { r.Status.Backends = r.Status.Backends[:2] },
		"a backend of another name": func(r *callbackv1alpha1.CallbackRoute) { r.Status.Backends[2].Name = "pink" },
		"no health":                 func(r *callbackv1alpha1.CallbackRoute) { r.Status.Backends[0].Health = "" },
		"healthy for a reason":      func(r *callbackv1alpha1.CallbackRoute) { r.Status.Backends[1].Reason = "BackendUnhealthy" },
		"unhealthy for no reason": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "red", "BackendUnhealthy")
			r.Status.Backends[2].Reason = ""
		},
		"unhealthy for any reason": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "red", "BackendUnhealthy")
			r.Status.Backends[2].Reason = "Tired"
		},
		"refused and healthy":           func(r *callbackv1alpha1.CallbackRoute) { refuse(r); r.Status.Backends[1].Health = "Healthy" },
		"uncounted":                     func(r *callbackv1alpha1.CallbackRoute) { r.Status.Backends[1].Callbacks = nil },
		"counted below zero":            func(r *callbackv1alpha1.CallbackRoute) { r.Status.Backends[1].Callbacks = &few },
		"primary and not declared":      func(r *callbackv1alpha1.CallbackRoute) { r.Status.PrimaryBackend = "pink" },
		"primary without the weight":    func(r *callbackv1alpha1.CallbackRoute) { r.Status.PrimaryBackend = "red" },
		"accepted, and none is primary": func(r *callbackv1alpha1.CallbackRoute) { r.Status.PrimaryBackend = "" },
		"two have a weight":             func(r *callbackv1alpha1.CallbackRoute) { r.Spec.Backends[2].Weight = r.Spec.Backends[1].Weight },

		"healthy, and one is not": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "red", "BackendUnhealthy")
			set(r, newCondition("BackendsHealthy", "True", "BackendsHealthy"))
		},
		"unhealthy, and all are well": func(r *callbackv1alpha1.CallbackRoute) {
			set(r, newCondition("BackendsHealthy", "False", "BackendUnhealthy"))
		},
		"not measured, and two are": func(r *callbackv1alpha1.CallbackRoute) {
			set(r, newCondition("BackendsHealthy", "Unknown", "NotMeasured"))
		},
		"healthy, and nothing is known": func(r *callbackv1alpha1.CallbackRoute) {
			unmeasure(r)
			set(r, newCondition("BackendsHealthy", "True", "BackendsHealthy"))
		},
		"a reason that no backend has": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "red", "BackendUnhealthy")
			r.Status.Backends[2].Reason = "NoReadyEndpoints"
		},
		"one of two is not named": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "red", "BackendUnhealthy")
			r.Status.Backends[0].Health, r.Status.Backends[0].Reason = "Unhealthy", "BackendUnhealthy"
		},
		"not ready, and the failover is healthy": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "green", "BackendUnhealthy")
			blame(r, "BackendsHealthy")
		},
		"not ready by one without weight": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "blue", "CallbackPathNotServed")
			blame(r, "BackendsHealthy")
		},
		"ready, and none is served": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "green", "BackendUnhealthy")
			breakBackend(r, "red", "NoReadyEndpoints")
		},
		"ready, and the path is not served": func(r *callbackv1alpha1.CallbackRoute) { breakBackend(r, "green", "CallbackPathNotServed") },
		"blames health before a higher rank": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "green", "CallbackPathNotServed")
			blame(r, "BackendsHealthy")
			set(r, newCondition("ResolvedRefs", "False", "BackendNotFound"))
		},
	}.contradict(t)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

// change.go classifies the difference between two statuses of a route.

import (
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// Change is the class of the difference between two statuses of a route. The
// status writer derives from it how long a write may wait.
type Change int

// The classes, those that can wait longest first.
const (
	// Unchanged: the statuses are equal.
	Unchanged Change = iota
	// Counters: counters or the numbers of instances differ, or details of what
	// they report. They change without end, possibly for all routes at once.
	Counters
	// Health: a backend becomes unhealthy, or ceases to be.
	Health
	// Spec: everything else. It changes as often as an object changes, a time of
	// the schedule comes, or a backend is measured for the first time.
	Spec
)

// CompareRoute classifies the difference between two statuses of a route.
func CompareRoute(before, after *callbackv1alpha1.CallbackRouteStatus) Change {
	switch {
	case apiequality.Semantic.DeepEqual(before, after):
		return Unchanged
	case !apiequality.Semantic.DeepEqual(specPart(before), specPart(after)):
		return Spec
	}
	return compareHealth(healths(before), healths(after))
}

// compareHealth classifies the difference of the backends' health.
func compareHealth(before, after map[string]callbackv1alpha1.Health) Change {
	change := Counters
	for name, is := range after {
		switch was := before[name]; {
		case was == is:
		case was == callbackv1alpha1.HealthUnhealthy || is == callbackv1alpha1.HealthUnhealthy:
			return Health
		default:
			change = Spec
		}
	}
	return change
}

// healths returns the health of each backend, and of all of them by the name
// "". Both statuses of a comparison have the same backends, because a change of
// backends is a change of the spec.
func healths(status *callbackv1alpha1.CallbackRouteStatus) map[string]callbackv1alpha1.Health {
	all := callbackv1alpha1.HealthUnknown
	for _, c := range status.Conditions {
		switch {
		case c.Type != callbackv1alpha1.ConditionBackendsHealthy:
		case c.Status == metav1.ConditionTrue:
			all = callbackv1alpha1.HealthHealthy
		case c.Status == metav1.ConditionFalse:
			all = callbackv1alpha1.HealthUnhealthy
		}
	}
	out := map[string]callbackv1alpha1.Health{"": all}
	for i := range status.Backends {
		out[status.Backends[i].Name] = status.Backends[i].Health
	}
	return out
}

// specPart returns the part of a status that depends neither on the health of
// backends nor on counters. Ready follows from the other conditions.
func specPart(status *callbackv1alpha1.CallbackRouteStatus) *callbackv1alpha1.CallbackRouteStatus {
	conditions := make([]metav1.Condition, 0, len(status.Conditions))
	for _, c := range status.Conditions {
		switch c.Type {
		case callbackv1alpha1.ConditionBackendsHealthy, callbackv1alpha1.ConditionReady:
			continue
		case callbackv1alpha1.ConditionSunsetPassed:
			c.Message = "" // includes a count
		}
		conditions = append(conditions, c)
	}
	return &callbackv1alpha1.CallbackRouteStatus{
		ObservedGeneration: status.ObservedGeneration,
		PrimaryBackend:     status.PrimaryBackend,
		Conditions:         conditions,
	}
}

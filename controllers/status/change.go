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
	// Scale: only the numbers of instances differ. It changes for all routes of a
	// fleet at once.
	Scale
	// Counters: counters of instances differ, or details of what they report.
	Counters
	// Measurement: a backend that is not unhealthy is measured now, or no more.
	Measurement
	// Health: a backend becomes unhealthy, or ceases to be.
	Health
	// Spec: everything else. It changes as often as an object changes or a time
	// of the schedule comes.
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
	scaled := *before
	scaled.Instances = after.Instances
	if apiequality.Semantic.DeepEqual(&scaled, after) {
		return Scale
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
			change = Measurement
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
	return &callbackv1alpha1.CallbackRouteStatus{
		ObservedGeneration: status.ObservedGeneration,
		PrimaryBackend:     status.PrimaryBackend,
		Conditions: pick(status.Conditions, func(c *metav1.Condition) bool {
			switch c.Type {
			case callbackv1alpha1.ConditionBackendsHealthy, callbackv1alpha1.ConditionReady:
				return false
			case callbackv1alpha1.ConditionSunsetPassed:
				c.Message = "" // includes a count
			}
			return true
		}),
	}
}

// pick returns copies of the conditions that keep returns true for; keep may
// change the copies.
func pick(conditions []metav1.Condition, keep func(*metav1.Condition) bool) []metav1.Condition {
	out := make([]metav1.Condition, 0, len(conditions))
	for _, c := range conditions {
		if keep(&c) {
			out = append(out, c)
		}
	}
	return out
}

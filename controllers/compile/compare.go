// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// Change is what kind of news a status holds.
type Change int

// The kinds, the ones that can wait longest first. Scaled is how many instances
// there are and nothing else: it changes for all routes at once. Counted is what
// instances count, and in which words they say what they see. Seen is that a
// backend is unhealthy now or was, Measured that a healthy one was or is
// unknown. These change as traffic and backends do, without end. Declared is
// everything else, and happens as often as somebody does something, or a time
// comes.
const (
	Same Change = iota
	Scaled
	Counted
	Measured
	Seen
	Declared
)

// Compare says what kind of news a route's status holds over the one before.
func Compare(before, after *callbackv1alpha1.CallbackRouteStatus) Change {
	switch {
	case apiequality.Semantic.DeepEqual(before, after):
		return Same
	case !apiequality.Semantic.DeepEqual(declared(before), declared(after)):
		return Declared
	}
	counted := *before
	counted.Proxies = after.Proxies
	if apiequality.Semantic.DeepEqual(&counted, after) {
		return Scaled
	}
	return flips(healths(before), healths(after))
}

// flips compares what instances see of backends.
func flips(before, after map[string]callbackv1alpha1.Health) Change {
	change := Counted
	for name, is := range after {
		switch was := before[name]; {
		case was == is:
		case was == callbackv1alpha1.HealthUnhealthy || is == callbackv1alpha1.HealthUnhealthy:
			return Seen
		default:
			change = Measured
		}
	}
	return change
}

// healths returns the health of each backend, and of all of them by the name
// "". Both statuses of a comparison have the same backends: others would have
// been declared.
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

// declared returns the part of a status that is neither seen nor counted. Ready
// follows from the other conditions.
func declared(status *callbackv1alpha1.CallbackRouteStatus) *callbackv1alpha1.CallbackRouteStatus {
	return &callbackv1alpha1.CallbackRouteStatus{
		ObservedGeneration: status.ObservedGeneration,
		ActiveBackend:      status.ActiveBackend,
		Conditions: pick(status.Conditions, func(c *metav1.Condition) bool {
			switch c.Type {
			case callbackv1alpha1.ConditionBackendsHealthy, callbackv1alpha1.ConditionReady:
				return false
			case callbackv1alpha1.ConditionSunsetPassed:
				c.Message = "" // counts callbacks
			}
			return true
		}),
	}
}

// pick returns copies of the conditions that are kept, with what keep changed.
func pick(conditions []metav1.Condition, keep func(*metav1.Condition) bool) []metav1.Condition {
	out := make([]metav1.Condition, 0, len(conditions))
	for _, c := range conditions {
		if keep(&c) {
			out = append(out, c)
		}
	}
	return out
}

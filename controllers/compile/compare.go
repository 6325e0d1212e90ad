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

// The kinds. Counted is what instances count, Seen what they see of backends:
// both change as traffic and backends do, without end. Declared is everything
// else, and happens as often as somebody does something, or a time comes.
const (
	Same Change = iota
	Counted
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
	case !apiequality.Semantic.DeepEqual(seenOf(before), seenOf(after)):
		return Seen
	}
	return Counted
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

// seenOf returns what instances see of the backends. The message of
// BackendsHealthy is part of it: it says how many see it.
func seenOf(status *callbackv1alpha1.CallbackRouteStatus) *callbackv1alpha1.CallbackRouteStatus {
	out := &callbackv1alpha1.CallbackRouteStatus{
		Conditions: pick(status.Conditions, func(c *metav1.Condition) bool {
			return c.Type == callbackv1alpha1.ConditionBackendsHealthy
		}),
	}
	for _, b := range status.Backends {
		b.Callbacks, b.LastCallbackTime = nil, nil
		out.Backends = append(out.Backends, b)
	}
	return out
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

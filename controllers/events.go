// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// transition is a change of a condition that is worth an event.
type transition struct {
	kind    string // Normal or Warning
	reason  string
	message string
}

// maxNoteBytes is what the API allows in an event. One that is longer would be
// lost.
const maxNoteBytes = 1024

// emit sends an event for each transition, once the status that holds it is
// written. Its reason is the condition's, its action the condition's type.
func (r *Reconciler) emit(kind schema.GroupVersionKind, object client.Object, before, after []metav1.Condition, news newsRule) {
	reference := &corev1.ObjectReference{
		APIVersion:      kind.GroupVersion().String(),
		Kind:            kind.Kind,
		Namespace:       object.GetNamespace(),
		Name:            object.GetName(),
		UID:             object.GetUID(),
		ResourceVersion: object.GetResourceVersion(),
	}
	for _, condition := range after {
		if t, is := news(find(before, condition.Type), &condition); is {
			r.Recorder.Eventf(reference, nil, t.kind, t.reason, condition.Type, "%s", t.message)
		}
	}
}

// newsRule decides whether a condition's change is worth an event. before is
// nil when the condition is new. Pure.
type newsRule func(before, after *metav1.Condition) (transition, bool)

// proxyNews leaves out what happens at every change of any route: that the
// instances have not acknowledged yet, and then that they have.
func proxyNews(before, after *metav1.Condition) (transition, bool) {
	if before != nil && before.Reason == callbackv1alpha1.ReasonPending && after.Status == metav1.ConditionTrue {
		return transition{}, false
	}
	return routeNews(before, after)
}

func routeNews(before, after *metav1.Condition) (transition, bool) {
	changed := isOther(before, after)
	reworded := changed || before.Message != after.Message
	good := transition{kind: corev1.EventTypeNormal, reason: after.Reason, message: after.Message}
	bad := transition{kind: corev1.EventTypeWarning, reason: after.Reason, message: after.Message}
	isFalse := after.Status == metav1.ConditionFalse
	switch after.Type {
	case callbackv1alpha1.ConditionAccepted, callbackv1alpha1.ConditionResolvedRefs, callbackv1alpha1.ConditionBackendsHealthy:
		if isFalse {
			return bad, changed
		}
		return good, recovered(before, after)
	case callbackv1alpha1.ConditionProgrammed:
		if isFalse {
			return bad, changed && isWorthSaying(after.Reason)
		}
		// Each generation that is served everywhere is news: it is the record of
		// when a migration took its step. That a new route works is none.
		return good, before != nil && (changed || before.ObservedGeneration != after.ObservedGeneration)
	case callbackv1alpha1.ConditionDeprecated:
		return good, changed
	case callbackv1alpha1.ConditionSunsetPassed, callbackv1alpha1.ConditionClockSuspect:
		return bad, changed
	case callbackv1alpha1.ConditionSunsetApproaching:
		// Its message changes with each warning, and when the time is moved.
		return bad, reworded
	case callbackv1alpha1.ConditionSunsetHeld:
		if isFalse {
			return bad, changed
		}
		return good, reworded
	}
	return transition{}, false
}

// isWorthSaying leaves out of the reasons of Programmed what is always so at
// first, and what another condition says.
func isWorthSaying(reason string) bool {
	return reason != callbackv1alpha1.ReasonPending && reason != callbackv1alpha1.ReasonNotAccepted
}

func isOther(before, after *metav1.Condition) bool {
	return before == nil || before.Status != after.Status || before.Reason != after.Reason
}

func recovered(before, after *metav1.Condition) bool {
	return before != nil && before.Status == metav1.ConditionFalse && after.Status == metav1.ConditionTrue
}

func find(conditions []metav1.Condition, kind string) *metav1.Condition {
	at := slices.IndexFunc(conditions, func(c metav1.Condition) bool { return c.Type == kind })
	if at < 0 {
		return nil
	}
	return &conditions[at]
}

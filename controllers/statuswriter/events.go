// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package statuswriter

// This file finds the transitions between two statuses that are worth an event.
// Pure but for emit.

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// transition is a change of a condition that is worth an event.
type transition struct {
	eventType string // Normal or Warning
	reason    string
	message   string
	condition string // its type
}

// emit emits an event for each transition, once the status that contains it is
// written. Its reason is the condition's, its action the condition's type.
func (w *Writer) emit(about client.Object, kind string, written update) {
	rule := routeTransition
	if kind == kindProxy {
		rule = proxyTransition
	}
	for _, t := range transitions(written.before, written.after, rule) {
		w.recorder.record(about, kind, t)
	}
}

// transitions returns the transitions between two statuses. Two conditions with
// the same reason and message make one event: Ready and SunsetPassed both report
// the end of a route.
func transitions(before, after []metav1.Condition, rule transitionRule) []transition {
	var found []transition
	for i := range after {
		t, is := rule(meta.FindStatusCondition(before, after[i].Type), &after[i])
		if !is {
			continue
		}
		t.condition = after[i].Type
		same := slices.IndexFunc(found, func(o transition) bool { return o.reason == t.reason && o.message == t.message })
		if same < 0 {
			found = append(found, t)
			continue
		}
		found[same].condition = t.condition
	}
	return found
}

// transitionRule decides whether a condition's change is worth an event. before
// is nil when the condition is new.
type transitionRule func(before, after *metav1.Condition) (transition, bool)

// proxyTransition leaves out the acknowledgement of each change of any route.
func proxyTransition(before, after *metav1.Condition) (transition, bool) {
	if before != nil && before.Reason == callbackv1alpha1.ReasonPending && after.Status == metav1.ConditionTrue {
		return transition{}, false
	}
	return routeTransition(before, after)
}

func routeTransition(before, after *metav1.Condition) (transition, bool) {
	t := transition{eventType: corev1.EventTypeNormal, reason: after.Reason, message: after.Message}
	changed, isFalse := isOther(before, after), after.Status == metav1.ConditionFalse
	if isFalse {
		t.eventType = corev1.EventTypeWarning
	}
	switch after.Type {
	case callbackv1alpha1.ConditionAccepted, callbackv1alpha1.ConditionResolvedRefs, callbackv1alpha1.ConditionBackendsHealthy:
		if after.Status == metav1.ConditionUnknown {
			t.message = noneUnhealthy
		}
		return t, isFalse && changed || !isFalse && hasRecovered(before, after)
	case callbackv1alpha1.ConditionProgrammed:
		if isFalse {
			return t, changed && isReportable(after.Reason)
		}
		// Each generation that all instances serve is worth an event: it records when
		// a migration took its step. A new route that works is not.
		return t, before != nil && (changed || before.ObservedGeneration != after.ObservedGeneration)
	case callbackv1alpha1.ConditionReady:
		// The sunset may have passed long before callbacks are rejected: a hold ends,
		// or afterSunset changes.
		t.eventType = corev1.EventTypeWarning
		return t, changed && after.Reason == callbackv1alpha1.ReasonSunsetPassed
	}
	return temporaryTransition(t, before, after)
}

// temporaryTransition is routeTransition of the conditions that are not always
// present.
func temporaryTransition(t transition, before, after *metav1.Condition) (transition, bool) {
	changed := isOther(before, after)
	switch after.Type {
	case callbackv1alpha1.ConditionDeprecated:
		return t, changed
	case callbackv1alpha1.ConditionSunsetHeld:
		return t, changed || after.Status == metav1.ConditionTrue && before.Message != after.Message
	case callbackv1alpha1.ConditionSunsetPassed, callbackv1alpha1.ConditionClockSuspect,
		callbackv1alpha1.ConditionForwardingSuspect, callbackv1alpha1.ConditionLoginsLooping:
		t.eventType = corev1.EventTypeWarning
		return t, changed
	case callbackv1alpha1.ConditionSunsetApproaching:
		t.eventType = corev1.EventTypeWarning
		return t, changed || warningOf(before) != warningOf(after)
	}
	return transition{}, false
}

// isReportable leaves out of the reasons of Programmed the one that each change
// has at first, and the one that another condition reports.
func isReportable(reason string) bool {
	return reason != callbackv1alpha1.ReasonPending && reason != callbackv1alpha1.ReasonNotAccepted
}

func isOther(before, after *metav1.Condition) bool {
	return before == nil || before.Status != after.Status || before.Reason != after.Reason
}

// noneUnhealthy is the message of the recovery of backends that nothing measures:
// their condition is Unknown again.
const noneUnhealthy = "no backend is known to be unhealthy any more"

// hasRecovered returns whether a problem ended. A problem that is not checked any
// more may persist.
func hasRecovered(before, after *metav1.Condition) bool {
	return before != nil && before.Status == metav1.ConditionFalse &&
		after.Reason != callbackv1alpha1.ReasonNotAccepted && after.Reason != callbackv1alpha1.ReasonSunsetPassed
}

// warningOf returns the part of SunsetApproaching's message that names the sunset
// and the warning. It changes with each warning, and when the sunset moves.
func warningOf(c *metav1.Condition) string {
	text, _, _ := strings.Cut(c.Message, ": ")
	return text
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
)

// transition is a change of a condition that is worth an event.
type transition struct {
	kind      string // Normal or Warning
	reason    string
	message   string
	condition string // its type
	// identity tells it from other transitions of the object's conditions. It
	// follows from what is stored, so that whoever tells it again knows it.
	identity string
	// since is when it happened, as far as that is stored.
	since time.Time
}

// maxNoteBytes is what the API allows in an event. One that is longer would be
// lost.
const maxNoteBytes = 1024

// retellAge is how old a transition may be that a manager tells again when it
// begins: as long as another one may take to come, and less than events live.
const retellAge = 10 * time.Minute

// teller writes the events of an object. One that was written before is not
// written twice.
type teller interface {
	tell(about *corev1.ObjectReference, t transition)
}

// emit sends an event for each transition, once the status that holds it is
// written. Its reason is the condition's, its action the condition's type.
func (r *Reconciler) emit(kind schema.GroupVersionKind, object client.Object, before, after []metav1.Condition, news newsRule) {
	for _, t := range transitions(before, after, news) {
		r.Recorder.tell(reference(kind, object), t)
	}
}

// retell sends the events of the last transitions of a fleet once more, in the
// first pass over it: the manager before may have ended between a status and its
// event. Most were written, and are not written again. Recoveries, and that a
// generation is served, cannot be told from what was so from the start.
func (r *Reconciler) retell(s *compile.Snapshot, now time.Time) {
	r.mu.Lock()
	_, done := r.retold[s.Key]
	if r.retold == nil {
		r.retold = map[types.NamespacedName]struct{}{}
	}
	r.retold[s.Key] = struct{}{}
	r.mu.Unlock()
	if done {
		return
	}
	again := func(kind schema.GroupVersionKind, object client.Object, conditions []metav1.Condition, news newsRule) {
		for _, t := range transitions(nil, conditions, news) {
			if now.Sub(t.since) < retellAge {
				r.Recorder.tell(reference(kind, object), t)
			}
		}
	}
	again(kindProxy, s.Proxy, s.Proxy.Status.Conditions, proxyNews)
	for i := range s.Routes {
		again(kindRoute, s.Routes[i].Object, s.Routes[i].Object.Status.Conditions, routeNews)
	}
}

func reference(kind schema.GroupVersionKind, object client.Object) *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion:      kind.GroupVersion().String(),
		Kind:            kind.Kind,
		Namespace:       object.GetNamespace(),
		Name:            object.GetName(),
		UID:             object.GetUID(),
		ResourceVersion: object.GetResourceVersion(),
	}
}

// transitions returns what is news in a status. What two conditions say in the
// same words is said once: that a route has ended is said by Ready and by
// SunsetPassed, if it does not end later than its sunset. Pure.
func transitions(before, after []metav1.Condition, news newsRule) []transition {
	var told []transition
	for i := range after {
		t, is := news(find(before, after[i].Type), &after[i])
		if !is {
			continue
		}
		t.condition, t.identity, t.since = after[i].Type, transitionID(&after[i]), since(&after[i])
		same := slices.IndexFunc(told, func(o transition) bool { return o.reason == t.reason && o.message == t.message })
		if same < 0 {
			told = append(told, t)
			continue
		}
		told[same].condition = t.condition
		if t.since.After(told[same].since) {
			told[same].since = t.since
		}
	}
	return told
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
	t := transition{kind: corev1.EventTypeNormal, reason: after.Reason, message: after.Message}
	changed, isFalse := isOther(before, after), after.Status == metav1.ConditionFalse
	if isFalse {
		t.kind = corev1.EventTypeWarning
	}
	switch after.Type {
	case callbackv1alpha1.ConditionAccepted, callbackv1alpha1.ConditionResolvedRefs, callbackv1alpha1.ConditionBackendsHealthy:
		if after.Status == metav1.ConditionUnknown {
			t.message = nothingUnhealthy
		}
		return t, isFalse && changed || !isFalse && recovered(before, after)
	case callbackv1alpha1.ConditionProgrammed:
		if isFalse {
			return t, changed && isWorthSaying(after.Reason)
		}
		// Each generation that is served everywhere is news: it is the record of
		// when a migration took its step. That a new route works is none.
		return t, before != nil && (changed || before.ObservedGeneration != after.ObservedGeneration)
	case callbackv1alpha1.ConditionReady:
		// The sunset may have passed long before callbacks are rejected: a hold is
		// taken away, or afterSunset changed.
		return t, changed && isFalse && after.Reason == callbackv1alpha1.ReasonSunsetPassed
	}
	return passingNews(t, before, after)
}

// passingNews is routeNews of the conditions that are not always there.
func passingNews(t transition, before, after *metav1.Condition) (transition, bool) {
	changed := isOther(before, after)
	switch after.Type {
	case callbackv1alpha1.ConditionDeprecated:
		return t, changed
	case callbackv1alpha1.ConditionSunsetHeld:
		return t, changed || after.Status == metav1.ConditionTrue && before.Message != after.Message
	case callbackv1alpha1.ConditionSunsetPassed, callbackv1alpha1.ConditionClockSuspect:
		t.kind = corev1.EventTypeWarning
		return t, changed
	case callbackv1alpha1.ConditionSunsetApproaching:
		t.kind = corev1.EventTypeWarning
		return t, changed || warning(before) != warning(after)
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

// nothingUnhealthy is the good news of backends that nobody measures: their
// condition is Unknown again.
const nothingUnhealthy = "no backend is known to be unhealthy any more"

// recovered says whether what was wrong is so no more. What is not looked at
// any more may be as wrong as before.
func recovered(before, after *metav1.Condition) bool {
	return before != nil && before.Status == metav1.ConditionFalse &&
		after.Reason != callbackv1alpha1.ReasonNotAccepted && after.Reason != callbackv1alpha1.ReasonSunsetPassed
}

// warning is what SunsetApproaching says of the time: which sunset, and which of
// the warnings. It changes with each of them, and when the time is moved; what
// is said of a hold behind it is told by SunsetHeld.
func warning(c *metav1.Condition) string {
	text, _, _ := strings.Cut(c.Message, ": ")
	return text
}

// transitionID tells a condition's transition from its others. A warning is the
// same one if the condition was away for a while.
func transitionID(c *metav1.Condition) string {
	when := c.LastTransitionTime.UTC().Format(time.RFC3339)
	switch {
	case c.Type == callbackv1alpha1.ConditionSunsetApproaching:
		when = warning(c)
	case c.Type == callbackv1alpha1.ConditionSunsetHeld && c.Status == metav1.ConditionTrue:
		when += " " + c.Message
	case c.Type == callbackv1alpha1.ConditionProgrammed && c.Status == metav1.ConditionTrue:
		when += fmt.Sprintf(" %d", c.ObservedGeneration)
	}
	return c.Type + " " + c.Reason + " " + when
}

// since is when a condition came to say what it says: each warning says when
// itself, and changes no status.
func since(c *metav1.Condition) time.Time {
	at := c.LastTransitionTime.Time
	var end string
	var days int
	if _, err := fmt.Sscanf(warning(c), "sunsetTime %s is %d day", &end, &days); err == nil {
		if warned, err := time.Parse(time.RFC3339, end); err == nil && warned.AddDate(0, 0, -days).After(at) {
			at = warned.AddDate(0, 0, -days)
		}
	}
	return at
}

func find(conditions []metav1.Condition, kind string) *metav1.Condition {
	at := slices.IndexFunc(conditions, func(c metav1.Condition) bool { return c.Type == kind })
	if at < 0 {
		return nil
	}
	return &conditions[at]
}

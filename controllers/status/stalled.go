// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

// stalled.go computes the condition Stalled: a refusal that waiting does not end.
// kstatus (Flux, Helm 4) reports such an object as Failed.
//
//	Invalid                                          at once
//	Undecodable, a broken policy, a backend that     after stalledAfter without a
//	the proxy never uses, a fleet that cannot run    change of reason or generation
//	everything else                                  never: another object ends it

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
)

// stalledAfter gives objects that are applied together, such as a grant and a
// route, the time to arrive in any order.
const stalledAfter = time.Minute

// stallingReasons lead to Stalled after stalledAfter.
var stallingReasons = []string{
	callbackv1alpha1.ReasonUndecodable,
	callbackv1alpha1.ReasonHostNotAllowed,
	callbackv1alpha1.ReasonQuotaExceeded,
	callbackv1alpha1.ReasonLifetimeExceedsPolicy,
	callbackv1alpha1.ReasonAfterSunsetNotAllowed,
	callbackv1alpha1.ReasonOwnerRequired,
	callbackv1alpha1.ReasonInvalidBackend,
	callbackv1alpha1.ReasonUnsupportedProtocol,
	callbackv1alpha1.ReasonNamespaceNotManaged,
	callbackv1alpha1.ReasonNameTaken,
}

// addStalled adds the condition Stalled when the refusal of Accepted or
// ResolvedRefs is old enough.
func addStalled(set *conditionSet) {
	refusal, at := findStalling(set.conditions)
	if refusal != nil && !set.now.Before(at) {
		set.add(callbackv1alpha1.ConditionStalled, compile.True(refusal.Reason, "%s", refusal.Message))
	}
}

// findStalling returns the refusal that leads to Stalled, and the time from which
// on it does; nil without one.
func findStalling(conditions []metav1.Condition) (refusal *metav1.Condition, at time.Time) {
	for _, kind := range []string{callbackv1alpha1.ConditionAccepted, callbackv1alpha1.ConditionResolvedRefs} {
		c := meta.FindStatusCondition(conditions, kind)
		switch {
		case c == nil || c.Status != metav1.ConditionFalse:
		case c.Reason == callbackv1alpha1.ReasonInvalid:
			return c, c.LastTransitionTime.Time
		case slices.Contains(stallingReasons, c.Reason):
			return c, c.LastTransitionTime.Add(stalledAfter)
		}
	}
	return nil, time.Time{}
}

// NextStalled returns the time at which an object becomes Stalled, though no object
// and no report changes; zero when it is already, or never will be.
func NextStalled(conditions []metav1.Condition, now time.Time) time.Time {
	if refusal, at := findStalling(conditions); refusal != nil && now.Before(at) {
		return at
	}
	return time.Time{}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

// conditions.go turns findings into conditions with transition times.

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
)

// maxMessageBytes is less than the API server allows in a condition.
const maxMessageBytes = 4096

// conditionSet collects conditions. A condition whose status does not change
// keeps its transition time. A refusal by Accepted or ResolvedRefs that gets another
// reason, or concerns another generation, is a transition too: Stalled counts from
// it.
type conditionSet struct {
	generation int64
	previous   []metav1.Condition
	now        time.Time
	conditions []metav1.Condition
}

func (s *conditionSet) add(kind string, f compile.Finding) {
	condition := s.build(kind, f)
	if before := meta.FindStatusCondition(s.previous, kind); before != nil && !isTransition(before, &condition) {
		condition.LastTransitionTime = before.LastTransitionTime
	}
	s.conditions = append(s.conditions, condition)
}

func isTransition(before, after *metav1.Condition) bool {
	if before.Status != after.Status {
		return true
	}
	isRefusal := after.Status == metav1.ConditionFalse &&
		(after.Type == callbackv1alpha1.ConditionAccepted || after.Type == callbackv1alpha1.ConditionResolvedRefs)
	return isRefusal && (before.Reason != after.Reason || before.ObservedGeneration != after.ObservedGeneration)
}

// addSince adds a condition whose transition time is known.
func (s *conditionSet) addSince(kind string, f compile.Finding, since time.Time) {
	condition := s.build(kind, f)
	condition.LastTransitionTime = metav1.NewTime(since.UTC().Truncate(time.Second))
	s.conditions = append(s.conditions, condition)
}

func (s *conditionSet) build(kind string, f compile.Finding) metav1.Condition {
	condition := metav1.Condition{
		Type:               kind,
		Status:             metav1.ConditionFalse,
		ObservedGeneration: s.generation,
		LastTransitionTime: metav1.NewTime(s.now.UTC().Truncate(time.Second)),
		Reason:             f.Reason,
		Message:            compile.Clip(f.Message, maxMessageBytes),
	}
	switch {
	case f.OK:
		condition.Status = metav1.ConditionTrue
	case f.Unknown:
		condition.Status = metav1.ConditionUnknown
	}
	return condition
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

// conditions.go turns findings into conditions with transition times.

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/callbackproxy/callback-operator/controllers/compile"
)

// conditionSet collects conditions. A condition whose status does not change
// keeps its transition time. A refusal (addRefusable) that gets another reason, or
// concerns another generation, is a transition too: Stalled counts from it.
type conditionSet struct {
	generation int64
	previous   []metav1.Condition
	now        time.Time
	conditions []metav1.Condition
}

func (s *conditionSet) add(kind string, f compile.Finding) {
	condition := s.build(kind, f)
	if before := find(s.previous, kind); before != nil && before.Status == condition.Status {
		condition.LastTransitionTime = before.LastTransitionTime
	}
	s.conditions = append(s.conditions, condition)
}

func (s *conditionSet) addRefusable(kind string, f compile.Finding) {
	condition := s.build(kind, f)
	before := find(s.previous, kind)
	if before != nil && before.Status == condition.Status && (condition.Status != metav1.ConditionFalse ||
		before.Reason == condition.Reason && before.ObservedGeneration == condition.ObservedGeneration) {
		condition.LastTransitionTime = before.LastTransitionTime
	}
	s.conditions = append(s.conditions, condition)
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
		Message:            bounded(f.Message),
	}
	switch {
	case f.OK:
		condition.Status = metav1.ConditionTrue
	case f.Unknown:
		condition.Status = metav1.ConditionUnknown
	}
	return condition
}

// find returns the condition of a type; nil when there is none.
func find(conditions []metav1.Condition, kind string) *metav1.Condition {
	for i := range conditions {
		if conditions[i].Type == kind {
			return &conditions[i]
		}
	}
	return nil
}

// bounded returns a message that the API server accepts and stores unchanged.
// A message that the API server changes would be written again by every pass.
func bounded(message string) string {
	const most = 4096
	return strings.ToValidUTF8(message[:min(len(message), most)], "")
}

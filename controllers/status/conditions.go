// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

// conditions.go turns findings into conditions with transition times.

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/callbackproxy/callback-operator/controllers/compile"
)

// conditionSet collects conditions. A condition whose status does not change
// keeps its transition time.
type conditionSet struct {
	generation int64
	previous   []metav1.Condition
	now        time.Time
	conditions []metav1.Condition
}

func (s *conditionSet) add(kind string, f compile.Finding) {
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
	at := slices.IndexFunc(s.previous, func(c metav1.Condition) bool { return c.Type == kind })
	if at >= 0 && s.previous[at].Status == condition.Status {
		condition.LastTransitionTime = s.previous[at].LastTransitionTime
	}
	s.conditions = append(s.conditions, condition)
}

// bounded returns a message that the API server accepts and stores unchanged.
// A message that the API server changes would be written again by every pass.
func bounded(message string) string {
	const most = 4096
	return strings.ToValidUTF8(message[:min(len(message), most)], "")
}

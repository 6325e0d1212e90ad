// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expect

// status.go: the rules for the conditions of both kinds.

import (
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// status is the common part of both kinds.
type status struct {
	generation, observed int64
	conditions           []metav1.Condition
}

func statusOf(generation, observed int64, conditions []metav1.Condition) status {
	return status{generation: generation, observed: observed, conditions: conditions}
}

func (s status) find(kind string) *metav1.Condition {
	at := slices.IndexFunc(s.conditions, func(c metav1.Condition) bool { return c.Type == kind })
	if at < 0 {
		return nil
	}
	return &s.conditions[at]
}

func (s status) isTrue(kind string) bool {
	c := s.find(kind)
	return c != nil && c.Status == metav1.ConditionTrue
}

func (s status) reason(kind string) string {
	if c := s.find(kind); c != nil {
		return c.Reason
	}
	return ""
}

// unwritten is the observedGeneration before the first write: the schema's
// default.
const unwritten = -1

// isUnwritten reports whether the status is only the schema's default.
func (s status) isUnwritten() bool { return s.observed == unwritten && len(s.conditions) == 0 }

// isCurrent: the status describes the present generation.
func (s status) isCurrent() error {
	if s.observed != s.generation {
		return fmt.Errorf("observedGeneration is %d, the generation is %d", s.observed, s.generation)
	}
	return nil
}

// isWellFormed: each condition is present once, describes the generation of the
// whole status, and has a reason that fits its status and a message. No
// generation lies in the future.
func (s status) isWellFormed(known reasons) error {
	var errs []error
	if s.observed < 1 || s.observed > s.generation {
		errs = append(errs, fmt.Errorf("observedGeneration is %d, and the generation %d", s.observed, s.generation))
	}
	seen := map[string]bool{}
	for _, c := range s.conditions {
		byStatus, exists := known[c.Type]
		allowed, ruled := byStatus[c.Status]
		switch {
		case !exists:
			errs = append(errs, fmt.Errorf("unknown condition %s", c.Type))
		case seen[c.Type]:
			errs = append(errs, fmt.Errorf("condition %s is present twice", c.Type))
		case c.Type == callbackv1alpha1.ConditionReady && c.Status == metav1.ConditionFalse:
			// It repeats the reason of another condition.
		case !ruled:
			errs = append(errs, fmt.Errorf("condition %s is %s", c.Type, c.Status))
		case !slices.Contains(allowed, c.Reason):
			errs = append(errs, fmt.Errorf("condition %s is %s with reason %q", c.Type, c.Status, c.Reason))
		}
		seen[c.Type] = true
		if c.ObservedGeneration != s.observed {
			errs = append(errs, fmt.Errorf("condition %s describes generation %d, the status %d", c.Type, c.ObservedGeneration, s.observed))
		}
		if c.Message == "" || c.LastTransitionTime.IsZero() {
			errs = append(errs, fmt.Errorf("condition %s lacks a message or a time", c.Type))
		}
	}
	return errors.Join(errs...)
}

func (s status) has(kinds ...string) error {
	for _, kind := range kinds {
		if s.find(kind) == nil {
			return fmt.Errorf("condition %s is missing", kind)
		}
	}
	return nil
}

// readyNeeds: Ready is True only if all of these are.
func (s status) readyNeeds(kinds ...string) error {
	for _, kind := range kinds {
		if s.isTrue(callbackv1alpha1.ConditionReady) && !s.isTrue(kind) {
			return fmt.Errorf("condition Ready is True, and %s is not", kind)
		}
	}
	return nil
}

// stalledHasACause: Stalled repeats a refusal, a stalled object is not ready, and
// one that is invalid is stalled at once.
func (s status) stalledHasACause() error {
	stalled := s.find(callbackv1alpha1.ConditionStalled)
	if stalled == nil {
		if s.reason(callbackv1alpha1.ConditionAccepted) == callbackv1alpha1.ReasonInvalid {
			return errors.New("invalid, and not stalled")
		}
		return nil
	}
	if s.isTrue(callbackv1alpha1.ConditionReady) {
		return errors.New("stalled and ready")
	}
	for _, kind := range []string{callbackv1alpha1.ConditionAccepted, callbackv1alpha1.ConditionResolvedRefs} {
		if c := s.find(kind); c != nil && c.Status == metav1.ConditionFalse && c.Reason == stalled.Reason && c.Message == stalled.Message {
			return nil
		}
	}
	return fmt.Errorf("stalled with reason %s, and no refusal explains it", stalled.Reason)
}

// readyHasACause: Ready that is not True repeats the reason and the message
// of a condition that explains it.
func (s status) readyHasACause() error {
	ready := s.find(callbackv1alpha1.ConditionReady)
	if ready == nil || ready.Status == metav1.ConditionTrue {
		return nil
	}
	for _, c := range s.conditions {
		explains := c.Status != metav1.ConditionTrue || c.Type == callbackv1alpha1.ConditionSunsetPassed
		if c.Type != callbackv1alpha1.ConditionReady && explains && c.Reason == ready.Reason && c.Message == ready.Message {
			return nil
		}
	}
	return fmt.Errorf("condition Ready is %s with reason %s, and no condition explains it", ready.Status, ready.Reason)
}

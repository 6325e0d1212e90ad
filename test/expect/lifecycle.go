// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expect

// lifecycle.go: the rules for deprecation, sunset and hold.

import (
	"errors"
	"fmt"
	"strings"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// endComesOnce: a sunset that has passed does not approach, and is the reason of
// Ready only then.
func endComesOnce(s status) error {
	passed := s.find(callbackv1alpha1.ConditionSunsetPassed) != nil
	switch {
	case passed && s.find(callbackv1alpha1.ConditionSunsetApproaching) != nil:
		return errors.New("the sunset has passed and approaches")
	case !passed && s.reason(callbackv1alpha1.ConditionReady) == callbackv1alpha1.ReasonSunsetPassed:
		return errors.New("the condition Ready has reason SunsetPassed before the sunset")
	}
	return nil
}

// endIsReported: after a sunset that rejects callbacks, Ready has reason
// SunsetPassed: it is True after a planned end, once all instances follow, and
// False after one that lay in the past. A route that keeps serving is ready as
// any other, and one with a deprecationTime is deprecated then.
func endIsReported(route *callbackv1alpha1.CallbackRoute, s status) error {
	passed := s.find(callbackv1alpha1.ConditionSunsetPassed)
	if err := deprecationIsReported(route, s); err != nil || passed == nil {
		return err
	}
	rejects := route.Spec.AfterSunset != callbackv1alpha1.AfterSunsetServe && !s.isTrue(callbackv1alpha1.ConditionSunsetHeld)
	planned := !passed.LastTransitionTime.After(route.Spec.SunsetTime.Time)
	ready, isReady := s.reason(callbackv1alpha1.ConditionReady), s.isTrue(callbackv1alpha1.ConditionReady)
	ended := ready == callbackv1alpha1.ReasonSunsetPassed
	pending := planned && !isReady && ready == s.reason(callbackv1alpha1.ConditionProgrammed)
	switch {
	case rejects && !ended && !pending:
		return errors.New("the sunset has passed and callbacks are rejected, and Ready has another reason")
	case rejects && ended && planned != isReady:
		return fmt.Errorf("the end was planned: %t, and Ready is True: %t", planned, isReady)
	case ended && !rejects:
		return errors.New("the condition Ready has reason SunsetPassed, and callbacks are served")
	}
	return nil
}

func deprecationIsReported(route *callbackv1alpha1.CallbackRoute, s status) error {
	deprecated := s.find(callbackv1alpha1.ConditionDeprecated) != nil
	switch {
	case deprecated && route.Spec.DeprecationTime == nil:
		return errors.New("deprecated without a deprecationTime")
	case !deprecated && route.Spec.DeprecationTime != nil && s.find(callbackv1alpha1.ConditionSunsetPassed) != nil:
		return errors.New("past the sunset and not deprecated")
	}
	return nil
}

// holdIsReported: SunsetHeld is present exactly while an accepted route has the
// annotation, and repeats its reason when it has an effect.
func holdIsReported(route *callbackv1alpha1.CallbackRoute, s status) error {
	held := s.find(callbackv1alpha1.ConditionSunsetHeld)
	text, annotated := route.Annotations[callbackv1alpha1.HoldAnnotation]
	reason := strings.TrimSpace(text)
	switch {
	case held == nil && annotated && s.isTrue(callbackv1alpha1.ConditionAccepted):
		return errors.New("the annotation that holds the sunset is present, and SunsetHeld is not")
	case held == nil:
		return nil
	case !annotated:
		return errors.New("the sunset is held without the annotation")
	case held.Reason == callbackv1alpha1.ReasonHoldWithoutReason:
		return nil
	case reason == "":
		return fmt.Errorf("the annotation has no reason, and SunsetHeld has reason %s", held.Reason)
	case !strings.Contains(held.Message, reason):
		return errors.New("the sunset is held, and the message does not repeat the reason")
	}
	return nil
}

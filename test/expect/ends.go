// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expect

import (
	"errors"
	"fmt"
	"strings"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// endComesOnce: a sunset that has passed approaches no more, and only one that
// has passed is to blame.
func endComesOnce(s status) error {
	passed := s.find(callbackv1alpha1.ConditionSunsetPassed) != nil
	switch {
	case passed && s.find(callbackv1alpha1.ConditionSunsetApproaching) != nil:
		return errors.New("the sunset has passed and approaches")
	case !passed && s.reason(callbackv1alpha1.ConditionReady) == callbackv1alpha1.ReasonSunsetPassed:
		return errors.New("the condition Ready names a sunset that has not passed")
	}
	return nil
}

// endIsTold: a route past its sunset is Ready with reason SunsetPassed if the end
// was planned, and not Ready with that reason if it was not. It is Ready as any
// other route only if it keeps serving. One with a deprecationTime is deprecated
// by then.
func endIsTold(route *callbackv1alpha1.CallbackRoute, s status) error {
	if s.find(callbackv1alpha1.ConditionDeprecated) != nil && route.Spec.DeprecationTime == nil {
		return errors.New("deprecated without a deprecationTime")
	}
	passed := s.find(callbackv1alpha1.ConditionSunsetPassed)
	if passed == nil {
		return nil
	}
	rejects := route.Spec.AfterSunset != callbackv1alpha1.AfterSunsetServe && !s.isTrue(callbackv1alpha1.ConditionSunsetHeld)
	planned := !passed.LastTransitionTime.After(route.Spec.SunsetTime.Time)
	ready := s.reason(callbackv1alpha1.ConditionReady)
	named := ready == callbackv1alpha1.ReasonSunsetPassed
	pending := planned && !s.isTrue(callbackv1alpha1.ConditionReady) && ready == s.reason(callbackv1alpha1.ConditionProgrammed)
	switch {
	case rejects && !named && !pending:
		return errors.New("the sunset has passed and callbacks are rejected, and Ready has another reason")
	case rejects && named && planned != s.isTrue(callbackv1alpha1.ConditionReady):
		return fmt.Errorf("the end was planned: %t, and Ready disagrees", planned)
	case named && !rejects:
		return errors.New("the condition Ready names a sunset that changes nothing")
	case route.Spec.DeprecationTime != nil && s.find(callbackv1alpha1.ConditionDeprecated) == nil:
		return errors.New("past the sunset and not deprecated")
	}
	return nil
}

// holdIsTold: SunsetHeld is there exactly while an accepted route has the
// annotation, and repeats its reason when it has an effect.
func holdIsTold(route *callbackv1alpha1.CallbackRoute, s status) error {
	held := s.find(callbackv1alpha1.ConditionSunsetHeld)
	text, annotated := route.Annotations[callbackv1alpha1.HoldAnnotation]
	reason := strings.TrimSpace(text)
	switch {
	case held == nil && annotated && s.isTrue(callbackv1alpha1.ConditionAccepted):
		return errors.New("the annotation that holds the sunset is there, and no condition speaks of it")
	case held == nil:
		return nil
	case !annotated:
		return errors.New("the sunset is held without the annotation")
	case held.Reason == callbackv1alpha1.ReasonHoldWithoutReason:
		return nil
	case reason == "":
		return fmt.Errorf("the annotation gives no reason, and SunsetHeld has reason %s", held.Reason)
	case !strings.Contains(held.Message, reason):
		return errors.New("the sunset is held, and the reason is not repeated")
	}
	return nil
}

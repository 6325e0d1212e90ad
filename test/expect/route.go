// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package expect says what must hold of every status, whoever wrote it and
// whatever it is about: that it does not contradict itself. Pure; errors name
// the contradiction.
package expect

import (
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// routeReasons are the reasons that each condition of a CallbackRoute may
// have, by status.
var routeReasons = reasons{
	callbackv1alpha1.ConditionAccepted: {
		metav1.ConditionTrue: {callbackv1alpha1.ReasonAccepted},
		metav1.ConditionFalse: {
			callbackv1alpha1.ReasonInvalid, callbackv1alpha1.ReasonUndecodable, callbackv1alpha1.ReasonProxyNotFound,
			callbackv1alpha1.ReasonHostNotAllowed, callbackv1alpha1.ReasonConflict, callbackv1alpha1.ReasonLifetimeExceedsPolicy,
			callbackv1alpha1.ReasonAfterSunsetNotAllowed, callbackv1alpha1.ReasonOwnerRequired,
		},
	},
	callbackv1alpha1.ConditionResolvedRefs: {
		metav1.ConditionTrue: {callbackv1alpha1.ReasonResolvedRefs},
		metav1.ConditionFalse: {
			callbackv1alpha1.ReasonBackendNotFound, callbackv1alpha1.ReasonRefNotPermitted, callbackv1alpha1.ReasonInvalidBackend,
		},
		metav1.ConditionUnknown: {callbackv1alpha1.ReasonNotAccepted},
	},
	callbackv1alpha1.ConditionProgrammed: {
		metav1.ConditionTrue: {callbackv1alpha1.ReasonProgrammed},
		metav1.ConditionFalse: {
			callbackv1alpha1.ReasonPending, callbackv1alpha1.ReasonNoReadyInstances, callbackv1alpha1.ReasonNotAccepted,
			callbackv1alpha1.ReasonRefusedByProxy,
		},
	},
	callbackv1alpha1.ConditionReady: {
		metav1.ConditionTrue: {callbackv1alpha1.ReasonReady},
		// False has the reason of what stands in the way; see readyHasACause.
	},
	callbackv1alpha1.ConditionDeprecated:   {metav1.ConditionTrue: {callbackv1alpha1.ReasonDeprecated}},
	callbackv1alpha1.ConditionSunsetPassed: {metav1.ConditionTrue: {callbackv1alpha1.ReasonSunsetPassed}},
}

// ConsistentRoute returns why the status of a CallbackRoute contradicts
// itself or its spec; nil when it does not.
func ConsistentRoute(route *callbackv1alpha1.CallbackRoute) error {
	s := statusOf(route.Generation, route.Status.ObservedGeneration, route.Status.Conditions)
	errs := []error{
		s.isWellFormed(routeReasons),
		s.has(callbackv1alpha1.ConditionAccepted, callbackv1alpha1.ConditionResolvedRefs,
			callbackv1alpha1.ConditionProgrammed, callbackv1alpha1.ConditionReady),
		s.readyNeeds(callbackv1alpha1.ConditionAccepted, callbackv1alpha1.ConditionResolvedRefs, callbackv1alpha1.ConditionProgrammed),
		s.readyHasACause(),
		notAcceptedIsNowhere(s),
		endIsTold(route, s),
		countsAgree(route.Status.Proxies, s),
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("status of CallbackRoute %s/%s: %w", route.Namespace, route.Name, err)
	}
	return nil
}

// notAcceptedIsNowhere: a route that is not accepted was not looked at any
// further, is no part of the config, and has no phase.
func notAcceptedIsNowhere(s status) error {
	if s.isTrue(callbackv1alpha1.ConditionAccepted) {
		if s.reason(callbackv1alpha1.ConditionResolvedRefs) == callbackv1alpha1.ReasonNotAccepted ||
			s.reason(callbackv1alpha1.ConditionProgrammed) == callbackv1alpha1.ReasonNotAccepted {
			return errors.New("accepted, and a condition says that it is not")
		}
		return nil
	}
	if s.reason(callbackv1alpha1.ConditionResolvedRefs) != callbackv1alpha1.ReasonNotAccepted ||
		s.reason(callbackv1alpha1.ConditionProgrammed) != callbackv1alpha1.ReasonNotAccepted {
		return errors.New("not accepted, and a condition does not know it")
	}
	if s.reason(callbackv1alpha1.ConditionReady) != s.reason(callbackv1alpha1.ConditionAccepted) {
		return errors.New("not accepted, and Ready gives another reason")
	}
	if s.find(callbackv1alpha1.ConditionDeprecated) != nil || s.find(callbackv1alpha1.ConditionSunsetPassed) != nil {
		return errors.New("not accepted, and its end is told")
	}
	return nil
}

// endIsTold: a route past its sunset is ready only if it keeps serving.
func endIsTold(route *callbackv1alpha1.CallbackRoute, s status) error {
	if s.find(callbackv1alpha1.ConditionDeprecated) != nil && route.Spec.DeprecationTime == nil {
		return errors.New("deprecated without a deprecationTime")
	}
	passed := s.find(callbackv1alpha1.ConditionSunsetPassed) != nil
	rejects := route.Spec.AfterSunset != callbackv1alpha1.AfterSunsetWarn
	blamed := s.reason(callbackv1alpha1.ConditionReady) == callbackv1alpha1.ReasonSunsetPassed
	switch {
	case passed && rejects && !blamed:
		return errors.New("the sunset has passed and callbacks are rejected, and Ready says otherwise")
	case blamed && !(passed && rejects):
		return errors.New("the condition Ready blames a sunset that has not passed, or that changes nothing")
	case passed && route.Spec.DeprecationTime != nil && s.find(callbackv1alpha1.ConditionDeprecated) == nil:
		return errors.New("past the sunset and not deprecated")
	}
	return nil
}

// countsAgree: programmed <= ready <= total, and all of them exactly when
// Programmed is True.
func countsAgree(counts *callbackv1alpha1.ProxyCounts, s status) error {
	if counts == nil || counts.Total == nil || counts.Ready == nil || counts.Programmed == nil {
		return errors.New("the instances are not counted")
	}
	total, ready, programmed := *counts.Total, *counts.Ready, *counts.Programmed
	if programmed < 0 || programmed > ready || ready > total {
		return fmt.Errorf("counts %d programmed, %d ready, %d in total", programmed, ready, total)
	}
	all := ready > 0 && programmed == ready
	if all != s.isTrue(callbackv1alpha1.ConditionProgrammed) {
		return fmt.Errorf("%d of %d ready instances are programmed, and Programmed says otherwise", programmed, ready)
	}
	if (ready == 0) != (s.reason(callbackv1alpha1.ConditionProgrammed) == callbackv1alpha1.ReasonNoReadyInstances) &&
		s.isTrue(callbackv1alpha1.ConditionAccepted) {
		return fmt.Errorf("%d instances are ready, and Programmed says otherwise", ready)
	}
	return nil
}

// RouteReasons returns every reason that a condition of a CallbackRoute may
// have; nil for a type that a CallbackRoute does not have.
func RouteReasons(condition string) []string { return routeReasons.all(condition) }

// RouteConditions returns the condition types of a CallbackRoute, sorted.
func RouteConditions() []string { return routeReasons.types() }

// ProxyReasons returns every reason that a condition of a CallbackProxy may
// have.
func ProxyReasons(condition string) []string { return proxyReasons.all(condition) }

// ProxyConditions returns the condition types of a CallbackProxy, sorted.
func ProxyConditions() []string { return proxyReasons.types() }

type reasons map[string]map[metav1.ConditionStatus][]string

func (r reasons) all(condition string) []string {
	var all []string
	for _, some := range r[condition] {
		all = append(all, some...)
	}
	slices.Sort(all)
	return all
}

func (r reasons) types() []string {
	var types []string
	for kind := range r {
		types = append(types, kind)
	}
	slices.Sort(types)
	return types
}

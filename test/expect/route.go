// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package expect has the rules that every status must meet: it contradicts
// neither itself nor its object, and tools read it as it is meant. Input: an
// object with its status; output: an error that names each contradiction. Pure.
package expect

// route.go: the rules for the status of a CallbackRoute.

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
			callbackv1alpha1.ReasonHostNotAllowed, callbackv1alpha1.ReasonQuotaExceeded, callbackv1alpha1.ReasonConflict,
			callbackv1alpha1.ReasonLifetimeExceedsPolicy, callbackv1alpha1.ReasonAfterSunsetNotAllowed, callbackv1alpha1.ReasonOwnerRequired,
		},
	},
	callbackv1alpha1.ConditionResolvedRefs: {
		metav1.ConditionTrue: {callbackv1alpha1.ReasonResolvedRefs},
		metav1.ConditionFalse: {
			callbackv1alpha1.ReasonBackendNotFound, callbackv1alpha1.ReasonRefNotPermitted, callbackv1alpha1.ReasonInvalidBackend,
			callbackv1alpha1.ReasonUnsupportedProtocol,
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
	callbackv1alpha1.ConditionBackendsHealthy: {
		metav1.ConditionTrue:    {callbackv1alpha1.ReasonBackendsHealthy},
		metav1.ConditionFalse:   unhealthyReasons,
		metav1.ConditionUnknown: {callbackv1alpha1.ReasonNotMeasured, callbackv1alpha1.ReasonNotAccepted, callbackv1alpha1.ReasonSunsetPassed},
	},
	callbackv1alpha1.ConditionReady: {
		metav1.ConditionTrue: {callbackv1alpha1.ReasonReady, callbackv1alpha1.ReasonSunsetPassed},
		// False has the reason of the condition that prevents it; see readyHasACause.
	},
	callbackv1alpha1.ConditionStalled: {metav1.ConditionTrue: {
		callbackv1alpha1.ReasonInvalid, callbackv1alpha1.ReasonUndecodable, callbackv1alpha1.ReasonHostNotAllowed,
		callbackv1alpha1.ReasonQuotaExceeded, callbackv1alpha1.ReasonLifetimeExceedsPolicy, callbackv1alpha1.ReasonAfterSunsetNotAllowed,
		callbackv1alpha1.ReasonOwnerRequired, callbackv1alpha1.ReasonInvalidBackend, callbackv1alpha1.ReasonUnsupportedProtocol,
	}},
	callbackv1alpha1.ConditionLoginsLooping:     {metav1.ConditionTrue: {callbackv1alpha1.ReasonLoginsLooping}},
	callbackv1alpha1.ConditionDeprecated:        {metav1.ConditionTrue: {callbackv1alpha1.ReasonDeprecated}},
	callbackv1alpha1.ConditionSunsetApproaching: {metav1.ConditionTrue: {callbackv1alpha1.ReasonSunsetApproaching}},
	callbackv1alpha1.ConditionSunsetPassed:      {metav1.ConditionTrue: {callbackv1alpha1.ReasonSunsetPassed}},
	callbackv1alpha1.ConditionSunsetHeld: {
		metav1.ConditionTrue:  {callbackv1alpha1.ReasonSunsetHeld},
		metav1.ConditionFalse: {callbackv1alpha1.ReasonHoldWithoutReason, callbackv1alpha1.ReasonHoldExpired},
	},
}

// ConsistentRoute returns the contradictions in the status of a CallbackRoute, to
// its spec and to its annotations, and the tools that read it otherwise than it
// is meant; nil when there are none. It requires that the status describes the
// present generation.
func ConsistentRoute(route *callbackv1alpha1.CallbackRoute) error {
	s := statusOf(route.Generation, route.Status.ObservedGeneration, route.Status.Conditions)
	return aboutRoute(route, s.isCurrent(), soundRoute(route, s), holdIsReported(route, s))
}

// SoundRoute is the part of ConsistentRoute that holds at any moment, also while
// a write is outstanding: there is no status at all, or one that contradicts
// neither itself nor, when it describes the present generation, the spec.
func SoundRoute(route *callbackv1alpha1.CallbackRoute) error {
	s := statusOf(route.Generation, route.Status.ObservedGeneration, route.Status.Conditions)
	if s.isUnwritten() {
		return aboutRoute(route, ToolsAgree(route))
	}
	return aboutRoute(route, soundRoute(route, s))
}

func soundRoute(route *callbackv1alpha1.CallbackRoute, s status) error {
	errs := []error{
		s.isWellFormed(routeReasons),
		s.has(callbackv1alpha1.ConditionAccepted, callbackv1alpha1.ConditionResolvedRefs, callbackv1alpha1.ConditionProgrammed,
			callbackv1alpha1.ConditionBackendsHealthy, callbackv1alpha1.ConditionReady),
		s.readyNeeds(callbackv1alpha1.ConditionAccepted, callbackv1alpha1.ConditionProgrammed),
		s.readyHasACause(),
		resolvedOrEnded(s),
		s.stalledHasACause(),
		notAcceptedIsNowhere(route, s),
		endComesOnce(s),
		backendsAgree(route, s),
		healthAgrees(route, s),
		trafficAgrees(route, s),
		countsAgree(route.Status.Instances, s),
		ToolsAgree(route),
	}
	if s.isCurrent() == nil {
		errs = append(errs, endIsReported(route, s), backendsAreDeclared(route, s), readyFollowsHealth(route, s))
	}
	return errors.Join(errs...)
}

func aboutRoute(route *callbackv1alpha1.CallbackRoute, errs ...error) error {
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("status of CallbackRoute %s/%s: %w", route.Namespace, route.Name, err)
	}
	return nil
}

// resolvedOrEnded: a route is ready with unresolved backends only after its end.
func resolvedOrEnded(s status) error {
	if s.isTrue(callbackv1alpha1.ConditionReady) && !s.isTrue(callbackv1alpha1.ConditionResolvedRefs) &&
		s.reason(callbackv1alpha1.ConditionReady) != callbackv1alpha1.ReasonSunsetPassed {
		return errors.New("condition Ready is True, and ResolvedRefs is not")
	}
	return nil
}

// notAcceptedIsNowhere: for a route that is not accepted, all further conditions
// have reason NotAccepted; it is no part of the config, and has no phase.
func notAcceptedIsNowhere(route *callbackv1alpha1.CallbackRoute, s status) error {
	further := []string{
		callbackv1alpha1.ConditionResolvedRefs, callbackv1alpha1.ConditionProgrammed, callbackv1alpha1.ConditionBackendsHealthy,
	}
	if s.isTrue(callbackv1alpha1.ConditionAccepted) {
		if slices.ContainsFunc(further, func(kind string) bool { return s.reason(kind) == callbackv1alpha1.ReasonNotAccepted }) {
			return errors.New("accepted, and a condition has reason NotAccepted")
		}
		return nil
	}
	if slices.ContainsFunc(further, func(kind string) bool { return s.reason(kind) != callbackv1alpha1.ReasonNotAccepted }) {
		return errors.New("not accepted, and a condition has another reason than NotAccepted")
	}
	if s.reason(callbackv1alpha1.ConditionReady) != s.reason(callbackv1alpha1.ConditionAccepted) {
		return errors.New("not accepted, and Ready has another reason than Accepted")
	}
	for _, kind := range []string{
		callbackv1alpha1.ConditionLoginsLooping, callbackv1alpha1.ConditionDeprecated, callbackv1alpha1.ConditionSunsetApproaching,
		callbackv1alpha1.ConditionSunsetPassed, callbackv1alpha1.ConditionSunsetHeld,
	} {
		if s.find(kind) != nil {
			return fmt.Errorf("not accepted, and the condition %s is present", kind)
		}
	}
	if route.Status.PrimaryBackend != "" {
		return errors.New("not accepted, and it has a primary backend")
	}
	return nil
}

// countsAgree: programmed <= ready <= total, and all of them exactly when
// Programmed is True.
func countsAgree(counts *callbackv1alpha1.InstanceCounts, s status) error {
	if counts == nil || counts.Total == nil || counts.Ready == nil || counts.Programmed == nil {
		return errors.New("the instances are not counted")
	}
	total, ready, programmed := *counts.Total, *counts.Ready, *counts.Programmed
	if programmed < 0 || programmed > ready || ready > total {
		return fmt.Errorf("counts %d programmed, %d ready, %d in total", programmed, ready, total)
	}
	all := ready > 0 && programmed == ready
	if all != s.isTrue(callbackv1alpha1.ConditionProgrammed) {
		return fmt.Errorf("%d of %d ready instances are programmed, and the condition Programmed contradicts that", programmed, ready)
	}
	if (ready == 0) != (s.reason(callbackv1alpha1.ConditionProgrammed) == callbackv1alpha1.ReasonNoReadyInstances) &&
		s.isTrue(callbackv1alpha1.ConditionAccepted) {
		return fmt.Errorf("%d instances are ready, and the condition Programmed contradicts that", ready)
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

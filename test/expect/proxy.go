// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expect

// proxy.go: the rules for the status of a CallbackProxy.

import (
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// proxyReasons are the reasons that each condition of a CallbackProxy may
// have, by status.
var proxyReasons = reasons{
	callbackv1alpha1.ConditionAccepted: {
		metav1.ConditionTrue: {callbackv1alpha1.ReasonAccepted},
		metav1.ConditionFalse: {
			callbackv1alpha1.ReasonInvalid, callbackv1alpha1.ReasonUndecodable,
			callbackv1alpha1.ReasonNamespaceNotManaged, callbackv1alpha1.ReasonNameTaken,
		},
	},
	callbackv1alpha1.ConditionProgrammed: {
		metav1.ConditionTrue: {callbackv1alpha1.ReasonProgrammed},
		metav1.ConditionFalse: {
			callbackv1alpha1.ReasonPending, callbackv1alpha1.ReasonNoReadyInstances, callbackv1alpha1.ReasonRefusedByProxy,
			callbackv1alpha1.ReasonListenerMismatch, callbackv1alpha1.ReasonNotDeployed, callbackv1alpha1.ReasonNotAccepted,
		},
	},
	callbackv1alpha1.ConditionReady: {
		metav1.ConditionTrue: {callbackv1alpha1.ReasonReady},
	},
	callbackv1alpha1.ConditionStalled: {metav1.ConditionTrue: {
		callbackv1alpha1.ReasonInvalid, callbackv1alpha1.ReasonUndecodable,
		callbackv1alpha1.ReasonNamespaceNotManaged, callbackv1alpha1.ReasonNameTaken,
	}},
	callbackv1alpha1.ConditionClockSuspect:      {metav1.ConditionTrue: {callbackv1alpha1.ReasonClockSuspect}},
	callbackv1alpha1.ConditionForwardingSuspect: {metav1.ConditionTrue: {callbackv1alpha1.ReasonForwardingSuspect}},
}

// ConsistentProxy returns the contradictions in the status of a CallbackProxy,
// and the tools that read it otherwise than it is meant; nil when there are none.
// It requires that the status describes the present generation.
func ConsistentProxy(proxy *callbackv1alpha1.CallbackProxy) error {
	s := statusOf(proxy.Generation, proxy.Status.ObservedGeneration, proxy.Status.Conditions)
	return aboutProxy(proxy, s.isCurrent(), soundProxy(proxy, s))
}

// SoundProxy is the part of ConsistentProxy that holds at any moment; see
// SoundRoute.
func SoundProxy(proxy *callbackv1alpha1.CallbackProxy) error {
	s := statusOf(proxy.Generation, proxy.Status.ObservedGeneration, proxy.Status.Conditions)
	if s.isUnwritten() {
		return aboutProxy(proxy, ToolsAgree(proxy))
	}
	return aboutProxy(proxy, soundProxy(proxy, s))
}

func soundProxy(proxy *callbackv1alpha1.CallbackProxy, s status) error {
	errs := []error{
		s.isWellFormed(proxyReasons),
		s.has(callbackv1alpha1.ConditionAccepted, callbackv1alpha1.ConditionProgrammed, callbackv1alpha1.ConditionReady),
		s.readyNeeds(callbackv1alpha1.ConditionAccepted, callbackv1alpha1.ConditionProgrammed),
		s.readyHasACause(),
		s.stalledHasACause(),
		routesAgree(proxy.Status.Routes),
		instancesAgree(&proxy.Status, s),
		ToolsAgree(proxy),
	}
	if s.isCurrent() == nil {
		errs = append(errs, modeAgrees(proxy.Spec.Mode, s))
	}
	return errors.Join(errs...)
}

func aboutProxy(proxy *callbackv1alpha1.CallbackProxy, errs ...error) error {
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("status of CallbackProxy %s/%s: %w", proxy.Namespace, proxy.Name, err)
	}
	return nil
}

func routesAgree(counts *callbackv1alpha1.RouteCounts) error {
	if counts == nil || counts.Total == nil || counts.Accepted == nil {
		return errors.New("the routes are not counted")
	}
	if *counts.Accepted < 0 || *counts.Accepted > *counts.Total {
		return fmt.Errorf("%d of %d routes are accepted", *counts.Accepted, *counts.Total)
	}
	return nil
}

// modeAgrees: refusals to run a fleet are those of a fleet that the operator runs.
func modeAgrees(mode callbackv1alpha1.ProxyMode, s status) error {
	accepted, programmed := s.reason(callbackv1alpha1.ConditionAccepted), s.reason(callbackv1alpha1.ConditionProgrammed)
	switch {
	case accepted == callbackv1alpha1.ReasonNamespaceNotManaged && mode != callbackv1alpha1.ModeDeployment:
		return fmt.Errorf("reason %s outside mode Deployment", accepted)
	case accepted == callbackv1alpha1.ReasonNameTaken && isExternal(mode):
		return fmt.Errorf("reason %s in mode External", accepted)
	case programmed == callbackv1alpha1.ReasonNotDeployed && isExternal(mode):
		return fmt.Errorf("reason %s in mode External", programmed)
	}
	return nil
}

// isExternal reports whether the user runs the proxies; objects from before the
// field have no mode.
func isExternal(mode callbackv1alpha1.ProxyMode) bool {
	return mode == callbackv1alpha1.ModeExternal || mode == ""
}

// instancesAgree: Programmed is True only if every instance is Current, and an
// instance is Current only if it runs the published hash.
func instancesAgree(proxy *callbackv1alpha1.CallbackProxyStatus, s status) error {
	programmed := s.isTrue(callbackv1alpha1.ConditionProgrammed)
	if programmed && len(proxy.Instances) == 0 {
		return errors.New("programmed without instances")
	}
	for _, instance := range proxy.Instances {
		current := instance.State == callbackv1alpha1.InstanceCurrent
		if programmed && !current {
			return fmt.Errorf("programmed, and instance %s is %s", instance.Pod, instance.State)
		}
		if current && (instance.Hash != proxy.ConfigHash || instance.Generation != proxy.ConfigGeneration) {
			return fmt.Errorf("instance %s is %s, and runs another config", instance.Pod, instance.State)
		}
		if instance.LastReportTime != nil && instance.State != callbackv1alpha1.InstanceUnreachable {
			return fmt.Errorf("instance %s is %s, and has a lastReportTime: %s", instance.Pod, instance.State, instance.LastReportTime)
		}
	}
	return nil
}

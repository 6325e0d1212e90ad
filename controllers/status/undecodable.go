// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

// undecodable.go computes the status of a CallbackProxy that cannot be decoded.

import (
	"time"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
)

// ComputeUndecodableProxy computes the status of a CallbackProxy whose spec cannot
// be decoded and to which the given number of routes refers. The published config
// and the instances stay as the previous status has them: that config still runs,
// and the controller polls no instance without a spec.
func ComputeUndecodableProxy(proxy *callbackv1alpha1.CallbackProxy, decodeError string, routes int, now time.Time) callbackv1alpha1.CallbackProxyStatus {
	const until = "until then the config that was published before stays, and the statuses of its routes are not updated"
	accepted := compile.Finding{
		Reason:  callbackv1alpha1.ReasonUndecodable,
		Message: "the stored object cannot be decoded: " + decodeError + "; apply it again with a value that the CRD's present schema accepts; " + until,
	}
	set := conditionSet{generation: proxy.Generation, previous: proxy.Status.Conditions, now: now}
	set.addRefusable(callbackv1alpha1.ConditionAccepted, accepted)
	set.add(callbackv1alpha1.ConditionProgrammed, compile.Finding{
		Reason:  callbackv1alpha1.ReasonNotAccepted,
		Message: "no config can be compiled from a spec that cannot be decoded; " + until,
	})
	set.add(callbackv1alpha1.ConditionReady, accepted)
	addStalled(&set)

	status := *proxy.Status.DeepCopy()
	status.ObservedGeneration, status.Conditions = proxy.Generation, set.conditions
	total, served := int32(routes), int32(0) //nolint:gosec // bounded by memory
	if before := status.Routes; before != nil && before.Accepted != nil {
		served = min(*before.Accepted, total)
	}
	status.Routes = &callbackv1alpha1.RouteCounts{Total: &total, Accepted: &served}
	return status
}

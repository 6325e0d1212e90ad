// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expect

import (
	"fmt"
	"strings"

	kstatus "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// ToolsAgree returns why a tool reads an object otherwise than its conditions
// mean: kstatus (Flux, Helm 4) must compute Current exactly while Ready is True of
// the present generation, Failed exactly while Stalled is, and kubectl wait must end for Ready, and for each
// other condition, exactly while that is; nil when both do. An object without a status is called Current
// by kstatus, so that is an error as well. What is being deleted is Terminating.
func ToolsAgree(object runtime.Object) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return fmt.Errorf("convert object: %w", err)
	}
	u := &unstructured.Unstructured{Object: content}
	result, err := kstatus.Compute(u)
	if err != nil {
		return fmt.Errorf("compute kstatus: %w", err)
	}
	ready := holds(u, callbackv1alpha1.ConditionReady)
	switch result.Status {
	case kstatus.CurrentStatus:
		if !ready {
			return fmt.Errorf("kstatus computes %s (%s), and the object is not ready", result.Status, result.Message)
		}
	case kstatus.InProgressStatus, kstatus.FailedStatus:
		failed, stalled := result.Status == kstatus.FailedStatus, holds(u, callbackv1alpha1.ConditionStalled)
		if ready || failed != stalled {
			return fmt.Errorf("kstatus computes %s (%s); the object is ready: %t, stalled: %t", result.Status, result.Message, ready, stalled)
		}
	case kstatus.TerminatingStatus: // whatever else it is
	case kstatus.NotFoundStatus, kstatus.UnknownStatus:
		return fmt.Errorf("kstatus computes %s (%s)", result.Status, result.Message)
	}
	for _, kind := range append([]string{callbackv1alpha1.ConditionReady}, typesOf(u)...) {
		if ends, meant := waitEnds(u, kind), holds(u, kind); ends != meant {
			return fmt.Errorf("kubectl wait --for=condition=%s ends: %t, the condition holds: %t", kind, ends, meant)
		}
	}
	return nil
}

// holds is what is meant: a condition is True, and it and the whole status
// speak of the present generation.
func holds(u *unstructured.Unstructured, kind string) bool {
	observed, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	condition := conditionOf(u, kind)
	value, _, _ := unstructured.NestedString(condition, "status")
	about, _, _ := unstructured.NestedInt64(condition, "observedGeneration")
	return value == string(metav1.ConditionTrue) && observed == u.GetGeneration() && about == u.GetGeneration()
}

// waitEnds does what kubectl wait does (k8s.io/kubectl/pkg/cmd/wait): it
// believes a condition, whatever the case of its letters, unless that or else
// the whole status speaks of an older generation.
func waitEnds(u *unstructured.Unstructured, kind string) bool {
	condition := conditionOf(u, kind)
	value, found, err := unstructured.NestedString(condition, "status")
	if !found || err != nil {
		return false
	}
	about, found, _ := unstructured.NestedInt64(condition, "observedGeneration")
	if !found {
		about, found, _ = unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	}
	if found && about < u.GetGeneration() {
		return false
	}
	return strings.EqualFold(value, string(metav1.ConditionTrue))
}

// typesOf returns the types of all conditions.
func typesOf(u *unstructured.Unstructured) []string {
	var types []string
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if kind, _, _ := unstructured.NestedString(condition, "type"); kind != "" {
			types = append(types, kind)
		}
	}
	return types
}

// conditionOf returns the first condition of a type; nil when there is none.
func conditionOf(u *unstructured.Unstructured, kind string) map[string]any {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if name, _, _ := unstructured.NestedString(condition, "type"); strings.EqualFold(name, kind) {
			return condition
		}
	}
	return nil
}

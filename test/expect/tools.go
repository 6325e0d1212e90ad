// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expect

// tools.go: the statuses as kstatus and kubectl wait read them.

import (
	"fmt"
	"strings"

	kstatus "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// ToolsAgree returns the difference between the conditions of an object and its
// reading by tools: kstatus (Flux, Helm 4) must compute Current exactly while
// Ready is True for the present generation, and Failed while Stalled is; kubectl
// wait must end for each condition exactly while that is True. An object without
// a status is Current for kstatus, so that is an error as well. An object that
// is being deleted is Terminating.
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
			return fmt.Errorf("kstatus is %s (%s), and the object is not ready", result.Status, result.Message)
		}
	case kstatus.InProgressStatus, kstatus.FailedStatus:
		if stalled := holds(u, callbackv1alpha1.ConditionStalled); stalled != (result.Status == kstatus.FailedStatus) {
			return fmt.Errorf("kstatus is %s (%s), the object is stalled: %t", result.Status, result.Message, stalled)
		}
		if ready {
			return fmt.Errorf("kstatus is %s (%s), and the object is ready", result.Status, result.Message)
		}
	case kstatus.TerminatingStatus:
	case kstatus.NotFoundStatus, kstatus.UnknownStatus:
		return fmt.Errorf("kstatus is %s (%s)", result.Status, result.Message)
	}
	for _, kind := range append([]string{callbackv1alpha1.ConditionReady}, typesOf(u)...) {
		if ends, meant := waitEnds(u, kind), holds(u, kind); ends != meant {
			return fmt.Errorf("kubectl wait --for=condition=%s ends: %t, the condition holds: %t", kind, ends, meant)
		}
	}
	return nil
}

// holds reports whether a condition is True and describes, as the whole status,
// the present generation.
func holds(u *unstructured.Unstructured, kind string) bool {
	observed, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	condition := conditionOf(u, kind)
	value, _, _ := unstructured.NestedString(condition, "status")
	about, _, _ := unstructured.NestedInt64(condition, "observedGeneration")
	return value == string(metav1.ConditionTrue) && observed == u.GetGeneration() && about == u.GetGeneration()
}

// waitEnds does the same as kubectl wait (k8s.io/kubectl/pkg/cmd/wait): a
// condition counts, in any case of its letters, unless it or else the whole status
// describes an older generation.
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

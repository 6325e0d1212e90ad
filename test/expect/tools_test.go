// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expect

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// Each difference between a status and its reading by tools is an error.
func TestToolsAgree(t *testing.T) {
	t.Parallel()
	change := func(f func(*callbackv1alpha1.CallbackRoute)) runtime.Object {
		route := readyRoute()
		f(route)
		return route
	}
	ready := func(r *callbackv1alpha1.CallbackRoute) *metav1.Condition { return &r.Status.Conditions[4] }
	for _, tc := range []struct {
		name   string
		object runtime.Object
		// want is what the error says; empty: they agree.
		want string
	}{
		{"ready", readyRoute(), ""},
		{"a ready CallbackProxy", readyProxy(), ""},
		{"not ready", change(func(r *callbackv1alpha1.CallbackRoute) { ready(r).Status = metav1.ConditionFalse }), ""},
		{"unknown", change(func(r *callbackv1alpha1.CallbackRoute) { ready(r).Status = metav1.ConditionUnknown }), ""},
		{"ready, of an older generation", change(func(r *callbackv1alpha1.CallbackRoute) { r.Generation = 4 }), ""},
		{"being deleted", change(func(r *callbackv1alpha1.CallbackRoute) { r.DeletionTimestamp = &called }), ""},
		// kstatus looks at the status' generation only, kubectl wait at the
		// condition's first.
		{
			"a condition of an older generation",
			change(func(r *callbackv1alpha1.CallbackRoute) { ready(r).ObservedGeneration = 2 }), "kstatus is Current",
		},
		{
			"a condition of no generation",
			change(func(r *callbackv1alpha1.CallbackRoute) { ready(r).ObservedGeneration = 0 }), "kstatus is Current",
		},
		{
			"another condition of an older generation than the status",
			change(func(r *callbackv1alpha1.CallbackRoute) {
				r.Generation, r.Status.ObservedGeneration, r.Status.Conditions[0].ObservedGeneration = 4, 2, 4
			}), "kubectl wait --for=condition=Accepted ends: true",
		},
		{
			"a status of an older generation with a condition of this one",
			change(func(r *callbackv1alpha1.CallbackRoute) { r.Status.ObservedGeneration = 2 }), "kubectl wait --for=condition=Ready ends: true",
		},
		{
			"a generation that is still to come",
			change(func(r *callbackv1alpha1.CallbackRoute) { r.Status.ObservedGeneration = 4 }), "kubectl wait --for=condition=Ready ends: true",
		},
		{
			"no status at all",
			change(func(r *callbackv1alpha1.CallbackRoute) { r.Status = callbackv1alpha1.CallbackRouteStatus{} }), "kstatus is Current",
		},
		{
			"no condition Ready",
			change(func(r *callbackv1alpha1.CallbackRoute) { r.Status.Conditions = r.Status.Conditions[:4] }), "kstatus is Current",
		},
		{
			"ready and reconciling",
			change(func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("Reconciling", "True", "Reconciling")) }), "kstatus is InProgress",
		},
		{
			"ready and stalled",
			change(func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("Stalled", "True", "Stalled")) }), "kstatus is Failed",
		},
	} {
		err := ToolsAgree(tc.object)
		if (err == nil) != (tc.want == "") || err != nil && !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

// A changed status of an object or an autoscaler requests no reconcile.
func TestObjectChanged_IgnoresStatuses(t *testing.T) {
	before := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{UID: "u", ResourceVersion: "1", Generation: 1, Labels: map[string]string{"a": "b"}}}
	for name, tc := range map[string]struct {
		change func(*appsv1.Deployment)
		want   bool
	}{
		"a status":    {func(d *appsv1.Deployment) { d.Status.ReadyReplicas = 1 }, false},
		"a spec":      {func(d *appsv1.Deployment) { d.Generation = 2 }, true},
		"a label":     {func(d *appsv1.Deployment) { d.Labels = nil }, true},
		"an owner":    {func(d *appsv1.Deployment) { d.OwnerReferences = []metav1.OwnerReference{{Name: "x"}} }, true},
		"a successor": {func(d *appsv1.Deployment) { d.UID = "v" }, true},
		"a deletion":  {func(d *appsv1.Deployment) { d.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }, true},
	} {
		after := before.DeepCopy()
		after.ResourceVersion = "2"
		tc.change(after)
		if got := objectChanged.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{UID: "u", ResourceVersion: "1"}}
	other := account.DeepCopy()
	other.ResourceVersion = "2"
	if !objectChanged.Update(event.UpdateEvent{ObjectOld: account, ObjectNew: other}) {
		t.Error("without a generation every new version is a change")
	}
	scaler := &autoscalingv2.HorizontalPodAutoscaler{}
	measured, moved := scaler.DeepCopy(), scaler.DeepCopy()
	measured.Status.CurrentReplicas, measured.ResourceVersion = 3, "2"
	moved.Spec.ScaleTargetRef.Name = "callback-edge"
	if targetChanged.Update(event.UpdateEvent{ObjectOld: scaler, ObjectNew: measured}) || !targetChanged.Update(event.UpdateEvent{ObjectOld: scaler, ObjectNew: moved}) {
		t.Error("only a new target of an autoscaler passes")
	}
}

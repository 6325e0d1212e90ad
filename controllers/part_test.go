// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

// A cache that is late is no drift; one that shows an older world for long shows
// a restored backup.
func TestPart_Holds(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	live := func(version string, generation int64, labels map[string]string) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{UID: "u", ResourceVersion: version, Generation: generation, Labels: labels}}
	}
	ours := map[string]string{"a": "b"}
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetLabels(ours)
	w, err := newWanted(object)
	if err != nil {
		t.Fatal(err)
	}
	applied := part{hash: w.hash, uid: "u", generation: 3, version: "100", applied: now}
	for name, tc := range map[string]struct {
		live *appsv1.Deployment
		part func(part) part
		now  time.Time
		want bool
	}{
		"as it was applied":         {live("100", 3, ours), nil, now, true},
		"a status":                  {live("101", 3, ours), nil, now, true},
		"a label of others":         {live("101", 3, map[string]string{"a": "b", "c": "d"}), nil, now, true},
		"a label of ours":           {live("101", 3, map[string]string{"c": "d"}), nil, now, false},
		"a spec":                    {live("101", 4, ours), nil, now, false},
		"a late cache":              {live("99", 2, ours), nil, now, true},
		"a restored backup":         {live("99", 2, ours), nil, now.Add(cacheLag), false},
		"another object":            {live("100", 3, ours), func(p part) part { p.uid = "v"; return p }, now, false},
		"something else is wanted":  {live("100", 3, ours), func(p part) part { p.hash[0]++; return p }, now, false},
		"without a generation":      {live("101", 0, ours), func(p part) part { p.generation = 0; return p }, now, false},
		"unchanged, no generation":  {live("100", 0, ours), func(p part) part { p.generation = 0; return p }, now, true},
		"an unreadable version":     {live("x", 3, ours), nil, now, false},
		"nothing was applied ever":  {live("100", 3, ours), func(part) part { return part{} }, now, false},
		"the same unreadable words": {live("x", 3, ours), func(p part) part { p.version = "x"; return p }, now, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := applied
			if tc.part != nil {
				p = tc.part(p)
			}
			if got := p.holds(tc.live, &w, tc.now); got != tc.want {
				t.Errorf("holds = %t, want %t", got, tc.want)
			}
		})
	}
}

// A status brings no pass, neither does what an autoscaler measures.
func TestPartChanged_LeavesStatusesOut(t *testing.T) {
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
		"a farewell":  {func(d *appsv1.Deployment) { d.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }, true},
	} {
		after := before.DeepCopy()
		after.ResourceVersion = "2"
		tc.change(after)
		if got := partChanged.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{UID: "u", ResourceVersion: "1"}}
	other := account.DeepCopy()
	other.ResourceVersion = "2"
	if !partChanged.Update(event.UpdateEvent{ObjectOld: account, ObjectNew: other}) {
		t.Error("without a generation any version is a change")
	}
	scaler := &autoscalingv2.HorizontalPodAutoscaler{}
	measured, moved := scaler.DeepCopy(), scaler.DeepCopy()
	measured.Status.CurrentReplicas, measured.ResourceVersion = 3, "2"
	moved.Spec.ScaleTargetRef.Name = "callback-edge"
	if targetChanged.Update(event.UpdateEvent{ObjectOld: scaler, ObjectNew: measured}) || !targetChanged.Update(event.UpdateEvent{ObjectOld: scaler, ObjectNew: moved}) {
		t.Error("of an autoscaler only its target counts")
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/callbackproxy/callback-operator/hack/chart/rendering"
)

// Server-side dry-run: validation, CEL compilation of policies, admission.
func TestObjects_AreAcceptedByTheAPIServer(t *testing.T) {
	_, c := cluster(t)
	eachScenario(t, func(t *testing.T, objects []rendering.Object) {
		t.Helper()
		for _, object := range objects {
			applied := object.DeepCopy()
			if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(applied),
				client.DryRunAll, client.ForceOwnership, client.FieldOwner("test")); err != nil {
				t.Errorf("%s: %s %s: %v", object.Template, object.GetKind(), object.GetName(), err)
			}
		}
	})
}

// The API server enforces the level restricted in the namespace; a dry run
// creates a pod from each template.
func TestPods_AreRestricted(t *testing.T) {
	_, c := cluster(t)
	const level = "restricted"
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: level, Labels: map[string]string{"pod-security.kubernetes.io/enforce": level},
	}}
	NewWithT(t).Expect(c.Create(t.Context(), namespace)).To(Succeed())
	pods := 0
	eachScenario(t, func(t *testing.T, objects []rendering.Object) {
		t.Helper()
		g := NewWithT(t)
		for _, object := range objects {
			if object.GetKind() != "Deployment" {
				continue
			}
			var deployment appsv1.Deployment
			decode(t, object, &deployment)
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: level, Name: "manager", Labels: deployment.Spec.Template.Labels},
				Spec:       deployment.Spec.Template.Spec,
			}
			// The priority class does not exist here.
			pod.Spec.PriorityClassName = ""
			g.Expect(c.Create(t.Context(), pod.DeepCopy(), client.DryRunAll)).To(Succeed())
			pods++

			pod.Spec.Containers[0].SecurityContext.Capabilities = nil
			g.Expect(c.Create(t.Context(), pod, client.DryRunAll)).To(MatchError(ContainSubstring("violates PodSecurity")),
				"the namespace must enforce the level")
		}
	})
	NewWithT(t).Expect(pods).To(BeNumerically(">=", len(scenarios())))
}

// The documentation promises more than the level restricted requires.
func TestPods_AreHardened(t *testing.T) {
	eachScenario(t, func(t *testing.T, objects []rendering.Object) {
		t.Helper()
		g := NewWithT(t)
		for _, object := range objects {
			if object.GetKind() != "Deployment" {
				continue
			}
			var deployment appsv1.Deployment
			decode(t, object, &deployment)
			pod := deployment.Spec.Template.Spec
			g.Expect(pod.AutomountServiceAccountToken).To(HaveValue(BeFalse()))
			g.Expect(pod.HostNetwork || pod.HostPID || pod.HostIPC).To(BeFalse())
			for _, container := range pod.Containers {
				g.Expect(container.SecurityContext.ReadOnlyRootFilesystem).To(HaveValue(BeTrue()))
				g.Expect(container.LivenessProbe).NotTo(BeNil())
				g.Expect(container.ReadinessProbe).NotTo(BeNil())
				g.Expect(container.Resources.Limits.Memory().IsZero()).To(BeFalse())
				g.Expect(container.Resources.Requests.Cpu().IsZero()).To(BeFalse())
			}
		}
	})
}

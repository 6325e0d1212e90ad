// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
)

// While an autoscaler decides, its number stays, whatever else changes; then
// the spec decides again.
func TestDeploy_AnAutoscalerDecides(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.deployed(replicas(2))
	scaler := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.platform, Name: "edge"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "callback-edge"},
			MaxReplicas:    9,
		},
	}
	other := scaler.DeepCopy()
	other.Name, other.Spec.ScaleTargetRef.Name = "other", "callback-other"
	w.create(other)
	w.reconcile()
	w.Expect(w.writes.take()).NotTo(ContainElement(HavePrefix("apply")), "an autoscaler of something else is none")
	w.create(scaler)
	w.reconcile()
	w.Expect(w.running().Spec.Replicas).To(HaveValue(BeEquivalentTo(2)))

	for _, n := range []int32{5, 1, 7} {
		scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: n}}
		w.Expect(w.client.SubResource("scale").Update(w.ctx, w.running(), client.WithSubResourceBody(scale), client.FieldOwner("kube-controller-manager"))).To(Succeed())
		generation := w.running().Generation
		for range 3 {
			w.reconcile()
			w.Expect(w.running().Spec.Replicas).To(HaveValue(Equal(n)))
		}
		w.Expect(w.running().Generation).To(Equal(generation), "no other number ever came up")
		w.Expect(w.part(kube.KindBudget) != nil).To(Equal(n > 1), "a budget for %d", n)
		w.writes.take()
		w.reconcile()
		w.Expect(w.writes.take()).To(BeEmpty())
	}
	w.fleetIn(callbackv1alpha1.ModeDeployment, replicas(3), func(s *callbackv1alpha1.CallbackProxySpec) { s.Listener.Port = 8081 })
	w.newLeader()
	w.settle()
	w.Expect(w.running().Spec.Replicas).To(HaveValue(BeEquivalentTo(7)), "another template and another leader change nothing about it")
	w.Expect(w.running().Spec.Template.Spec.Containers[0].Ports[0].ContainerPort).To(BeEquivalentTo(8081))

	w.Expect(w.client.Delete(w.ctx, scaler)).To(Succeed())
	w.settle()
	w.Expect(w.running().Spec.Replicas).To(HaveValue(BeEquivalentTo(3)))
}

// What was read of replicas holds for the version that it was read from: an
// autoscaler that is quicker wins.
func TestDeploy_AnAutoscalerThatIsQuickerWins(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.deployed(replicas(2))
	w.create(&autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.platform, Name: "edge"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "callback-edge"},
			MaxReplicas:    9,
		},
	})
	stale := w.running()
	late := interceptor.NewClient(w.client, interceptor.Funcs{
		Get: func(ctx context.Context, inner client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if running, is := object.(*appsv1.Deployment); is {
				stale.DeepCopyInto(running)
				return nil
			}
			return inner.Get(ctx, key, object, opts...)
		},
	})
	scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 6}}
	w.Expect(w.client.SubResource("scale").Update(w.ctx, w.running(), client.WithSubResourceBody(scale))).To(Succeed())
	deployer := NewDeployer(late, late, w.settings())
	_, next, err := deployer.Deploy(w.ctx, w.liveProxy(), w.clock.Now())
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(next).To(BeTemporally("==", w.clock.Now()))
	w.Expect(w.running().Spec.Replicas).To(HaveValue(BeEquivalentTo(6)))
}

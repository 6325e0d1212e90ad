// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package deploy

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

	"github.com/callbackproxy/callback-operator/controllers/kube"
)

func (r *rig) autoscaler(name, target string) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: name},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: target},
			MaxReplicas:    9,
		},
	}
}

func (r *rig) scale(n int32) {
	r.t.Helper()
	scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: n}}
	r.Expect(r.client.SubResource("scale").Update(r.ctx, r.running(), client.WithSubResourceBody(scale), client.FieldOwner("kube-controller-manager"))).To(Succeed())
}

// While an autoscaler targets the Deployment it decides the replicas, whatever
// else changes; without one the spec decides.
func TestReconcile_AnAutoscalerDecidesReplicas(t *testing.T) {
	r := newRig(t, deployment, replicas(2))
	r.reconcile()
	r.create(r.autoscaler("other", "callback-other"))
	before := r.versions()
	r.reconcile()
	r.Expect(r.versions()).To(Equal(before), "an autoscaler of another Deployment changes nothing")
	scaler := r.autoscaler("edge", "callback-edge")
	r.create(scaler)
	r.reconcile()
	r.Expect(r.running().Spec.Replicas).To(HaveValue(BeEquivalentTo(2)))

	for _, n := range []int32{5, 1, 7} {
		r.scale(n)
		generation := r.running().Generation
		for range 3 {
			r.reconcile()
			r.Expect(r.running().Spec.Replicas).To(HaveValue(Equal(n)))
		}
		r.Expect(r.running().Generation).To(Equal(generation), "the replicas never had another value")
		r.Expect(r.part(kube.KindBudget) != nil).To(Equal(n > 1), "a budget for %d", n)
	}
	r.update(deployment, replicas(3), func(s *proxySpec) { s.Listener.Port = 8081 })
	r.controller = r.newController(r.client, r.namespace)
	r.reconcile()
	r.Expect(r.running().Spec.Replicas).To(HaveValue(BeEquivalentTo(7)), "another template and another leader keep the number")
	r.Expect(r.running().Spec.Template.Spec.Containers[0].Ports[0].ContainerPort).To(BeEquivalentTo(8081))

	r.Expect(r.client.Delete(r.ctx, scaler)).To(Succeed())
	r.reconcile()
	r.Expect(r.running().Spec.Replicas).To(HaveValue(BeEquivalentTo(3)))
}

// A late cache does not undo a decision of the autoscaler: replicas that were read
// apply to the resourceVersion that they were read from.
func TestReconcile_ALateCacheDoesNotScale(t *testing.T) {
	r := newRig(t, deployment, replicas(2))
	r.reconcile()
	r.create(r.autoscaler("edge", "callback-edge"))
	stale := r.running()
	late := interceptor.NewClient(r.client, interceptor.Funcs{
		Get: func(ctx context.Context, inner client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if running, is := object.(*appsv1.Deployment); is {
				stale.DeepCopyInto(running)
				return nil
			}
			return inner.Get(ctx, key, object, opts...)
		},
	})
	r.scale(6)
	r.controller = r.newController(late, r.namespace)
	r.Expect(r.reconcile().RequeueAfter).To(Equal(conflictInterval))
	r.Expect(r.running().Spec.Replicas).To(HaveValue(BeEquivalentTo(6)))
}

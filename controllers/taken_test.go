// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/controllers/workload"
)

// foreign is somebody else's object with a name that the fleet needs.
func (w *world) foreign(kind schema.GroupVersionKind) *unstructured.Unstructured {
	name := workload.Name("edge")
	if kind == kube.KindRoleBinding {
		name = workload.RoleBindingName("edge")
	}
	object := &unstructured.Unstructured{Object: map[string]any{}}
	selector := map[string]any{"matchLabels": map[string]any{"app": "theirs"}}
	switch kind {
	case kube.KindDeployment:
		object.Object["spec"] = map[string]any{"selector": selector, "template": map[string]any{
			"metadata": map[string]any{"labels": map[string]any{"app": "theirs"}},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "theirs", "image": "theirs"}}},
		}}
	case kube.KindService:
		object.Object["spec"] = map[string]any{"ports": []any{map[string]any{"port": int64(1)}}}
	case kube.KindBudget:
		object.Object["spec"] = map[string]any{"selector": selector, "minAvailable": int64(1)}
	case kube.KindNetworkPolicy:
		object.Object["spec"] = map[string]any{"podSelector": selector}
	case kube.KindRoleBinding:
		object.Object["roleRef"] = map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "theirs"}
	case kube.KindServiceAccount:
		object.Object["automountServiceAccountToken"] = true
	}
	object.SetGroupVersionKind(kind)
	object.SetNamespace(w.platform)
	object.SetName(name)
	return object
}

// Nothing of others is written to or adopted, whatever its kind and labels;
// and once it is gone the fleet gets what it wants.
func TestDeploy_ANameThatIsTaken(t *testing.T) {
	for _, kind := range everyKind {
		for _, labelled := range []bool{false, true} {
			name := kind.Kind
			if labelled {
				name += "WithOurLabels"
			}
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, controlPlane)
				w.migration(w.newRoute("acme"))
				w.fleetIn(callbackv1alpha1.ModeDeployment)
				theirs := w.foreign(kind)
				if labelled {
					theirs.SetLabels(map[string]string{callbackv1alpha1.ProxyLabel: "edge", "app.kubernetes.io/managed-by": workload.Manager})
				}
				w.create(theirs)
				before := w.part(kind).GetResourceVersion()
				w.settle()
				w.Expect(w.part(kind).GetResourceVersion()).To(Equal(before))
				accepted := w.about("Accepted")
				w.Expect(accepted.Reason).To(Equal("NameTaken"))
				w.Expect(accepted.Message).To(ContainSubstring(kind.Kind + " " + theirs.GetName()))
				w.Expect(w.about("Programmed").Status).To(Equal(metav1.ConditionTrue), "what runs is asked all the same")
				w.Expect(w.condition("acme", "Ready").Status).To(Equal(metav1.ConditionTrue))
				for _, other := range everyKind {
					w.Expect(w.part(other)).NotTo(BeNil(), "%s is made all the same", other.Kind)
				}
				w.writes.take()
				result := w.reconcile()
				w.Expect(w.writes.take()).To(BeEmpty())
				w.Expect(result.RequeueAfter).To(BeNumerically("<=", recheck), "nobody says when it goes")

				w.Expect(w.client.Delete(w.ctx, theirs)).To(Succeed())
				w.clock.SetTime(w.clock.Now().Add(recheck))
				w.settle()
				w.Expect(w.about("Accepted").Status).To(Equal(metav1.ConditionTrue))
				w.Expect(isOwn(w.part(kind), w.liveProxy().UID)).To(BeTrue())
			})
		}
	}
}

// Another CallbackProxy of the same name does not get what belonged to the one
// before: that goes with its owner.
func TestDeploy_ASuccessorWaitsForWhatIsLeft(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.deployed()
	before := w.part(kube.KindDeployment)
	w.Expect(w.client.Delete(w.ctx, &kube.Proxy{CallbackProxy: *w.liveProxy()})).To(Succeed())
	successor := w.proxy()
	successor.Spec.Mode = callbackv1alpha1.ModeDeployment
	w.create(successor)
	w.settle()
	w.Expect(w.about("Accepted").Reason).To(Equal("NameTaken"))
	w.Expect(w.part(kube.KindDeployment).GetResourceVersion()).To(Equal(before.GetResourceVersion()))
	for _, kind := range everyKind {
		w.Expect(w.client.Delete(w.ctx, w.part(kind))).To(Succeed()) // as the garbage collector does
	}
	w.clock.SetTime(w.clock.Now().Add(recheck))
	w.settle()
	w.Expect(w.about("Ready").Status).To(Equal(metav1.ConditionTrue))
}

// What somebody makes after we looked, and before we write, stays theirs.
func TestDeploy_WhatIsMadeMeanwhileIsNotAdopted(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.fleetIn(callbackv1alpha1.ModeDeployment)
	before := map[string]string{}
	for _, kind := range everyKind {
		theirs := w.foreign(kind)
		switch kind {
		case kube.KindService: // nothing in it is in the way of what is applied
			theirs.Object["spec"] = map[string]any{"ports": []any{map[string]any{"name": "theirs", "port": int64(1)}}}
		case kube.KindServiceAccount:
			delete(theirs.Object, "automountServiceAccountToken")
			theirs.SetLabels(map[string]string{"app": "theirs"})
		}
		w.create(theirs)
		before[kind.Kind] = content(w.part(kind))
	}
	plain := w.client
	blind := interceptor.NewClient(plain, interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
			return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
		},
	})
	w.reconciler.Deployer = NewDeployer(blind, blind, w.settings())
	deployed, next, err := w.reconciler.Deployer.Deploy(w.ctx, w.liveProxy(), w.clock.Now())
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(deployed).To(Equal(status.Deployed{}))
	w.Expect(next).To(BeTemporally("==", w.clock.Now()), "it is looked at again at once")
	for _, kind := range everyKind {
		w.Expect(content(w.part(kind))).To(Equal(before[kind.Kind]), kind.Kind)
	}
}

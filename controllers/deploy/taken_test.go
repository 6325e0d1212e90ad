// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/controllers/workload"
)

// A foreign object is neither written to nor adopted, whatever its kind and
// labels; once it is deleted, the desired one is applied.
func TestReconcile_ANameThatIsTaken(t *testing.T) {
	for _, kind := range everyKind {
		for _, labelled := range []bool{false, true} {
			name := kind.Kind
			if labelled {
				name += "WithOurLabels"
			}
			t.Run(name, func(t *testing.T) {
				r := newRig(t, deployment)
				theirs := r.foreign(kind)
				if labelled {
					theirs.SetLabels(map[string]string{callbackv1alpha1.ProxyLabel: "edge", "app.kubernetes.io/managed-by": workload.Manager})
				}
				r.create(theirs)
				before := r.part(kind).GetResourceVersion()
				r.Expect(r.reconcile().RequeueAfter).To(Equal(retryInterval), "no event reports when the name is free")
				r.Expect(r.part(kind).GetResourceVersion()).To(Equal(before))
				deployed, _ := r.controller.Outcome(r.proxy())
				r.Expect(deployed).To(Equal(status.Deployed{Taken: []string{kind.Kind + " " + theirs.GetName()}}))
				r.Expect(r.kinds()).To(HaveLen(len(everyKind)), "the other objects are applied")

				r.Expect(r.client.Delete(r.ctx, theirs)).To(Succeed())
				r.Expect(r.outcome()).To(Equal(status.Deployed{}))
				r.Expect(isOwn(r.part(kind), r.proxy().UID)).To(BeTrue())
			})
		}
	}
}

// A new CallbackProxy does not adopt the objects of a deleted one of the same
// name: these are deleted with their owner.
func TestReconcile_ASuccessorWaits(t *testing.T) {
	r := newRig(t, deployment)
	r.reconcile()
	before := r.versions()
	r.Expect(r.client.Delete(r.ctx, &kube.Proxy{CallbackProxy: *r.proxy()})).To(Succeed())
	r.createProxy(deployment)
	r.Expect(r.outcome().Taken).To(HaveLen(len(everyKind)))
	r.Expect(r.versions()).To(Equal(before))
	for _, kind := range everyKind {
		r.Expect(r.client.Delete(r.ctx, r.part(kind))).To(Succeed()) // as the garbage collector does
	}
	r.Expect(r.outcome()).To(Equal(status.Deployed{}))
}

// An object that another client creates between the look-up and the apply keeps
// its fields: a first apply is not forced.
func TestReconcile_DoesNotForceANewObject(t *testing.T) {
	r := newRig(t, deployment)
	kinds := []schema.GroupVersionKind{kube.KindServiceAccount, kube.KindDeployment, kube.KindNetworkPolicy, kube.KindRoleBinding, kube.KindBudget}
	before := map[string]string{}
	for _, kind := range kinds {
		r.create(r.foreign(kind))
		before[kind.Kind] = content(r.part(kind))
	}
	blind := interceptor.NewClient(r.client, interceptor.Funcs{
		Get: func(ctx context.Context, inner client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if _, is := object.(*kube.Proxy); is {
				return inner.Get(ctx, key, object, opts...)
			}
			return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
		},
	})
	r.controller = r.newController(blind, r.namespace)
	r.reconcile()
	for _, kind := range kinds {
		r.Expect(content(r.part(kind))).To(Equal(before[kind.Kind]), kind.Kind)
	}
}

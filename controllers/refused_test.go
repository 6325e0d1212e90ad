// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/statuswriter"
)

// A route that was stored under a laxer CRD may be one whose status no API
// server stores any more. Its events tell of it, once; it is no error, which
// would be tried again and again; and the other routes do not notice.
func TestF12_Status_ThatCannotBeStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("old", func(s *callbackv1alpha1.CallbackRouteSpec) {
		s.Hostnames = []callbackv1alpha1.Hostname{"none.acme.test"}
	}), w.newRoute("new"))
	refusing, sent := true, 0
	w.reconciler.Statuses = statuswriter.New(interceptor.NewClient(w.client, interceptor.Funcs{
		SubResourceApply: func(ctx context.Context, inner client.Client, sub string, object runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			if named, is := object.(interface{ GetName() *string }); is && *named.GetName() == "old" {
				if sent++; refusing {
					return apierrors.NewInvalid(callbackv1alpha1.SchemeGroupVersion.WithKind("CallbackRoute").GroupKind(), "old", nil)
				}
			}
			return inner.SubResource(sub).Apply(ctx, object, opts...)
		},
	}), w.events.recorder, w.clock)
	for range 5 {
		w.reconcile()
		w.clock.SetTime(w.clock.Now().Add(2 * time.Second))
	}
	w.Expect(sent).To(Equal(1))
	w.Expect(w.events.take()).To(ConsistOf(HavePrefix("Warning HostNotAllowed Accepted CallbackRoute/old: "), ContainSubstring("CallbackRoute/new")))
	w.Expect(w.condition("new", callbackv1alpha1.ConditionProgrammed).Status).To(BeEquivalentTo("True"))

	w.clock.SetTime(w.clock.Now().Add(time.Minute))
	w.reconcile()
	w.Expect(sent).To(Equal(2), "it is sent again")
	w.reconcile()
	w.Expect(sent).To(Equal(2))
	w.Expect(w.events.take()).To(BeEmpty(), "the events are emitted once")

	refusing = false
	route := &kube.Route{CallbackRoute: *w.route("old")}
	route.Spec.Hostnames = []callbackv1alpha1.Hostname{"auth.acme.test"}
	w.Expect(w.client.Update(w.ctx, route)).To(Succeed())
	w.reconcile()
	w.Expect(w.condition("old", callbackv1alpha1.ConditionProgrammed).Status).To(BeEquivalentTo("True"), "a route that is applied again has its status at once")
}

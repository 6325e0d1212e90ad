// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/statuswriter"
)

// overwrite replaces a status, as anybody may who has the right.
func (w *world) overwrite(name string, target client.Object, status any) {
	w.t.Helper()
	target.SetNamespace(w.identity)
	if _, is := target.(*kube.Proxy); is {
		target.SetNamespace(w.platform)
	}
	target.SetName(name)
	data, err := json.Marshal(map[string]any{"status": status})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.client.Status().Patch(w.ctx, target, client.RawPatch(types.MergePatchType, data), client.FieldOwner("kubectl"))).To(Succeed())
}

// A pass that takes a long time does not delay the next one.
func TestF45_Reconcile_CountsItsOwnTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	end := w.clock.Now().Add(90 * time.Second).Truncate(time.Second)
	w.migration(w.newRoute("acme", func(s *callbackv1alpha1.CallbackRouteSpec) { s.SunsetTime = metav1.NewTime(end) }))
	w.settle()
	w.overwrite("acme", &kube.Route{}, map[string]any{"observedGeneration": 0})
	w.reconciler.Client = interceptor.NewClient(w.client, interceptor.Funcs{
		SubResourceApply: func(ctx context.Context, inner client.Client, sub string, object runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			w.clock.SetTime(w.clock.Now().Add(5 * time.Second))
			return inner.SubResource(sub).Apply(ctx, object, opts...)
		},
	})
	result, err := w.pass(w.proxyKey())
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.clock.Now().Add(result.RequeueAfter)).To(BeTemporally("==", end), "the writes took time")

	// The machine may sleep meanwhile, or its clock may be set.
	w.reconciler.Client = w.client
	capped, err := capRequeue(w.reconciler).Reconcile(w.ctx, ctrl.Request{NamespacedName: w.proxyKey()})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(capped.RequeueAfter).To(Equal(maxRequeue))
}

// The status and one event report that a CallbackProxy cannot be decoded. Its
// published config stays, and passes go on once it can be decoded.
func TestF12_ACallbackProxyThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.settle()
	index, route := w.index(), w.route("acme")
	w.events.take()
	broken := true
	w.reconciler.Client = interceptor.NewClient(w.client, interceptor.Funcs{
		Get: func(ctx context.Context, inner client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			err := inner.Get(ctx, key, object, opts...)
			if proxy, is := object.(*kube.Proxy); is && broken {
				proxy.Spec, proxy.DecodeError = callbackv1alpha1.CallbackProxySpec{}, "spec.listener.port is no number"
			}
			return err
		},
	})
	w.writes.take()
	for range 3 {
		w.Expect(w.reconcile().RequeueAfter).To(BeNumerically("<=", time.Minute), "until it is Stalled")
	}
	w.Expect(w.writes.take()).To(HaveLen(1), "its status")
	w.Expect(w.events.take()).To(ConsistOf(
		And(HavePrefix("Warning Undecodable Accepted CallbackProxy/edge: "), ContainSubstring("spec.listener.port is no number"))))
	w.Expect(w.about("Ready").Reason).To(Equal("Undecodable"))
	w.Expect(w.index().Spec).To(Equal(index.Spec))
	w.Expect(w.route("acme").Status).To(Equal(route.Status))
	w.Expect(w.liveProxy().Status.Routes.Accepted).To(HaveValue(BeEquivalentTo(1)))

	broken = false
	w.settle()
	w.Expect(w.about("Ready").Status).To(BeEquivalentTo("True"))
}

// An instance that does not respond, and a tenant that changes its route all the
// time, delay no status of other routes, nor that of the fleet.
func TestF13_Status_OthersChangesDelayNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	end := w.clock.Now().Add(time.Minute).Truncate(time.Second)
	w.migration(w.newRoute("busy"), w.newRoute("calm", func(s *callbackv1alpha1.CallbackRouteSpec) { s.SunsetTime = metav1.NewTime(end) }))
	w.settle()
	w.fleet.silent = true
	w.clock.SetTime(end)
	for n := range 4 {
		route := &kube.Route{CallbackRoute: *w.route("busy")}
		route.Spec.Callbacks[0].Path = callbackv1alpha1.CallbackPath(fmt.Sprintf("/busy-%d", n))
		w.Expect(w.client.Update(w.ctx, route)).To(Succeed())
		w.reconcile()
		w.clock.SetTime(w.clock.Now().Add(700 * time.Millisecond))
	}
	w.Expect(w.condition("calm", "SunsetPassed").Status).To(BeEquivalentTo("True"))
	w.Expect(w.condition("busy", "Programmed").Reason).To(Equal("Pending"))
	w.Expect(w.about("Programmed").Reason).To(Equal("Pending"))
}

// T5: fleets without a CallbackProxy rest together, and nothing is kept of them.
func TestT5_Reconcile_MissingProxiesRest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.create(w.newRoute("orphan"))
	w.reconciler.passes.noteMissing(w.clock.Now().Add(-maxRest))
	early, err := w.pass(w.proxyKey())
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(early).To(Equal(ctrl.Result{RequeueAfter: maxRest}))
	w.Expect(w.route("orphan").Status.Conditions).To(BeEmpty())
	w.clock.SetTime(w.clock.Now().Add(maxRest))
	w.reconcile()
	w.Expect(w.condition("orphan", "Accepted").Reason).To(Equal("ProxyNotFound"))
	w.Expect(w.reconciler.passes.fleets).To(BeEmpty())
	w.migration()
	w.reconciler.passes.noteMissing(w.clock.Now().Add(-time.Hour))
	w.settle()
	w.Expect(w.condition("orphan", "Ready").Status).To(BeEquivalentTo("True"), "a CallbackProxy that exists does not wait for them")
}

// Fields that this controller wrote are removed with the next status, and others
// stay; a wrong value is put right by the next pass.
func TestReconcile_CorrectsAStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.annotate("acme", "green fails its load test")
	w.settle()
	w.Expect(w.condition("acme", "SunsetHeld").Status).To(BeEquivalentTo("True"))
	wrong := w.route("acme").Status
	find(wrong.Conditions, "Ready").Message = "wrong"
	w.overwrite("acme", &kube.Route{}, wrong)
	route := &kube.Route{CallbackRoute: *w.route("acme")}
	delete(route.Annotations, callbackv1alpha1.HoldAnnotation)
	w.Expect(w.client.Update(w.ctx, route)).To(Succeed())
	w.settle()
	w.Expect(w.condition("acme", "Ready").Message).NotTo(Equal("wrong"))
	w.Expect(find(w.route("acme").Status.Conditions, "SunsetHeld")).To(BeNil())
}

// W57: kubectl sorts the events of an object by lastTimestamp, and those of the
// same second stay in the order of their names.
func TestW57_EventsAreInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.events.recorder = statuswriter.NewRecorder(w.client, w.clock, logr.Discard())
	w.reconciler.Statuses = statuswriter.New(w.client, w.events.recorder, w.clock)
	w.migration(w.newRoute("acme"))
	w.settle()
	var want []string
	for n, service := range []string{"absent", "legacy-idp", "missing", "new-idp"} {
		route := &kube.Route{CallbackRoute: *w.route("acme")}
		route.Spec.Backends[0].Service.Name = callbackv1alpha1.ObjectName(service)
		w.Expect(w.client.Update(w.ctx, route)).To(Succeed())
		w.settle()
		want = append(want, []string{"BackendNotFound", "ResolvedRefs"}[n%2])
		w.clock.SetTime(w.clock.Now().Add(400 * time.Millisecond))
	}
	w.events.take()
	var list corev1.EventList
	w.Expect(w.client.List(w.ctx, &list, client.InNamespace(w.identity))).To(Succeed())
	events := slices.DeleteFunc(list.Items, func(e corev1.Event) bool { return e.Action != "ResolvedRefs" })
	// As k8s.io/kubectl/pkg/util/event.SortableEvents does.
	slices.SortStableFunc(events, func(a, b corev1.Event) int { return a.LastTimestamp.Compare(b.LastTimestamp.Time) })
	var reasons []string
	for _, e := range events {
		w.Expect(e.LastTimestamp.IsZero()).To(BeFalse())
		w.Expect(e.FirstTimestamp).To(Equal(e.LastTimestamp))
		w.Expect(e.InvolvedObject.Name).To(Equal("acme"))
		w.Expect(e.Source.Component).To(Equal(fieldOwner))
		reasons = append(reasons, e.Reason)
	}
	w.Expect(reasons).To(Equal(want))
}

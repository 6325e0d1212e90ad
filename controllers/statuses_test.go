// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// An instance that does not answer, and a tenant that changes its route all the
// time, hold back nothing of what is known of other routes, nor of the fleet.
func TestF13_Status_OthersChangesHoldBackNothing(t *testing.T) {
	w := newWorld(t, controlPlane)
	end := w.clock.Now().Add(time.Minute).Truncate(time.Second)
	w.migration(w.newRoute("busy"), w.newRoute("calm", func(s *callbackv1alpha1.CallbackRouteSpec) { s.SunsetTime = metav1.NewTime(end) }))
	w.settle()
	w.fleet.silent = true
	w.clock.SetTime(end)
	churn := func(n int) {
		route := &kube.Route{CallbackRoute: *w.route("busy")}
		route.Spec.Callback.Path = callbackv1alpha1.CallbackPath(fmt.Sprintf("/busy-%d", n))
		w.Expect(w.client.Update(w.ctx, route)).To(Succeed())
		w.reconcile()
	}
	churn(0)
	w.Expect(find(w.route("calm").Status.Conditions, "SunsetPassed")).NotTo(BeNil(), "at once")
	for n := range 3 {
		w.clock.SetTime(w.clock.Now().Add(700 * time.Millisecond))
		churn(n + 1)
	}
	w.Expect(w.condition("busy", "Programmed").Reason).To(Equal("Pending"))
	w.Expect(w.about("Programmed").Reason).To(Equal("Pending"))
}

// Where there is no room for all news, each namespace has its turn, and in it
// that a backend died goes before what came for others.
func TestPending_WhatCanWaitLeastGoesFirst(t *testing.T) {
	g := NewWithT(t)
	news := func(namespace, name string, c status.Change) pendingStatus {
		return pendingStatus{change: c, object: &callbackv1alpha1.CallbackRoute{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}}
	}
	pending := []pendingStatus{
		news("a", "counted", status.Counters), news("a", "scaled", status.Scale), news("a", "measured", status.Measurement),
		news("b", "counted", status.Counters), news("a", "dead", status.Health), news("a", "declared", status.Spec),
	}
	inTurn(pending)
	var order []string
	for i := range pending {
		order = append(order, pending[i].object.GetNamespace()+"/"+pending[i].object.GetName())
	}
	g.Expect(order).To(Equal([]string{"a/declared", "b/counted", "a/dead", "a/measured", "a/counted", "a/scaled"}))
}

// Counts that have no room cost the news of a death nothing, and what is not
// written takes no room from what is.
func TestF24_Status_ADeathDoesNotWaitForCounts(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"), w.newRoute("busy", func(s *callbackv1alpha1.CallbackRouteSpec) {
		one := int32(1)
		s.Backends = s.Backends[1:]
		s.Backends[0].Weight = &one
	}))
	w.endpoints("legacy-idp", true)
	w.settle()
	for now := w.clock.Now(); w.reconciler.pace.begin(status.Counters, now) == 0; {
	}
	w.fleet.uses = []routetable.RouteUse{{UID: string(w.route("busy").UID), Callbacks: 9, Last: w.clock.Now()}}
	w.endpoints("legacy-idp", false)
	result := w.reconcile()
	w.Expect(w.condition("acme", "Ready").Reason).To(Equal("NoReadyEndpoints"))
	w.Expect(*w.route("busy").Status.Traffic.Callbacks).To(BeZero())
	w.Expect(result.RequeueAfter).To(Equal(commonBounds[status.Counters].again), "and is asked for again")
	w.clock.SetTime(w.clock.Now().Add(result.RequeueAfter))
	w.reconcile()
	w.Expect(*w.route("busy").Status.Traffic.Callbacks).To(BeEquivalentTo(9))
}

// A CallbackProxy whose status no API server stores any more is told of by
// events, once, and is no error, which would be tried again and again.
func TestF12_Status_OfACallbackProxyThatCannotBeStored(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	refusing, sent := true, 0
	w.reconciler.Client = interceptor.NewClient(w.client, interceptor.Funcs{
		SubResourceApply: func(ctx context.Context, inner client.Client, sub string, object runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			if patch, is := object.(*statusPatch); is && *patch.Kind == "CallbackProxy" {
				if sent++; refusing {
					return apierrors.NewInvalid(kindProxy.GroupKind(), "edge", nil)
				}
			}
			return inner.SubResource(sub).Apply(ctx, object, opts...)
		},
	})
	for range 5 {
		w.reconcile()
		w.clock.SetTime(w.clock.Now().Add(2 * time.Second))
	}
	w.Expect(sent).To(Equal(1))
	w.Expect(w.condition("acme", "Ready").Status).To(BeEquivalentTo("True"))
	w.fleet.refuse = "format 2"
	w.reconcile()
	w.Expect(w.events.take()).To(ContainElement(ContainSubstring("Warning RefusedByProxy Programmed CallbackProxy/edge")), "other news is told")
	w.Expect(w.reconcile().RequeueAfter).To(Equal(refusalRest))
	w.Expect(w.events.take()).To(BeEmpty(), "once")
	w.Expect(sent).To(Equal(2))

	refusing = false
	w.clock.SetTime(w.clock.Now().Add(refusalRest))
	w.reconcile()
	w.Expect(w.about("Programmed").Reason).To(Equal("RefusedByProxy"))
	w.Expect(w.events.take()).To(BeEmpty(), "and nothing is said twice")
}

// What somebody else adds to a status, to apply leaves there; it is taken out
// all the same, and costs two writes.
func TestReconcile_TakesOutWhatIsForeign(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme", func(s *callbackv1alpha1.CallbackRouteSpec) { s.Backends = s.Backends[:1] }))
	w.settle()
	route, proxy := w.route("acme").Status, w.liveProxy().Status
	foreign := func(kind string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: "Hacked", LastTransitionTime: metav1.Now()}
	}
	hacked := *route.DeepCopy()
	hacked.Conditions = append([]metav1.Condition{foreign("SunsetPassed")}, append(hacked.Conditions, foreign("Unknown"))...)
	hacked.Backends = append(hacked.Backends, callbackv1alpha1.BackendStatus{Name: "theirs", Health: callbackv1alpha1.HealthHealthy})
	late := int64(7)
	hacked.Traffic.AfterSunset = &late
	w.overwrite("acme", &kube.Route{}, hacked)
	fleet := *proxy.DeepCopy()
	fleet.Conditions = append(fleet.Conditions, foreign("ClockSuspect"))
	fleet.Instances = append(fleet.Instances, callbackv1alpha1.ProxyInstance{Pod: "theirs", State: callbackv1alpha1.InstanceCurrent})
	w.overwrite("edge", &kube.Proxy{}, fleet)
	w.writes.take()
	w.settle()
	w.Expect(w.route("acme").Status).To(Equal(route))
	w.Expect(w.liveProxy().Status).To(Equal(proxy))
	w.Expect(w.writes.take()).To(ConsistOf(
		"apply status *controllers.statusPatch", "apply status *controllers.statusPatch",
		"patch status *controllers.kube.Route", "patch status *controllers.kube.Proxy"))
	w.settle()
	w.Expect(w.writes.take()).To(BeEmpty())
}

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
	w.Expect(w.client.Status().Patch(w.ctx, target, client.RawPatch(types.MergePatchType, data), client.FieldOwner("somebody"))).To(Succeed())
}

// published says whether the configs of a namespace are counted.
func published(namespace string) bool {
	gathered, _ := metrics.Registry.Gather()
	for _, family := range gathered {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if family.GetName() == "callback_operator_configs_published_total" && label.GetName() == "namespace" && label.GetValue() == namespace {
					return true
				}
			}
		}
	}
	return false
}

// A pass that takes its time does not come later to what it asks for.
func TestF45_Reconcile_CountsItsOwnTime(t *testing.T) {
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
	began := w.clock.Now()
	result := w.reconcile()
	w.Expect(w.clock.Now()).To(BeTemporally(">", began))
	w.Expect(w.clock.Now().Add(result.RequeueAfter)).To(BeTemporally("==", end))

	// Whoever sleeps meanwhile, or whose clock is set, looks again before.
	w.reconciler.Client = w.client
	asleep, err := w.reconciler.reconcile(w.ctx, ctrl.Request{NamespacedName: w.proxyKey()})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(asleep.RequeueAfter).To(Equal(maxSleep))
}

// A CallbackProxy that cannot be read is told so, once; what is published for
// it stays, and it is taken up again once it can be read.
func TestF12_ACallbackProxyThatCannotBeRead(t *testing.T) {
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
		w.Expect(w.reconcile()).To(Equal(ctrl.Result{}))
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

// T5: fleets that do not exist rest, all together.
func TestT5_Reconcile_NamesOfNothingRest(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.create(w.newRoute("orphan"))
	w.reconciler.pace.lookedInVain(maxRest, w.clock.Now())
	early, err := w.pass(w.proxyKey())
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(early).To(Equal(ctrl.Result{RequeueAfter: maxRest}))
	w.Expect(w.route("orphan").Status.Conditions).To(BeEmpty())
	w.Expect(w.reconciler.pace.fleets).To(BeEmpty())
	w.Expect(w.reconciler.tallies).To(BeEmpty())
	w.clock.SetTime(w.clock.Now().Add(maxRest))
	w.reconcile()
	w.Expect(w.condition("orphan", "Accepted").Reason).To(Equal("ProxyNotFound"))
	w.migration()
	w.reconciler.pace.lookedInVain(time.Hour, w.clock.Now())
	w.settle()
	w.Expect(w.condition("orphan", "Ready").Status).To(BeEquivalentTo("True"), "what exists does not wait for it")
}

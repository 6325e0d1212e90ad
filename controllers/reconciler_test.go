// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/test/expect"
)

func TestReconcile_ServesARouteAndSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.settle()

	route := w.route("acme")
	w.Expect(route.Status.ObservedGeneration).To(Equal(route.Generation))
	for _, kind := range []string{"Accepted", "ResolvedRefs", "Programmed", "Ready"} {
		c := w.condition("acme", kind)
		w.Expect(c.Status).To(Equal(metav1.ConditionTrue), "%s: %s", kind, c.Message)
		w.Expect(c.ObservedGeneration).To(Equal(route.Generation), kind)
	}
	w.Expect(*route.Status.Instances.Programmed).To(BeEquivalentTo(1))
	table := w.table()
	w.Expect(table.Routes).To(HaveLen(1))
	w.Expect(table.Routes[0].Primary().Name).To(Equal("blue"))
	w.Expect(table.Routes[0].Primary().Addresses).To(HaveLen(1))

	proxy := w.liveProxy()
	w.Expect(find(proxy.Status.Conditions, "Ready").Status).To(Equal(metav1.ConditionTrue))
	w.Expect(proxy.Status.Instances).To(ConsistOf(HaveField("State", callbackv1alpha1.InstanceCurrent)))
}

// Tools that wait for a current status wait as well while there is none.
func TestReconcile_AFreshRouteIsNotCurrent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	fresh := w.route("acme")
	w.Expect(fresh.Status.ObservedGeneration).To(BeEquivalentTo(-1))
	w.Expect(expect.ToolsAgree(fresh)).To(Succeed())
	w.Expect(w.liveProxy().Status.ObservedGeneration).To(BeEquivalentTo(-1))
	w.settle()
	w.Expect(expect.ToolsAgree(w.route("acme"))).To(Succeed())
}

func TestReconcile_ANewLeaderKeepsWhatIsTrue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.settle()
	before, status := w.index(), w.route("acme").Status
	w.writes.take()
	w.events.take()

	w.newLeader()
	w.settle()
	after := w.index()
	w.Expect(after.Spec.Epoch).To(BeNumerically(">", before.Spec.Epoch), "the epoch grows with each leadership")
	w.Expect(after.Spec.Generation).To(Equal(before.Spec.Generation))
	w.Expect(after.Spec.Hash).To(Equal(before.Spec.Hash))
	w.Expect(slices.DeleteFunc(w.writes.take(), func(w string) bool { return strings.Contains(w, "RoleBinding") })).
		To(ConsistOf(ContainSubstring("update *v1alpha1.CallbackProxyConfig")), "the epoch and nothing else")
	w.Expect(w.events.take()).To(BeEmpty())
	w.Expect(w.route("acme").Status).To(Equal(status))
}

func TestReconcile_FlipsToGreen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.settle()
	w.events.take()

	stored := &kube.Route{CallbackRoute: *w.route("acme")}
	*stored.Spec.Backends[0].Weight, *stored.Spec.Backends[1].Weight = 0, 100
	w.Expect(w.client.Update(w.ctx, stored)).To(Succeed())
	w.fleet.silent = true
	w.reconcile()
	w.Expect(w.condition("acme", "Programmed").Status).To(Equal(metav1.ConditionTrue), "of the generation before: a moment is given to acknowledge")
	w.clock.SetTime(w.clock.Now().Add(time.Second))
	w.reconcile()
	pending := w.condition("acme", "Programmed")
	w.Expect(pending.Status).To(Equal(metav1.ConditionFalse))
	w.Expect(pending.Message).To(ContainSubstring("edge-1 (unreachable)"))

	w.fleet.silent = false
	w.reconcile()
	w.Expect(w.table().Routes[0].Primary().Name).To(Equal("green"))
	w.Expect(w.condition("acme", "Programmed").Message).To(Equal("every ready instance runs this generation: callbacks go to backend green"))
	w.Expect(w.events.take()).To(ContainElement(
		"Normal Programmed Programmed CallbackRoute/acme: every ready instance runs this generation: callbacks go to backend green"))
}

// A sunset needs no event to be noticed: the pass before it asks for one at
// its very instant.
func TestF45_Reconcile_MeetsTheSunsetOnTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	end := w.clock.Now().Add(90 * time.Second).Truncate(time.Second)
	w.migration(w.newRoute("acme", func(s *callbackv1alpha1.CallbackRouteSpec) { s.SunsetTime = metav1.NewTime(end) }))
	w.settle()
	w.events.take()

	result := w.reconcile()
	w.Expect(w.clock.Now().Add(result.RequeueAfter)).To(BeTemporally("==", end))
	w.clock.SetTime(end)
	quiet := w.route("acme").CreationTimestamp.Add(time.Hour)
	w.Expect(end.Add(w.reconcile().RequeueAfter)).To(BeTemporally("==", quiet), "only the hour without callbacks is left to wait for")

	w.Expect(w.condition("acme", "SunsetPassed").Status).To(Equal(metav1.ConditionTrue))
	ready := w.condition("acme", "Ready")
	w.Expect(ready.Status).To(Equal(metav1.ConditionTrue), "the sunset was planned")
	w.Expect(ready.Reason).To(Equal("SunsetPassed"))
	w.Expect(w.events.take()).To(ConsistOf(ContainSubstring("Warning SunsetPassed SunsetPassed CallbackRoute/acme")))
	w.reconcile()
	w.Expect(w.events.take()).To(BeEmpty(), "once")
}

func TestF23_Reconcile_ARevokedGrantStopsTheTraffic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	cross := func(service string) func(*callbackv1alpha1.CallbackRouteSpec) {
		return func(s *callbackv1alpha1.CallbackRouteSpec) {
			s.Backends = s.Backends[:1]
			s.Backends[0].Service = callbackv1alpha1.ServiceReference{
				Namespace: callbackv1alpha1.Namespace(w.other), Name: callbackv1alpha1.ObjectName(service), Port: 8080,
			}
		}
	}
	grant := &gatewayv1beta1.ReferenceGrant{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.other, Name: "identity"},
		Spec: gatewayv1beta1.ReferenceGrantSpec{
			From: []gatewayv1beta1.ReferenceGrantFrom{{Group: "callbackproxy.io", Kind: "CallbackRoute", Namespace: gatewayv1beta1.Namespace(w.identity)}},
			To:   []gatewayv1beta1.ReferenceGrantTo{{Kind: "Service"}},
		},
	}
	w.migration(w.newRoute("there", cross("sso")), w.newRoute("absent", cross("nothing")))
	w.create(w.service(w.other, "sso"), grant)
	w.settle()
	w.Expect(w.condition("there", "ResolvedRefs").Status).To(Equal(metav1.ConditionTrue))
	w.events.take()

	w.Expect(w.client.Delete(w.ctx, grant)).To(Succeed())
	w.settle()
	for _, route := range w.table().Routes {
		w.Expect(route.Primary().Addresses).To(BeEmpty(), "nothing to dial for %s", route.Name)
	}
	forbidden, absent := w.condition("there", "ResolvedRefs"), w.condition("absent", "ResolvedRefs")
	w.Expect(forbidden.Reason).To(Equal("RefNotPermitted"))
	w.Expect(absent.Reason).To(Equal(forbidden.Reason))
	w.Expect(w.events.take()).To(ContainElement(ContainSubstring("Warning RefNotPermitted ResolvedRefs CallbackRoute/there")))

	restored := grant.DeepCopy()
	restored.ResourceVersion, restored.UID = "", ""
	w.create(restored)
	w.settle()
	w.Expect(w.condition("there", "Ready").Status).To(Equal(metav1.ConditionTrue))
	w.Expect(w.events.take()).To(ContainElement(ContainSubstring("Normal ResolvedRefs ResolvedRefs CallbackRoute/there")))
}

func TestReconcile_RoutesOfAnUnknownProxyAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.create(w.newRoute("orphan"))
	w.reconcile()
	c := w.condition("orphan", "Accepted")
	w.Expect(c.Reason).To(Equal("ProxyNotFound"))
	w.Expect(c.Message).To(Equal("CallbackProxy " + w.proxyKey().String() + " does not exist: create it, or set spec.proxyRef to another one"))
	w.Expect(w.condition("orphan", "Ready").Reason).To(Equal("ProxyNotFound"))

	w.migration()
	w.settle()
	w.Expect(w.condition("orphan", "Ready").Status).To(Equal(metav1.ConditionTrue))
	w.Expect(w.client.Delete(w.ctx, w.proxy())).To(Succeed())
	w.reconcile()
	w.Expect(w.condition("orphan", "Ready").Reason).To(Equal("ProxyNotFound"))
}

func TestReconcile_ARefusedConfigIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.fleet.refuse = "format 2, this proxy reads format 1"
	w.settle()
	c := w.condition("acme", "Programmed")
	w.Expect(c.Reason).To(Equal("RefusedByProxy"))
	w.Expect(c.Message).To(Equal("instances refused the config and serve their last good one: edge-1 (Invalid)"), "no word of other tenants' routes")
	platform := find(w.liveProxy().Status.Conditions, "Programmed")
	w.Expect(platform.Message).To(ContainSubstring("edge-1 (Invalid: format 2, this proxy reads format 1)"))
	w.Expect(w.events.take()).To(ContainElement(ContainSubstring("Warning RefusedByProxy Programmed CallbackRoute/acme")))
}

func TestReconcile_ADeletedRouteIsGoneFromTheTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("stays"), w.newRoute("goes"))
	w.settle()
	w.Expect(w.table().Routes).To(HaveLen(2))
	w.Expect(w.client.Delete(w.ctx, w.newRoute("goes"))).To(Succeed())
	w.settle()
	w.Expect(w.table().Routes).To(HaveLen(1))
	w.Expect(w.client.Delete(w.ctx, w.newRoute("stays"))).To(Succeed())
	w.settle()
	w.Expect(w.table().Routes).To(BeEmpty(), "an empty table is published as such, never by leaving it out")
	w.Expect(w.table().Holds).To(HaveLen(2), "other namespaces cannot take over the callbacks for ten minutes")
	w.clock.SetTime(w.clock.Now().Add(11 * time.Minute))
	w.settle()
	w.Expect(w.table().Holds).To(BeEmpty())
	var parts callbackv1alpha1.CallbackProxyConfigList
	w.Expect(w.client.List(w.ctx, &parts, client.InNamespace(w.platform))).To(Succeed())
	w.Expect(parts.Items).To(HaveLen(1), "the index alone")
}

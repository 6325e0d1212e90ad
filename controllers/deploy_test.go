// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/workload"
)

var everyKind = []schema.GroupVersionKind{
	kube.KindServiceAccount, kube.KindRoleBinding, kube.KindNetworkPolicy, kube.KindService, kube.KindDeployment, kube.KindBudget,
}

// fleetIn gives the CallbackProxy of a spec a mode, and what belongs to it.
func (w *world) fleetIn(mode callbackv1alpha1.ProxyMode, change ...func(*callbackv1alpha1.CallbackProxySpec)) {
	w.t.Helper()
	stored := &kube.Proxy{}
	w.Expect(w.client.Get(w.ctx, w.proxyKey(), stored)).To(Succeed())
	stored.Spec.Mode, stored.Spec.Deployment, stored.Spec.Sidecar = mode, callbackv1alpha1.ProxyDeployment{}, callbackv1alpha1.ProxySidecar{}
	if mode == callbackv1alpha1.ModeSidecar {
		stored.Spec.Sidecar = callbackv1alpha1.ProxySidecar{AppPort: 8000}
	}
	for _, f := range change {
		f(&stored.Spec)
	}
	w.Expect(w.client.Update(w.ctx, stored)).To(Succeed())
}

func replicas(n int32) func(*callbackv1alpha1.CallbackProxySpec) {
	return func(s *callbackv1alpha1.CallbackProxySpec) {
		s.Deployment = callbackv1alpha1.ProxyDeployment{Replicas: n}
	}
}

// deployed makes a fleet in mode Deployment and everything it is made of.
func (w *world) deployed(change ...func(*callbackv1alpha1.CallbackProxySpec)) {
	w.t.Helper()
	w.migration(w.newRoute("acme"))
	w.fleetIn(callbackv1alpha1.ModeDeployment, change...)
	w.settle()
	w.writes.take()
}

// part reads one object of the fleet; nil when there is none.
func (w *world) part(kind schema.GroupVersionKind) *unstructured.Unstructured {
	w.t.Helper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	name := workload.Name("edge")
	if kind == kube.KindRoleBinding {
		name = workload.RoleBindingName("edge")
	}
	err := w.client.Get(w.ctx, types.NamespacedName{Namespace: w.platform, Name: name}, object)
	if apierrors.IsNotFound(err) {
		return nil
	}
	w.Expect(err).NotTo(HaveOccurred())
	return object
}

// edit changes one object of the fleet, as somebody else.
func (w *world) edit(kind schema.GroupVersionKind, patch string) {
	w.t.Helper()
	object := w.part(kind)
	w.Expect(w.client.Patch(w.ctx, object, client.RawPatch(types.MergePatchType, []byte(patch)), client.FieldOwner("somebody"))).To(Succeed())
}

func (w *world) about(kind string) metav1.Condition {
	w.t.Helper()
	c := find(w.liveProxy().Status.Conditions, kind)
	w.Expect(c).NotTo(BeNil(), kind)
	return *c
}

func TestDeploy_MakesAFleetAndLeavesItAlone(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.deployed()
	owner := w.liveProxy()
	versions := map[string]string{}
	for _, kind := range everyKind {
		object := w.part(kind)
		w.Expect(object).NotTo(BeNil(), kind.Kind)
		w.Expect(isOwn(object, owner.UID)).To(BeTrue(), kind.Kind)
		w.Expect(object.GetLabels()).To(HaveKeyWithValue(callbackv1alpha1.ProxyLabel, "edge"))
		versions[kind.Kind] = object.GetResourceVersion()
	}
	w.Expect(w.about("Ready").Status).To(Equal(metav1.ConditionTrue))

	for range 10 {
		w.clock.SetTime(w.clock.Now().Add(time.Minute))
		w.reconcile()
	}
	w.Expect(w.writes.take()).To(BeEmpty(), "an unchanged world is not written to")

	w.newLeader()
	w.settle()
	for _, kind := range everyKind {
		w.Expect(w.part(kind).GetResourceVersion()).To(Equal(versions[kind.Kind]), "a new leader changes nothing of %s", kind.Kind)
	}
	w.writes.take()
	w.reconcile()
	w.Expect(w.writes.take()).To(BeEmpty())
}

// What others change of what is ours is put right by the next pass, in one
// write.
func TestDeploy_RepairsDrift(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.deployed()
	label := `{"metadata":{"labels":{"callbackproxy.io/proxy":"other"}}}`
	for name, drift := range map[string]struct {
		kind  schema.GroupVersionKind
		patch string
	}{
		"an image":             {kube.KindDeployment, `{"spec":{"template":{"spec":{"containers":[{"name":"callback-proxy","image":"evil"}]}}}}`},
		"replicas":             {kube.KindDeployment, `{"spec":{"replicas":7}}`},
		"a strategy":           {kube.KindDeployment, `{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}`},
		"a selector":           {kube.KindService, `{"spec":{"selector":{"callbackproxy.io/proxy":"other"}}}`},
		"a type":               {kube.KindService, `{"spec":{"type":"NodePort"}}`},
		"a budget":             {kube.KindBudget, `{"spec":{"maxUnavailable":2}}`},
		"an open policy":       {kube.KindNetworkPolicy, `{"spec":{"egress":[{}]}}`},
		"a token for all":      {kube.KindServiceAccount, `{"automountServiceAccountToken":true}`},
		"another subject":      {kube.KindRoleBinding, `{"subjects":[{"kind":"Group","name":"everybody","apiGroup":"rbac.authorization.k8s.io"}]}`},
		"a Deployment's label": {kube.KindDeployment, label},
		"a Service's label":    {kube.KindService, label},
		"a budget's label":     {kube.KindBudget, label},
	} {
		before := content(w.part(drift.kind))
		w.edit(drift.kind, drift.patch)
		w.Expect(content(w.part(drift.kind))).NotTo(Equal(before), name)
		w.writes.take()
		w.reconcile()
		w.Expect(w.writes.take()).To(ConsistOf(HavePrefix("apply "+drift.kind.Kind)), name)
		w.Expect(content(w.part(drift.kind))).To(Equal(before), name)
		w.reconcile()
		w.Expect(w.writes.take()).To(BeEmpty(), name)
	}
	for _, kind := range everyKind {
		w.Expect(w.client.Delete(w.ctx, w.part(kind))).To(Succeed())
		w.reconcile()
		w.Expect(w.part(kind)).NotTo(BeNil(), "%s is made again", kind.Kind)
	}
}

// content is an object without what the API server counts.
func content(object *unstructured.Unstructured) string {
	object = object.DeepCopy()
	for _, field := range []string{"resourceVersion", "generation", "managedFields", "annotations"} {
		unstructured.RemoveNestedField(object.Object, "metadata", field)
	}
	for _, field := range []string{"clusterIP", "clusterIPs"} {
		unstructured.RemoveNestedField(object.Object, "spec", field)
	}
	data, err := json.Marshal(object.Object)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// What others add stays, and costs no write without end.
func TestDeploy_KeepsWhatOthersAdd(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.deployed()
	w.edit(kube.KindDeployment, `{"metadata":{"labels":{"team":"edge"}},"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"now"}}}}}`)
	w.edit(kube.KindService, `{"metadata":{"annotations":{"cloud":"says"}}}`)
	w.reconcile()
	w.writes.take()
	w.reconcile()
	w.Expect(w.writes.take()).To(BeEmpty())
	w.Expect(w.part(kube.KindDeployment).GetLabels()).To(HaveKeyWithValue("team", "edge"))
	w.Expect(w.part(kube.KindService).GetAnnotations()).To(HaveKeyWithValue("cloud", "says"))
	restarted, _, err := unstructured.NestedString(w.part(kube.KindDeployment).Object, "spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt")
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(restarted).To(Equal("now"))

	// A status is no change.
	running := w.running()
	running.Status.ObservedGeneration, running.Status.Replicas = running.Generation, 2
	w.Expect(w.client.Status().Update(w.ctx, running)).To(Succeed())
	w.writes.take()
	w.reconcile()
	w.Expect(w.writes.take()).To(BeEmpty())
}

func (w *world) running() *appsv1.Deployment {
	w.t.Helper()
	running := &appsv1.Deployment{}
	w.Expect(w.client.Get(w.ctx, types.NamespacedName{Namespace: w.platform, Name: "callback-edge"}, running)).To(Succeed())
	return running
}

// What is taken out of the spec is taken out of the objects, although others
// may add to them.
func TestDeploy_FollowsTheSpec(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.deployed(func(s *callbackv1alpha1.CallbackProxySpec) {
		s.Listener.Port = 8443
		s.Deployment = callbackv1alpha1.ProxyDeployment{
			NodeSelector: map[string]callbackv1alpha1.LabelValue{"pool": "edge"},
			Service: callbackv1alpha1.ProxyService{
				Type: "LoadBalancer", Annotations: map[string]callbackv1alpha1.AnnotationValue{"internal": "true"},
			},
		}
	})
	service := w.part(kube.KindService)
	w.Expect(service.GetAnnotations()).To(HaveKeyWithValue("internal", "true"))
	w.Expect(content(service)).To(ContainSubstring(`"LoadBalancer"`))
	w.Expect(w.running().Spec.Template.Spec.NodeSelector).To(HaveKeyWithValue("pool", "edge"))

	w.fleetIn(callbackv1alpha1.ModeDeployment, func(s *callbackv1alpha1.CallbackProxySpec) { s.Listener.Port = 8080 })
	w.settle()
	service = w.part(kube.KindService)
	w.Expect(service.GetAnnotations()).NotTo(HaveKey("internal"))
	w.Expect(content(service)).To(And(ContainSubstring(`"ClusterIP"`), ContainSubstring(`"port":8080`), Not(ContainSubstring("8443")), Not(ContainSubstring("nodePort"))))
	w.Expect(w.running().Spec.Template.Spec.NodeSelector).To(BeEmpty())
	w.Expect(w.running().Spec.Template.Spec.Containers[0].Ports).To(HaveLen(2))
}

func TestDeploy_TheBudgetComesAndGoes(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.deployed(replicas(1))
	w.Expect(w.part(kube.KindBudget)).To(BeNil())
	w.Expect(w.running().Spec.Replicas).To(HaveValue(BeEquivalentTo(1)))

	w.fleetIn(callbackv1alpha1.ModeDeployment, replicas(3))
	w.settle()
	w.Expect(w.part(kube.KindBudget)).NotTo(BeNil())

	w.fleetIn(callbackv1alpha1.ModeDeployment, replicas(1))
	w.settle()
	w.Expect(w.part(kube.KindBudget)).To(BeNil())
	w.writes.take()

	// Somebody else's is not deleted.
	w.create(w.foreign(kube.KindBudget))
	w.reconcile()
	w.Expect(w.part(kube.KindBudget)).NotTo(BeNil())
	w.Expect(w.about("Accepted").Status).To(Equal(metav1.ConditionTrue), "it is in nobody's way")
	w.Expect(w.writes.take()).NotTo(ContainElement(HavePrefix("delete")))
}

func TestDeploy_ANamespaceThatWasNotGiven(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.fleetIn(callbackv1alpha1.ModeDeployment)
	given := w.settings()
	given.ProxyNamespaces = []string{"edge", "callback-system"}
	w.reconciler.Deployer = NewDeployer(w.client, w.client, given)
	w.settle()
	accepted := w.about("Accepted")
	w.Expect(accepted.Reason).To(Equal("NamespaceNotManaged"))
	w.Expect(accepted.Message).To(And(ContainSubstring("namespace "+w.platform), ContainSubstring("callback-system, edge")))
	w.Expect(w.writes.take()).NotTo(ContainElement(HavePrefix("apply " + "Service")))
	for _, kind := range everyKind {
		w.Expect(w.part(kind)).To(BeNil(), kind.Kind)
	}
	w.Expect(w.condition("acme", "Ready").Status).To(Equal(metav1.ConditionTrue), "what runs is served")

	given = w.settings()
	given.Proxies.Image = ""
	w.reconciler.Deployer = NewDeployer(w.client, w.client, given)
	w.settle()
	w.Expect(w.about("Accepted").Message).To(ContainSubstring("--proxy-image"))
	for _, kind := range everyKind {
		w.Expect(w.part(kind)).To(BeNil(), kind.Kind)
	}
}

// What the API server does not take is told in its words, tried again, and in
// nobody else's way.
func TestDeploy_WhatTheAPIServerRefuses(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.fleetIn(callbackv1alpha1.ModeDeployment, func(s *callbackv1alpha1.CallbackProxySpec) {
		s.Deployment = callbackv1alpha1.ProxyDeployment{NodeSelector: map[string]callbackv1alpha1.LabelValue{"no label " + strings.Repeat("x", 900): "a"}}
	})
	w.settle()
	w.Expect(w.about("Accepted").Status).To(Equal(metav1.ConditionTrue))
	programmed := w.about("Programmed")
	w.Expect(programmed.Reason).To(Equal("NotDeployed"))
	w.Expect(programmed.Message).To(And(ContainSubstring("Deployment callback-edge: "), ContainSubstring("nodeSelector")))
	w.Expect(len(programmed.Message)).To(BeNumerically("<", maxRefusalBytes+200))
	w.Expect(w.events.take()).To(ContainElement(ContainSubstring("Warning NotDeployed Programmed CallbackProxy/edge")))
	w.Expect(w.condition("acme", "Ready").Status).To(Equal(metav1.ConditionTrue))
	for _, kind := range everyKind {
		w.Expect(w.part(kind) == nil).To(Equal(kind == kube.KindDeployment), kind.Kind)
	}
	w.writes.take()
	result := w.reconcile()
	w.Expect(w.writes.take()).To(BeEmpty(), "not again and again")
	w.Expect(result.RequeueAfter).To(BeNumerically("<=", recheck))
	w.clock.SetTime(w.clock.Now().Add(recheck))
	w.reconcile()
	w.Expect(w.writes.take()).To(ConsistOf(HavePrefix("apply Deployment")), "but again")

	w.fleetIn(callbackv1alpha1.ModeDeployment)
	w.settle()
	w.Expect(w.about("Ready").Status).To(Equal(metav1.ConditionTrue), "at once when it is put right")
}

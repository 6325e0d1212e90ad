// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/controllers/workload"
)

const deployment, sidecar, external = callbackv1alpha1.ModeDeployment, callbackv1alpha1.ModeSidecar, callbackv1alpha1.ModeExternal

func TestReconcile_AppliesEveryObjectOnce(t *testing.T) {
	r := newRig(t, deployment)
	_, known := r.controller.Outcome(r.proxy())
	r.Expect(known).To(BeFalse(), "there is no outcome before the first reconcile")
	r.Expect(r.outcome()).To(Equal(status.Deployed{}))
	for _, kind := range everyKind {
		object := r.part(kind)
		r.Expect(object).NotTo(BeNil(), kind.Kind)
		r.Expect(isOwn(object, r.proxy().UID)).To(BeTrue(), kind.Kind)
		r.Expect(object.GetLabels()).To(HaveKeyWithValue(callbackv1alpha1.ProxyLabel, "edge"))
	}
	before := r.versions()
	r.reconcile()
	r.Expect(r.versions()).To(Equal(before), "an apply without a change leaves the version")
	r.controller = r.newController(r.client, r.namespace)
	r.reconcile()
	r.Expect(r.versions()).To(Equal(before), "a new leader changes nothing")
}

func TestReconcile_RepairsDrift(t *testing.T) {
	r := newRig(t, deployment)
	r.reconcile()
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
		"a mounted token":      {kube.KindServiceAccount, `{"automountServiceAccountToken":true}`},
		"another subject":      {kube.KindRoleBinding, `{"subjects":[{"kind":"Group","name":"all","apiGroup":"rbac.authorization.k8s.io"}]}`},
		"a Deployment's label": {kube.KindDeployment, label},
		"a Service's label":    {kube.KindService, label},
		"a budget's label":     {kube.KindBudget, label},
	} {
		before := content(r.part(drift.kind))
		r.edit(drift.kind, drift.patch)
		r.Expect(content(r.part(drift.kind))).NotTo(Equal(before), name)
		r.reconcile()
		r.Expect(content(r.part(drift.kind))).To(Equal(before), name)
	}
	for _, kind := range everyKind {
		r.Expect(r.client.Delete(r.ctx, r.part(kind))).To(Succeed())
		r.reconcile()
		r.Expect(r.part(kind)).NotTo(BeNil(), "%s is created again", kind.Kind)
	}
}

// Fields that other clients add stay, and do not cause a write for each reconcile.
func TestReconcile_KeepsForeignFields(t *testing.T) {
	r := newRig(t, deployment)
	r.reconcile()
	r.edit(kube.KindDeployment, `{"metadata":{"labels":{"team":"edge"}},"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"now"}}}}}`)
	r.edit(kube.KindService, `{"metadata":{"annotations":{"cloud":"value"}}}`)
	before := r.versions()
	r.reconcile()
	r.Expect(r.versions()).To(Equal(before))
	r.Expect(r.part(kube.KindDeployment).GetLabels()).To(HaveKeyWithValue("team", "edge"))
	r.Expect(r.part(kube.KindService).GetAnnotations()).To(HaveKeyWithValue("cloud", "value"))
	r.Expect(r.running().Spec.Template.Annotations).To(HaveKeyWithValue("kubectl.kubernetes.io/restartedAt", "now"))
}

// A field that is removed from the spec is removed from the objects.
func TestReconcile_FollowsTheSpec(t *testing.T) {
	r := newRig(t, deployment, func(s *proxySpec) {
		s.Listener.Port = 8443
		s.Deployment.NodeSelector = map[string]callbackv1alpha1.LabelValue{"pool": "edge"}
		s.Deployment.Service = callbackv1alpha1.ProxyService{
			Type: "LoadBalancer", Annotations: map[string]callbackv1alpha1.AnnotationValue{"internal": "true"},
		}
	})
	r.reconcile()
	service := r.part(kube.KindService)
	r.Expect(service.GetAnnotations()).To(HaveKeyWithValue("internal", "true"))
	r.Expect(content(service)).To(ContainSubstring(`"LoadBalancer"`))
	r.Expect(r.running().Spec.Template.Spec.NodeSelector).To(HaveKeyWithValue("pool", "edge"))

	r.update(deployment, func(s *proxySpec) { s.Listener.Port = 8080 })
	r.reconcile()
	service = r.part(kube.KindService)
	r.Expect(service.GetAnnotations()).NotTo(HaveKey("internal"))
	r.Expect(content(service)).To(And(ContainSubstring(`"ClusterIP"`), ContainSubstring(`"port":8080`), Not(ContainSubstring("8443")), Not(ContainSubstring("nodePort"))))
	r.Expect(r.running().Spec.Template.Spec.NodeSelector).To(BeEmpty())
	r.Expect(r.running().Spec.Template.Spec.Containers[0].Ports).To(HaveLen(2))
}

func TestReconcile_BudgetFollowsReplicas(t *testing.T) {
	r := newRig(t, deployment, replicas(1))
	r.reconcile()
	r.Expect(r.part(kube.KindBudget)).To(BeNil())
	r.Expect(r.running().Spec.Replicas).To(HaveValue(BeEquivalentTo(1)))

	r.update(deployment, replicas(3))
	r.reconcile()
	r.Expect(r.part(kube.KindBudget)).NotTo(BeNil())

	r.update(deployment, replicas(1))
	r.reconcile()
	r.Expect(r.part(kube.KindBudget)).To(BeNil())
	r.deleted = nil

	r.create(r.foreign(kube.KindBudget))
	r.Expect(r.outcome()).To(Equal(status.Deployed{}), "a foreign object of an undesired kind is not in the way")
	r.Expect(r.part(kube.KindBudget)).NotTo(BeNil())
	r.Expect(r.deleted).To(BeEmpty())
}

func TestReconcile_UnmanagedNamespace(t *testing.T) {
	r := newRig(t, deployment)
	r.controller = r.newController(r.client, "edge", "callback-system")
	r.Expect(r.outcome()).To(Equal(status.Deployed{Unmanaged: true, Managed: []string{"callback-system", "edge"}}))
	r.Expect(r.kinds()).To(BeEmpty())
}

// A refused object is reported with the clipped message of the API server, and
// retried; the other objects are applied.
func TestReconcile_ReportsRefusals(t *testing.T) {
	r := newRig(t, deployment, func(s *proxySpec) {
		s.Deployment.NodeSelector = map[string]callbackv1alpha1.LabelValue{"no label " + strings.Repeat("x", 900): "a"}
	})
	result := r.reconcile()
	r.Expect(result.RequeueAfter).To(Equal(retryInterval))
	deployed, _ := r.controller.Outcome(r.proxy())
	r.Expect(deployed.Refused).To(HaveLen(1))
	r.Expect(deployed.Refused[0].Object).To(Equal("Deployment callback-edge"))
	r.Expect(deployed.Refused[0].Message).To(ContainSubstring("nodeSelector"))
	r.Expect(len(deployed.Refused[0].Message)).To(BeNumerically("<=", maxRefusalBytes))
	r.Expect(r.kinds()).To(ConsistOf("ServiceAccount", "RoleBinding", "NetworkPolicy", "Service", "PodDisruptionBudget"))

	r.update(deployment)
	r.Expect(r.outcome()).To(Equal(status.Deployed{}))
}

// The main controller gets one event for each changed outcome.
func TestReconcile_RequestsAPassWhenTheOutcomeChanges(t *testing.T) {
	r := newRig(t, deployment)
	events := func() int {
		n := 0
		for {
			select {
			case e := <-r.controller.Changed():
				r.Expect(e.Object).To(Equal(r.key()))
				n++
			default:
				return n
			}
		}
	}
	r.reconcile()
	r.Expect(events()).To(Equal(1))
	r.reconcile()
	r.Expect(events()).To(BeZero(), "the outcome is the same")
	r.update(deployment, replicas(3))
	_, known := r.controller.Outcome(r.proxy())
	r.Expect(known).To(BeFalse(), "the outcome of an older generation does not count")
	r.reconcile()
	r.Expect(events()).To(Equal(1))

	r.Expect(r.client.Delete(r.ctx, &kube.Proxy{CallbackProxy: *r.proxy()})).To(Succeed())
	r.reconcile()
	r.Expect(r.controller.outcomes).To(BeEmpty(), "nothing is kept of a deleted CallbackProxy")
}

// Leaving mode Deployment deletes the controller's own objects and no others.
func TestReconcile_DeletesOwnObjectsAfterModeDeployment(t *testing.T) {
	for name, mode := range map[string]callbackv1alpha1.ProxyMode{"External": external, "Sidecar": sidecar} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, deployment)
			r.reconcile()
			// The Service lost its owner reference, so it is not the controller's own.
			r.edit(kube.KindService, `{"metadata":{"ownerReferences":null}}`)
			beside := r.foreign(kube.KindServiceAccount)
			beside.SetName("callback-other")
			beside.SetLabels(map[string]string{callbackv1alpha1.ProxyLabel: "edge"})
			r.create(beside)
			r.update(mode)
			r.Expect(r.outcome()).To(Equal(status.Deployed{}))
			r.Expect(r.kinds()).To(ConsistOf("Service", "RoleBinding"))
			r.Expect(r.client.Get(r.ctx, client.ObjectKeyFromObject(beside), &corev1.ServiceAccount{})).To(Succeed())
			if mode == external {
				r.Expect(r.binding().Subjects).To(BeEmpty(), "the binding grants nothing")
			} else {
				r.Expect(r.binding().Subjects).To(ConsistOf(HaveField("Name", "system:serviceaccounts:"+r.namespace)))
			}
			before := r.versions()
			r.reconcile()
			r.Expect(r.versions()).To(Equal(before))

			r.Expect(r.client.Delete(r.ctx, r.part(kube.KindService))).To(Succeed())
			r.update(deployment)
			r.reconcile()
			r.Expect(r.kinds()).To(HaveLen(len(everyKind)))
			r.Expect(r.binding().Subjects).To(ConsistOf(HaveField("Name", "callback-edge")))
		})
	}
}

// Sidecars run in any namespace: they need a RoleBinding alone.
func TestReconcile_SidecarsNeedARoleBinding(t *testing.T) {
	r := newRig(t, sidecar)
	r.controller = r.newController(r.client, "callback-system")
	r.Expect(r.outcome()).To(Equal(status.Deployed{}))
	r.Expect(r.kinds()).To(ConsistOf("RoleBinding"))
	r.Expect(r.binding().RoleRef.Name).To(Equal("callback-proxy"))
	r.Expect(r.binding().Subjects).To(ConsistOf(HaveField("Name", "system:serviceaccounts:"+r.namespace)))

	r.update(external)
	r.reconcile()
	r.Expect(r.binding().Subjects).To(BeEmpty())
}

// In mode External the controller creates nothing and empties no foreign
// RoleBinding.
func TestReconcile_ExternalCreatesNothing(t *testing.T) {
	r := newRig(t, external)
	theirs := r.foreign(kube.KindRoleBinding)
	theirs.Object["subjects"] = []any{map[string]any{"kind": "Group", "name": "theirs", "apiGroup": "rbac.authorization.k8s.io"}}
	theirs.SetLabels(map[string]string{callbackv1alpha1.ProxyLabel: "edge"})
	r.create(theirs)
	r.Expect(r.outcome()).To(Equal(status.Deployed{}))
	r.Expect(r.binding().Subjects).To(HaveLen(1))
	r.Expect(r.kinds()).To(ConsistOf("RoleBinding"))
}

// The longest names that the CRD allows are names that the API server allows.
func TestReconcile_LongestNames(t *testing.T) {
	for mode, length := range map[callbackv1alpha1.ProxyMode]int{deployment: 46, sidecar: 63} {
		r := newRig(t, deployment)
		stored := &kube.Proxy{CallbackProxy: *r.proxy()}
		stored.ObjectMeta = metav1.ObjectMeta{Namespace: r.namespace, Name: "9" + strings.Repeat("x", length)}
		setMode(&stored.Spec, mode)
		r.Expect(r.client.Create(r.ctx, stored)).NotTo(Succeed())
		stored.Name = "9" + strings.Repeat("x", length-1)
		r.create(stored)
		_, err := r.controller.Reconcile(r.ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(stored)})
		r.Expect(err).NotTo(HaveOccurred())
		deployed, known := r.controller.Outcome(&stored.CallbackProxy)
		r.Expect(known).To(BeTrue())
		r.Expect(deployed).To(Equal(status.Deployed{}), string(mode))
	}
}

// The proxies' pods meet the Pod Security level restricted, and so does a pod
// with a sidecar.
func TestReconcile_PodsAreRestricted(t *testing.T) {
	r := newRig(t, deployment, func(s *proxySpec) { s.Listener.Port = 443 })
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "strict-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	r.create(namespace)
	admit := func(name string, spec corev1.PodSpec) error {
		spec.ServiceAccountName, spec.DeprecatedServiceAccount = "default", ""
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: "default"}}
		_ = r.client.Create(r.ctx, account) // no controller manager creates it
		return r.client.Create(r.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: name}, Spec: spec})
	}
	r.Expect(admit("unrestricted", corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}})).
		To(MatchError(ContainSubstring("PodSecurity")), "the level is enforced")
	r.reconcile()
	r.Expect(admit("privileged-port", r.running().Spec.Template.Spec)).To(Succeed())
	r.update(deployment)
	r.reconcile()
	r.Expect(admit("deployment", r.running().Spec.Template.Spec)).To(Succeed())

	r.update(sidecar)
	yes, user := true, int64(1000)
	r.Expect(admit("sidecar", corev1.PodSpec{
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Containers: []corev1.Container{{Name: "app", Image: "app", SecurityContext: &corev1.SecurityContext{
			RunAsUser: &user, AllowPrivilegeEscalation: new(bool), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		}}},
		InitContainers: []corev1.Container{workload.Container(r.proxy(), "callback-proxy", nil)},
		Volumes:        workload.Volumes(),
	})).To(Succeed())
}

// foreign returns an object of another owner with a name that the CallbackProxy
// needs.
func (r *rig) foreign(kind schema.GroupVersionKind) *unstructured.Unstructured {
	object := r.named(kind)
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
	return object
}

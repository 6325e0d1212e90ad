// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/workload"
)

// A mode that is taken away takes with it what the operator made, and nothing
// else.
func TestDeploy_AModeThatIsTakenAway(t *testing.T) {
	for name, mode := range map[string]callbackv1alpha1.ProxyMode{"none": "", "sidecar": callbackv1alpha1.ModeSidecar} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, controlPlane)
			w.deployed()
			// One is not ours any more: somebody took it over.
			w.edit(kube.KindService, `{"metadata":{"ownerReferences":null}}`)
			beside := w.foreign(kube.KindServiceAccount)
			beside.SetName("callback-other")
			beside.SetLabels(map[string]string{callbackv1alpha1.ProxyLabel: "edge"})
			w.create(beside)
			w.fleetIn(mode)
			w.settle()
			for _, kind := range everyKind {
				w.Expect(w.part(kind) != nil).To(Equal(kind == kube.KindService || kind == kube.KindRoleBinding), kind.Kind)
			}
			w.Expect(w.client.Get(w.ctx, client.ObjectKeyFromObject(beside), &corev1.ServiceAccount{})).To(Succeed())
			if mode == "" {
				w.Expect(w.binding().Subjects).To(BeEmpty(), "it gives nothing any more")
			} else {
				w.Expect(w.binding().Subjects).To(ConsistOf(HaveField("Name", "system:serviceaccounts:"+w.platform)))
			}
			w.writes.take()
			w.reconcile()
			w.Expect(w.writes.take()).To(BeEmpty())
			w.newLeader()
			w.settle()
			w.Expect(w.about("Ready").Status).To(Equal(metav1.ConditionTrue))
			w.Expect(w.part(kube.KindService)).NotTo(BeNil())

			w.Expect(w.client.Delete(w.ctx, w.part(kube.KindService))).To(Succeed())
			w.fleetIn(callbackv1alpha1.ModeDeployment)
			w.settle()
			for _, kind := range everyKind {
				w.Expect(w.part(kind)).NotTo(BeNil(), kind.Kind)
			}
			w.Expect(w.binding().Subjects).To(ConsistOf(HaveField("Name", "callback-edge")))
		})
	}
}

func (w *world) binding() *rbacv1.RoleBinding {
	w.t.Helper()
	binding := &rbacv1.RoleBinding{}
	config, err := client.New(controlPlane.Config, client.Options{})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(config.Get(w.ctx, types.NamespacedName{Namespace: w.platform, Name: "callback-proxy-edge"}, binding)).To(Succeed())
	return binding
}

// Sidecars may run in any namespace: all that they need is a RoleBinding.
func TestDeploy_Sidecars(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.fleetIn(callbackv1alpha1.ModeSidecar)
	given := w.settings()
	given.ProxyNamespaces = []string{"callback-system"}
	w.reconciler.Deployer = NewDeployer(w.client, w.client, given)
	w.settle()
	w.Expect(w.about("Ready").Status).To(Equal(metav1.ConditionTrue))
	w.Expect(w.binding().RoleRef.Name).To(Equal("callback-proxy"))
	w.Expect(w.binding().Subjects).To(Equal([]rbacv1.Subject{
		{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:serviceaccounts:" + w.platform},
	}))
	for _, kind := range everyKind {
		w.Expect(w.part(kind) != nil).To(Equal(kind == kube.KindRoleBinding), kind.Kind)
	}
	w.writes.take()
	w.reconcile()
	w.Expect(w.writes.take()).To(BeEmpty())

	w.Expect(w.client.Delete(w.ctx, w.part(kube.KindRoleBinding))).To(Succeed())
	w.reconcile()
	w.Expect(w.binding().Subjects).To(HaveLen(1))
	w.fleetIn("")
	w.reconcile()
	w.Expect(w.binding().Subjects).To(BeEmpty())
}

// Without a mode nothing is made, and nobody's RoleBinding is emptied.
func TestDeploy_WithoutAMode(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	theirs := w.foreign(kube.KindRoleBinding)
	theirs.Object["subjects"] = []any{map[string]any{"kind": "Group", "name": "theirs", "apiGroup": "rbac.authorization.k8s.io"}}
	theirs.SetLabels(map[string]string{callbackv1alpha1.ProxyLabel: "edge"})
	w.create(theirs)
	w.settle()
	w.Expect(w.about("Ready").Status).To(Equal(metav1.ConditionTrue))
	w.Expect(w.binding().Subjects).To(HaveLen(1))
	for _, kind := range everyKind {
		w.Expect(w.part(kind) != nil).To(Equal(kind == kube.KindRoleBinding), kind.Kind)
	}
	w.Expect(w.writes.take()).NotTo(ContainElement(HavePrefix("apply R")))
}

// The longest names that the CRD allows are names that the API server allows.
func TestDeploy_NamesAtTheirLongest(t *testing.T) {
	for mode, length := range map[callbackv1alpha1.ProxyMode]int{callbackv1alpha1.ModeDeployment: 46, callbackv1alpha1.ModeSidecar: 63} {
		t.Run(string(mode), func(t *testing.T) {
			w := newWorld(t, controlPlane)
			proxy := w.proxy()
			proxy.Name = "9" + strings.Repeat("x", length-1)
			proxy.Spec.Mode = mode
			if mode == callbackv1alpha1.ModeSidecar {
				proxy.Spec.Sidecar = callbackv1alpha1.ProxySidecar{AppPort: 8000}
			}
			tooLong := proxy.DeepCopyObject().(*kube.Proxy)
			tooLong.Name += "x"
			w.Expect(w.client.Create(w.ctx, tooLong)).NotTo(Succeed())
			w.create(proxy)
			_, err := w.pass(client.ObjectKeyFromObject(proxy))
			w.Expect(err).NotTo(HaveOccurred())
			live := &kube.Proxy{}
			w.Expect(w.client.Get(w.ctx, client.ObjectKeyFromObject(proxy), live)).To(Succeed())
			w.Expect(find(live.Status.Conditions, "Accepted").Status).To(Equal(metav1.ConditionTrue))
			w.Expect(find(live.Status.Conditions, "Programmed").Reason).To(Equal("NoReadyInstances"))
		})
	}
}

// Every pod of ours is one that a namespace of the level "restricted" takes, so
// is any of its that a sidecar is put into.
func TestDeploy_PodsAreRestricted(t *testing.T) {
	w := newWorld(t, controlPlane)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: w.platform + "-strict", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	w.create(namespace)
	yes, user := true, int64(1000)
	app := corev1.PodSpec{
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Containers: []corev1.Container{{Name: "app", Image: "app", SecurityContext: &corev1.SecurityContext{
			RunAsUser: &user, AllowPrivilegeEscalation: new(bool), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		}}},
	}
	admit := func(name string, spec corev1.PodSpec) error {
		spec.ServiceAccountName, spec.DeprecatedServiceAccount = "default", ""
		return w.client.Create(w.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: name}, Spec: spec})
	}
	w.Expect(admit("careless", corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}})).
		To(MatchError(ContainSubstring("PodSecurity")), "the level is enforced here")

	w.deployed(func(s *callbackv1alpha1.CallbackProxySpec) { s.Listener.Port = 443 })
	w.Expect(admit("privileged-port", w.running().Spec.Template.Spec)).To(Succeed())
	w.fleetIn(callbackv1alpha1.ModeDeployment)
	w.settle()
	w.Expect(admit("deployment", w.running().Spec.Template.Spec)).To(Succeed())

	w.fleetIn(callbackv1alpha1.ModeSidecar)
	front := app.DeepCopy()
	front.InitContainers = []corev1.Container{workload.Container(w.liveProxy(), "callback-proxy")}
	front.Volumes = workload.Volumes()
	w.Expect(admit("sidecar", *front)).To(Succeed())
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// helmCLI does what the commands of Helm do, against one namespace.
type helmCLI struct {
	t          *testing.T
	kubeconfig string
}

// config returns the configuration of one command, which caches the discovery.
func (h *helmCLI) config() *action.Configuration {
	h.t.Helper()
	flags := genericclioptions.NewConfigFlags(false)
	namespace := system
	flags.KubeConfig, flags.Namespace = &h.kubeconfig, &namespace
	config := action.NewConfiguration()
	if err := config.Init(flags, system, "secret"); err != nil {
		h.t.Fatalf("set up Helm: %v", err)
	}
	return config
}

// install runs "helm install". It waits for hooks only, because no pod ever runs
// on this control plane.
func (h *helmCLI) install(values string) error {
	h.t.Helper()
	install := action.NewInstall(h.config())
	install.ReleaseName, install.Namespace, install.CreateNamespace = release, system, true
	install.WaitStrategy, install.Timeout = kube.HookOnlyStrategy, time.Minute
	install.ServerSideApply = true
	_, err := install.Run(load(h.t), parse(h.t, values))
	return err
}

func (h *helmCLI) upgrade(values string) error {
	h.t.Helper()
	upgrade := action.NewUpgrade(h.config())
	upgrade.Namespace, upgrade.WaitStrategy, upgrade.Timeout = system, kube.HookOnlyStrategy, time.Minute
	upgrade.ServerSideApply = "true"
	_, err := upgrade.Run(release, load(h.t), parse(h.t, values))
	return err
}

func (h *helmCLI) uninstall() error {
	h.t.Helper()
	uninstall := action.NewUninstall(h.config())
	uninstall.WaitStrategy, uninstall.Timeout = kube.HookOnlyStrategy, time.Minute
	_, err := uninstall.Run(release)
	return err
}

// Installs the chart together with a fleet, upgrades without replacing the fleet,
// uninstalls without the CRDs, the fleet and the proxies' right to read their
// config, adopts these in another installation, and finally removes everything.
func TestInstall_UpgradeUninstallAndAgain(t *testing.T) {
	g := NewWithT(t)
	cp, err := fixture.StartControlPlane(t.Context(), fixture.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = cp.Stop() })
	c := strictClient(t, cp.Config)
	helm := &helmCLI{t: t, kubeconfig: cp.Kubeconfig}

	installed := helm.install(edge)
	if installed != nil {
		// The API server does not serve its new kinds yet. With --wait this
		// cannot happen on a cluster in which the manager starts.
		g.Expect(installed).To(MatchError(ContainSubstring("no matches for kind")))
		g.Expect(helm.upgrade(edge)).To(Succeed())
	}
	fleet := getFleet(t, c)
	g.Expect(fleet.Spec.Policy.MaxLifetimeDays).To(BeEquivalentTo(90))

	g.Expect(helm.upgrade(edge+"\nreplicas: 3\ncommonLabels: {a: b}")).To(Succeed(), "the release adopts the former hook")
	var manager appsv1.Deployment
	g.Expect(c.Get(t.Context(), client.ObjectKey{Namespace: system, Name: release}, &manager)).To(Succeed())
	g.Expect(manager.Spec.Replicas).To(HaveValue(BeEquivalentTo(3)))
	upgraded := getFleet(t, c)
	g.Expect(upgraded.UID).To(Equal(fleet.UID), "a recreated fleet would interrupt every login")
	g.Expect(upgraded.Labels).To(HaveKeyWithValue("a", "b"))
	g.Expect(upgraded.Annotations).NotTo(HaveKey("helm.sh/hook"))

	g.Expect(helm.uninstall()).To(Succeed())
	g.Expect(getFleet(t, c).UID).To(Equal(fleet.UID))
	g.Expect(remaining(t, c)).To(ConsistOf("crd callbackproxies", "crd callbackproxyconfigs", "crd callbackroutes", release+"-proxy"))

	g.Expect(helm.install(edge)).To(Succeed(), "the release adopts the kept objects")
	g.Expect(getFleet(t, c).UID).To(Equal(fleet.UID))

	g.Expect(helm.upgrade("crds: {keep: false}\n" + edge + "  keep: false")).To(Succeed())
	fleet = getFleet(t, c)
	g.Expect(fleet.Finalizers).To(BeEmpty(), "a finalizer would keep the namespace")
	g.Expect(helm.uninstall()).To(Succeed())
	// The API server polls the instances of a deleted CRD, and a lost race costs
	// it a minute.
	g.Eventually(func() []string { return remaining(t, c) }, 3*time.Minute, 200*time.Millisecond).Should(BeEmpty())
}

func getFleet(t *testing.T, c client.Client) *callbackv1alpha1.CallbackProxy {
	t.Helper()
	var fleet callbackv1alpha1.CallbackProxy
	// The API server serves a new kind with a delay.
	NewWithT(t).Eventually(func() error {
		return c.Get(t.Context(), client.ObjectKey{Namespace: system, Name: "edge"}, &fleet)
	}, 30*time.Second, 100*time.Millisecond).Should(Succeed())
	return &fleet
}

// remaining returns the objects in the cluster that have the release's label.
func remaining(t *testing.T, c client.Client) []string {
	t.Helper()
	var names []string
	var crds apiextensionsv1.CustomResourceDefinitionList
	mine := client.MatchingLabels{"app.kubernetes.io/instance": release}
	if err := c.List(t.Context(), &crds); err != nil {
		t.Fatal(err)
	}
	for i := range crds.Items {
		names = append(names, "crd "+crds.Items[i].Spec.Names.Plural)
	}
	for _, list := range []client.ObjectList{
		&appsv1.DeploymentList{}, &corev1.ServiceList{}, &corev1.ServiceAccountList{}, &corev1.ConfigMapList{},
		&rbacv1.ClusterRoleList{}, &rbacv1.ClusterRoleBindingList{}, &rbacv1.RoleList{}, &rbacv1.RoleBindingList{},
		&admissionregistrationv1.ValidatingAdmissionPolicyList{}, &admissionregistrationv1.ValidatingAdmissionPolicyBindingList{},
		&admissionregistrationv1.MutatingAdmissionPolicyList{}, &admissionregistrationv1.MutatingAdmissionPolicyBindingList{},
		&policyv1.PodDisruptionBudgetList{}, &networkingv1.NetworkPolicyList{},
	} {
		if err := c.List(t.Context(), list, mine); err != nil {
			t.Fatal(err)
		}
		names = append(names, namesIn(t, list)...)
	}
	var secrets corev1.SecretList
	if err := c.List(t.Context(), &secrets, client.MatchingLabels{"owner": "helm"}); err != nil {
		t.Fatal(err)
	}
	return append(names, namesIn(t, &secrets)...)
}

func namesIn(t *testing.T, list client.ObjectList) []string {
	t.Helper()
	var names []string
	if err := meta.EachListItem(list, func(o runtime.Object) error {
		object, err := meta.Accessor(o)
		if err == nil {
			names = append(names, object.GetName())
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return names
}

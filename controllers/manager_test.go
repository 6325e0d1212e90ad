// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/workload"
)

// The specs of this file run the whole manager: they are about its watches and
// its rights.

const soon = 15 * time.Second

// runManager runs a manager until the spec ends.
func (w *world) runManager(access *rest.Config, settings Settings) {
	w.t.Helper()
	mgr, err := ctrl.NewManager(access, ctrl.Options{
		Scheme: kube.NewScheme(), MapperProvider: kube.NewMapper, Cache: kube.CacheOptions(settings.Scope), Client: ClientOptions(),
		Metrics: server.Options{BindAddress: "0"}, HealthProbeBindAddress: "0", Controller: unnamed,
	})
	w.Expect(err).NotTo(HaveOccurred())
	ctx, stop := context.WithCancel(w.ctx)
	w.Expect(Setup(ctx, mgr, clock.RealClock{}, settings)).To(Succeed())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	w.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			w.t.Errorf("the manager ended: %v", err)
		}
	})
}

// unnamed lets several managers run in one process.
var unnamed = func() config.Controller {
	skip := true
	return config.Controller{SkipNameValidation: &skip}
}()

// shippedRules are the rules of the manager's ClusterRole and Role as they are
// shipped.
func shippedRules(t testing.TB) (cluster, namespaced []rbacv1.PolicyRule) {
	t.Helper()
	data, err := os.ReadFile("../config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for doc := range strings.SplitSeq(string(data), "\n---\n") {
		role := &rbacv1.ClusterRole{} // a Role has the same fields
		if err := yaml.Unmarshal([]byte(doc), role); err != nil {
			t.Fatal(err)
		}
		if role.Kind == "ClusterRole" {
			cluster = role.Rules
		} else {
			namespaced = role.Rules
		}
	}
	if len(cluster) == 0 || len(namespaced) == 0 {
		t.Fatal("role.yaml lacks a role")
	}
	return cluster, namespaced
}

// grant gives a user rules in one namespace, or everywhere.
func (w *world) grant(user, namespace, name string, rules []rbacv1.PolicyRule) {
	w.t.Helper()
	admin, err := client.New(controlPlane.Config, client.Options{})
	w.Expect(err).NotTo(HaveOccurred())
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name}
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}
	objects := []client.Object{
		&rbacv1.Role{ObjectMeta: meta, Rules: rules},
		&rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name}},
	}
	if namespace == "" {
		objects = []client.Object{
			&rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules},
			&rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}},
		}
	}
	for _, object := range objects {
		w.Expect(admin.Create(w.ctx, object)).To(Succeed())
	}
}

func (w *world) user() (string, *rest.Config) {
	w.t.Helper()
	name := "manager-of-" + w.platform
	access, err := controlPlane.UserConfig(name)
	w.Expect(err).NotTo(HaveOccurred())
	return name, access
}

// With the rights that are shipped and no others, a manager makes a fleet in
// the namespace it was given, notices at once what others do to any object of
// it, and sees who scales it.
func TestManager_RunsAFleetWithItsRights(t *testing.T) {
	w := newWorld(t, controlPlane)
	user, access := w.user()
	cluster, namespaced := shippedRules(t)
	w.grant(user, "", user, cluster)
	w.grant(user, w.platform, user, namespaced)
	w.runManager(access, w.settings())
	proxy := w.proxy()
	proxy.Spec.Mode = callbackv1alpha1.ModeDeployment
	w.create(proxy, w.service(w.identity, "legacy-idp"), w.service(w.identity, "new-idp"), w.newRoute("acme"))

	for _, kind := range everyKind {
		w.Eventually(func() bool { return w.part(kind) != nil }, soon).Should(BeTrue(), kind.Kind)
	}
	w.Eventually(func() []metav1.Condition { return w.liveProxy().Status.Conditions }, soon).
		Should(ContainElement(And(HaveField("Type", "Programmed"), HaveField("Reason", "NoReadyInstances"))))
	w.Expect(w.about("Accepted").Status).To(Equal(metav1.ConditionTrue))

	for _, kind := range everyKind {
		before := w.part(kind)
		w.Expect(w.client.Delete(w.ctx, before)).To(Succeed())
		w.Eventually(func() bool {
			after := w.part(kind)
			return after != nil && after.GetUID() != before.GetUID()
		}, soon).Should(BeTrue(), "%s is made again", kind.Kind)
		w.edit(kind, `{"metadata":{"labels":{"callbackproxy.io/proxy":null}}}`)
		w.Eventually(func() map[string]string { return w.part(kind).GetLabels() }, soon).
			Should(HaveKeyWithValue(callbackv1alpha1.ProxyLabel, "edge"), kind.Kind)
	}
	w.edit(kube.KindDeployment, `{"spec":{"replicas":9}}`)
	w.Eventually(func() *int32 { return w.running().Spec.Replicas }, soon).Should(HaveValue(BeEquivalentTo(2)))

	w.create(&autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.platform, Name: "edge"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "callback-edge"},
			MaxReplicas:    9,
		},
	})
	// An autoscaler looks before it acts; here it acts until it was noticed.
	w.Eventually(func() bool {
		scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 1}}
		w.Expect(w.client.SubResource("scale").Update(w.ctx, w.running(), client.WithSubResourceBody(scale))).To(Succeed())
		return w.part(kube.KindBudget) == nil
	}, soon).Should(BeTrue(), "one proxy has no budget")
	w.Eventually(func() *int32 { return w.running().Spec.Replicas }, soon).Should(HaveValue(BeEquivalentTo(1)))
	version := w.part(kube.KindDeployment).GetResourceVersion()
	w.Consistently(func() string { return w.part(kube.KindDeployment).GetResourceVersion() }, time.Second).Should(Equal(version), "nothing is written without a reason")
	w.Expect(w.running().Spec.Replicas).To(HaveValue(BeEquivalentTo(1)))
}

// With rights in namespaces only, a manager does its work there, and neither
// looks nor writes beyond.
func TestManager_WorksWithRightsInNamespacesOnly(t *testing.T) {
	w := newWorld(t, controlPlane)
	user, access := w.user()
	cluster, namespaced := shippedRules(t)
	// Rights on the cluster itself are not needed: no Namespaces, no reviews.
	inNamespace := slices.DeleteFunc(cluster, func(rule rbacv1.PolicyRule) bool {
		return slices.Contains(rule.Resources, "tokenreviews") || slices.Contains(rule.Resources, "subjectaccessreviews")
	})
	for i := range inNamespace {
		inNamespace[i].Resources = slices.DeleteFunc(inNamespace[i].Resources, func(r string) bool { return r == "namespaces" })
	}
	for _, namespace := range []string{w.platform, w.identity} {
		w.grant(user, namespace, "in-namespace", inNamespace)
	}
	w.grant(user, w.platform, "fleets", namespaced)
	settings := w.settings()
	settings.WatchNamespaces = []string{w.identity, w.platform}
	w.runManager(access, settings)

	proxy := w.proxy()
	proxy.Spec.Mode = callbackv1alpha1.ModeDeployment
	beyond := w.newRoute("beyond", func(s *callbackv1alpha1.CallbackRouteSpec) {
		s.Backends = s.Backends[:1]
		s.Backends[0].Service = callbackv1alpha1.ServiceReference{Namespace: callbackv1alpha1.Namespace(w.other), Name: "sso", Port: 8080}
	})
	nowhere := w.newRoute("nowhere", func(s *callbackv1alpha1.CallbackRouteSpec) {
		s.ProxyRef.Namespace = callbackv1alpha1.Namespace(w.other)
	})
	unseen := w.newRoute("unseen")
	unseen.Namespace = w.other
	w.create(proxy, w.service(w.identity, "legacy-idp"), w.service(w.identity, "new-idp"), w.service(w.other, "sso"),
		w.newRoute("acme"), beyond, nowhere, unseen)

	w.Eventually(func() bool { return w.part(kube.KindDeployment) != nil && w.part(kube.KindBudget) != nil }, soon).Should(BeTrue())
	reasons := func(name, kind string) func() string {
		return func() string {
			c := find(w.route(name).Status.Conditions, kind)
			if c == nil {
				return ""
			}
			return c.Reason
		}
	}
	w.Eventually(reasons("acme", "ResolvedRefs"), soon).Should(Equal("ResolvedRefs"), "the namespace's name is known without reading it")
	w.Eventually(reasons("acme", "Accepted"), soon).Should(Equal("Accepted"))
	w.Eventually(reasons("beyond", "ResolvedRefs"), soon).Should(Equal("RefNotPermitted"))
	w.Eventually(reasons("nowhere", "Accepted"), soon).Should(Equal("ProxyNotFound"))

	w.edit(kube.KindDeployment, `{"spec":{"replicas":9}}`)
	w.Eventually(func() *int32 { return w.running().Spec.Replicas }, soon).Should(HaveValue(BeEquivalentTo(2)))
	there := &kube.Route{}
	w.Expect(w.client.Get(w.ctx, types.NamespacedName{Namespace: w.other, Name: "unseen"}, there)).To(Succeed())
	w.Expect(there.Status.Conditions).To(BeEmpty(), "its namespace is not watched")
}

// The objects that run the proxies of a test's CallbackProxy.

var everyKind = []schema.GroupVersionKind{
	kube.KindServiceAccount, kube.KindRoleBinding, kube.KindNetworkPolicy, kube.KindService, kube.KindDeployment, kube.KindBudget,
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

// edit changes one object of the fleet as another client.
func (w *world) edit(kind schema.GroupVersionKind, patch string) {
	w.t.Helper()
	object := w.part(kind)
	w.Expect(w.client.Patch(w.ctx, object, client.RawPatch(types.MergePatchType, []byte(patch)), client.FieldOwner("editor"))).To(Succeed())
}

func (w *world) running() *appsv1.Deployment {
	w.t.Helper()
	running := &appsv1.Deployment{}
	w.Expect(w.client.Get(w.ctx, types.NamespacedName{Namespace: w.platform, Name: "callback-edge"}, running)).To(Succeed())
	return running
}

func (w *world) about(kind string) metav1.Condition {
	w.t.Helper()
	c := find(w.liveProxy().Status.Conditions, kind)
	w.Expect(c).NotTo(BeNil(), kind)
	return *c
}

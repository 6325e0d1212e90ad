// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/controllers/workload"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// controlPlane is shared by the tests; each has a namespace of its own.
var controlPlane *fixture.ControlPlane

func TestMain(m *testing.M) {
	os.Exit(fixture.RunSuite(m, fixture.Options{Log: os.Stderr}, func(_ context.Context, cp *fixture.ControlPlane) error {
		controlPlane = cp
		return nil
	}))
}

var everyKind = []schema.GroupVersionKind{
	kube.KindServiceAccount, kube.KindRoleBinding, kube.KindNetworkPolicy, kube.KindService, kube.KindDeployment, kube.KindBudget,
}

type proxySpec = callbackv1alpha1.CallbackProxySpec

// rig is one test's namespace, CallbackProxy "edge" and Controller.
type rig struct {
	*WithT
	t          *testing.T
	ctx        context.Context
	client     client.WithWatch
	deleted    []string
	namespace  string
	controller *Controller
}

func newRig(t *testing.T, mode callbackv1alpha1.ProxyMode, change ...func(*proxySpec)) *rig {
	t.Helper()
	r := &rig{WithT: NewWithT(t), t: t, ctx: t.Context()}
	scheme := kube.NewScheme()
	r.Expect(rbacv1.AddToScheme(scheme)).To(Succeed())
	plain, err := client.NewWithWatch(controlPlane.Config, client.Options{Scheme: scheme})
	r.Expect(err).NotTo(HaveOccurred())
	r.client = interceptor.NewClient(plain, interceptor.Funcs{
		Delete: func(ctx context.Context, inner client.WithWatch, object client.Object, opts ...client.DeleteOption) error {
			r.deleted = append(r.deleted, fmt.Sprintf("%s %s", object.GetObjectKind().GroupVersionKind().Kind, object.GetName()))
			return inner.Delete(ctx, object, opts...)
		},
	})
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "deploy-"}}
	r.create(namespace)
	r.namespace = namespace.Name
	r.createProxy(mode, change...)
	r.controller = r.newController(r.client, r.namespace)
	return r
}

func (r *rig) newController(c client.Client, managed ...string) *Controller {
	return New(c, c, kube.Scope{ProxyNamespaces: managed}, workload.Options{
		Image: "registry.test/callback-proxy:test", PullPolicy: "IfNotPresent", ClusterRole: "callback-proxy", ManagerNamespace: "callback-system",
	})
}

func (r *rig) createProxy(mode callbackv1alpha1.ProxyMode, change ...func(*proxySpec)) {
	r.t.Helper()
	stored := &kube.Proxy{}
	stored.Namespace, stored.Name = r.namespace, "edge"
	stored.Spec.Hosts = []callbackv1alpha1.ProxyHost{{
		Hostname: "auth.acme.test", Namespaces: callbackv1alpha1.HostNamespaces{From: callbackv1alpha1.NamespacesFromSame},
	}}
	setMode(&stored.Spec, mode, change...)
	r.create(stored)
}

func setMode(spec *proxySpec, mode callbackv1alpha1.ProxyMode, change ...func(*proxySpec)) {
	spec.Mode, spec.Deployment, spec.Sidecar = mode, callbackv1alpha1.ProxyDeployment{}, callbackv1alpha1.ProxySidecar{}
	if mode == callbackv1alpha1.ModeSidecar {
		spec.Sidecar.AppPort = 8000
	}
	for _, f := range change {
		f(spec)
	}
}

// update sets the mode and the settings of the CallbackProxy.
func (r *rig) update(mode callbackv1alpha1.ProxyMode, change ...func(*proxySpec)) {
	r.t.Helper()
	stored := &kube.Proxy{CallbackProxy: *r.proxy()}
	setMode(&stored.Spec, mode, change...)
	r.Expect(r.client.Update(r.ctx, stored)).To(Succeed())
}

func replicas(n int32) func(*proxySpec) {
	return func(s *proxySpec) { s.Deployment.Replicas = n }
}

func (r *rig) create(objects ...client.Object) {
	r.t.Helper()
	for _, object := range objects {
		r.Expect(r.client.Create(r.ctx, object)).To(Succeed())
	}
}

func (r *rig) key() types.NamespacedName {
	return types.NamespacedName{Namespace: r.namespace, Name: "edge"}
}

func (r *rig) proxy() *callbackv1alpha1.CallbackProxy {
	r.t.Helper()
	stored := &kube.Proxy{}
	r.Expect(r.client.Get(r.ctx, r.key(), stored)).To(Succeed())
	return &stored.CallbackProxy
}

func (r *rig) reconcile() ctrl.Result {
	r.t.Helper()
	result, err := r.controller.Reconcile(r.ctx, ctrl.Request{NamespacedName: r.key()})
	r.Expect(err).NotTo(HaveOccurred())
	return result
}

// outcome reconciles and returns the outcome for the present generation.
func (r *rig) outcome() status.Deployed {
	r.t.Helper()
	r.reconcile()
	deployed, known := r.controller.Outcome(r.proxy())
	r.Expect(known).To(BeTrue())
	return deployed
}

// part reads one object of the CallbackProxy; nil when there is none.
func (r *rig) part(kind schema.GroupVersionKind) *unstructured.Unstructured {
	r.t.Helper()
	object := r.named(kind)
	err := r.client.Get(r.ctx, client.ObjectKeyFromObject(object), object)
	if apierrors.IsNotFound(err) {
		return nil
	}
	r.Expect(err).NotTo(HaveOccurred())
	return object
}

// named returns an empty object of a kind with the name that the CallbackProxy
// needs.
func (r *rig) named(kind schema.GroupVersionKind) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	object.SetNamespace(r.namespace)
	object.SetName(workload.Name("edge"))
	if kind == kube.KindRoleBinding {
		object.SetName(workload.RoleBindingName("edge"))
	}
	return object
}

// versions returns the resourceVersion of each object that exists.
func (r *rig) versions() map[string]string {
	r.t.Helper()
	versions := map[string]string{}
	for _, kind := range everyKind {
		if object := r.part(kind); object != nil {
			versions[kind.Kind] = object.GetResourceVersion()
		}
	}
	return versions
}

// kinds returns the kinds of the objects that exist.
func (r *rig) kinds() []string {
	r.t.Helper()
	var kinds []string
	for kind := range r.versions() {
		kinds = append(kinds, kind)
	}
	return kinds
}

// edit changes one object as another client.
func (r *rig) edit(kind schema.GroupVersionKind, patch string) {
	r.t.Helper()
	r.Expect(r.client.Patch(r.ctx, r.part(kind), client.RawPatch(types.MergePatchType, []byte(patch)), client.FieldOwner("editor"))).To(Succeed())
}

func (r *rig) running() *appsv1.Deployment {
	r.t.Helper()
	object := &appsv1.Deployment{}
	r.convert(r.part(kube.KindDeployment), object)
	return object
}

func (r *rig) binding() *rbacv1.RoleBinding {
	r.t.Helper()
	object := &rbacv1.RoleBinding{}
	r.convert(r.part(kube.KindRoleBinding), object)
	return object
}

func (r *rig) convert(from *unstructured.Unstructured, to any) {
	r.t.Helper()
	r.Expect(from).NotTo(BeNil())
	r.Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(from.Object, to)).To(Succeed())
}

// content is an object without the fields that the API server counts.
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

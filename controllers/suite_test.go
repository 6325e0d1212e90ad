// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/deploy"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/observe"
	"github.com/callbackproxy/callback-operator/controllers/publish"
	"github.com/callbackproxy/callback-operator/controllers/statuswriter"
	"github.com/callbackproxy/callback-operator/controllers/workload"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// controlPlane is shared by the specs; each has namespaces of its own.
var controlPlane *fixture.ControlPlane

func TestMain(m *testing.M) {
	os.Exit(fixture.RunSuite(m, fixture.Options{ReferenceGrant: true, Log: os.Stderr}, func(_ context.Context, cp *fixture.ControlPlane) error {
		controlPlane = cp
		return nil
	}))
}

// world is one spec's namespaces, reconciler and records.
type world struct {
	*WithT
	t          *testing.T
	ctx        context.Context
	client     client.WithWatch
	clock      *clocktesting.FakePassiveClock
	reconciler *Reconciler
	fleet      *acknowledging
	events     *recordedEvents
	writes     *writeCounter
	platform   string
	identity   string
	other      string
}

var worlds struct {
	sync.Mutex
	count int
}

func newWorld(t *testing.T, cp *fixture.ControlPlane) *world {
	t.Helper()
	worlds.Lock()
	worlds.count++
	n := worlds.count
	worlds.Unlock()
	w := &world{
		WithT: NewWithT(t), t: t, ctx: t.Context(),
		clock:    clocktesting.NewFakePassiveClock(time.Now()),
		events:   &recordedEvents{},
		writes:   &writeCounter{},
		platform: fmt.Sprintf("platform-%d", n), identity: fmt.Sprintf("identity-%d", n), other: fmt.Sprintf("other-%d", n),
	}
	plain, err := client.NewWithWatch(cp.Config, client.Options{Scheme: kube.NewScheme()})
	w.Expect(err).NotTo(HaveOccurred())
	w.client = interceptor.NewClient(plain, w.writes.funcs())
	for _, name := range []string{w.platform, w.identity, w.other} {
		w.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	w.newLeader()
	return w
}

// newLeader replaces the reconciler, as a controller that starts anew would.
func (w *world) newLeader() {
	w.t.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	w.Expect(err).NotTo(HaveOccurred())
	w.fleet = &acknowledging{client: w.client, key: w.proxyKey()}
	w.events.recorder = statuswriter.NewRecorder(w.events, w.clock, logr.Discard())
	w.reconciler = &Reconciler{
		Client:       w.client,
		Clock:        w.clock,
		Publisher:    publish.New(w.client, public),
		Observer:     observe.New(w.client, w.fleet, w.clock),
		Statuses:     statuswriter.New(w.client, w.events.recorder, w.clock),
		Deployer:     deploy.New(w.client, w.client, w.settings().Scope, w.settings().Proxies),
		GrantVersion: func() string { return "v1beta1" },
		passes:       newPassLimits(w.clock),
	}
}

// settings let fleets be run beside the CallbackProxy of the spec.
func (w *world) settings() Settings {
	return Settings{
		Scope:   kube.Scope{ProxyNamespaces: []string{w.platform}},
		Proxies: workload.Options{Image: "callback-proxy:test", PullPolicy: "IfNotPresent", ClusterRole: "callback-proxy", ManagerNamespace: "callback-system"},
	}
}

func (w *world) proxyKey() types.NamespacedName {
	return types.NamespacedName{Namespace: w.platform, Name: "edge"}
}

func (w *world) create(objects ...client.Object) {
	w.t.Helper()
	for _, object := range objects {
		w.Expect(w.client.Create(w.ctx, object)).To(Succeed())
	}
}

// reconcile makes a pass over the fleet, polls its instances, and makes the pass
// that follows their reports.
func (w *world) reconcile() ctrl.Result {
	w.t.Helper()
	result, err := w.tryReconcile()
	w.Expect(err).NotTo(HaveOccurred())
	return result
}

func (w *world) tryReconcile() (ctrl.Result, error) {
	w.t.Helper()
	if result, err := w.pass(w.proxyKey()); err != nil {
		return result, err
	}
	for range 3 { // more failures than leave the last report standing
		w.reconciler.Observer.Poll(w.ctx, w.proxyKey())
	}
	return w.pass(w.proxyKey())
}

// settle reconciles until nothing is left to do but to wait: what the first
// pass published is acknowledged, and what it replaced is cleared away.
func (w *world) settle() {
	w.t.Helper()
	w.reconcile()
	for range 100 {
		result := w.reconcile()
		if result.RequeueAfter == 0 || result.RequeueAfter > publish.ShardLinger {
			return
		}
		w.clock.SetTime(w.clock.Now().Add(result.RequeueAfter))
	}
	w.t.Fatal("the world does not settle")
}

func (w *world) route(name string) *callbackv1alpha1.CallbackRoute {
	w.t.Helper()
	route := &kube.Route{}
	w.Expect(w.client.Get(w.ctx, types.NamespacedName{Namespace: w.identity, Name: name}, route)).To(Succeed())
	return &route.CallbackRoute
}

func (w *world) index() *callbackv1alpha1.CallbackProxyConfig {
	w.t.Helper()
	index := &callbackv1alpha1.CallbackProxyConfig{}
	w.Expect(w.client.Get(w.ctx, w.proxyKey(), index)).To(Succeed())
	return index
}

// table decodes what is published, as a proxy would.
func (w *world) table() *routetable.Table {
	w.t.Helper()
	config, err := publish.New(w.client, nil).Published(w.ctx, w.liveProxy())
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(config.Table).NotTo(BeNil(), "the published config is complete")
	return config.Table
}

func (w *world) liveProxy() *callbackv1alpha1.CallbackProxy {
	w.t.Helper()
	proxy := &kube.Proxy{}
	w.Expect(w.client.Get(w.ctx, w.proxyKey(), proxy)).To(Succeed())
	return &proxy.CallbackProxy
}

func (w *world) condition(name, kind string) metav1.Condition {
	w.t.Helper()
	c := meta.FindStatusCondition(w.route(name).Status.Conditions, kind)
	w.Expect(c).NotTo(BeNil(), "condition %s of route %s", kind, name)
	return *c
}

// The objects of a blue-green migration.

func (w *world) proxy() *kube.Proxy {
	return &kube.Proxy{CallbackProxy: callbackv1alpha1.CallbackProxy{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.platform, Name: "edge"},
		Spec: callbackv1alpha1.CallbackProxySpec{Mode: callbackv1alpha1.ModeExternal, Hosts: []callbackv1alpha1.ProxyHost{
			{Hostname: "auth.acme.test", Namespaces: w.from(w.identity)},
			{Hostname: "auth.other.test", Namespaces: w.from(w.other)},
		}},
	}}
}

func (w *world) from(namespace string) callbackv1alpha1.HostNamespaces {
	return callbackv1alpha1.HostNamespaces{
		From:     callbackv1alpha1.NamespacesFromSelector,
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
	}
}

func (w *world) service(namespace, name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 8080}}},
	}
}

func (w *world) newRoute(name string, change ...func(*callbackv1alpha1.CallbackRouteSpec)) *kube.Route {
	blue, green := int32(100), int32(0)
	route := &kube.Route{CallbackRoute: callbackv1alpha1.CallbackRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.identity, Name: name},
		Spec: callbackv1alpha1.CallbackRouteSpec{
			ProxyRef:  callbackv1alpha1.ProxyReference{Namespace: callbackv1alpha1.Namespace(w.platform), Name: "edge"},
			Hostnames: []callbackv1alpha1.Hostname{"auth.acme.test"},
			Protocol:  callbackv1alpha1.ProtocolOIDC,
			Callbacks: []callbackv1alpha1.Callback{{Name: "login", Path: callbackv1alpha1.CallbackPath("/" + name)}},
			Backends: []callbackv1alpha1.Backend{
				{Name: "blue", Weight: &blue, Service: callbackv1alpha1.ServiceReference{Name: "legacy-idp", Port: 8080}},
				{Name: "green", Weight: &green, Service: callbackv1alpha1.ServiceReference{Name: "new-idp", Port: 8080}},
			},
			SunsetTime: metav1.NewTime(w.clock.Now().Add(30 * 24 * time.Hour)),
			Owner:      "identity-team@acme.test",
		},
	}}
	for _, f := range change {
		f(&route.Spec)
	}
	return route
}

// migration creates what a healthy migration needs, and a ready pod.
func (w *world) migration(routes ...*kube.Route) {
	w.t.Helper()
	w.create(w.proxy(), w.service(w.identity, "legacy-idp"), w.service(w.identity, "new-idp"))
	_, err := fixture.ProxyPod(w.ctx, w.client, w.platform, "edge", "edge-1", "127.0.0.9", 9090)
	w.Expect(err).NotTo(HaveOccurred())
	for _, route := range routes {
		w.create(route)
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admission_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// patience bounds the waits for what the API server does a moment after a write:
// a policy and its parameters are in force within about a second.
const patience = 60 * time.Second

const day = 24 * time.Hour

// in returns a time that is so many days away, in whole seconds as the schema
// requires.
func in(days int) metav1.Time {
	return metav1.NewTime(time.Now().UTC().Truncate(time.Second).Add(time.Duration(days) * day))
}

// newNamespace creates a namespace of its own for a test.
func newNamespace(t *testing.T, c client.Client, labels map[string]string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "tenant-", Labels: labels}}
	if err := c.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}

// newProxy returns a CallbackProxy that grants two hosts to one namespace, with a
// policy of 180 days.
func newProxy(namespace, name, granted string) *callbackv1alpha1.CallbackProxy {
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: granted}}
	return &callbackv1alpha1.CallbackProxy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: callbackv1alpha1.CallbackProxySpec{
			Mode: callbackv1alpha1.ModeExternal,
			Hosts: []callbackv1alpha1.ProxyHost{
				{Hostname: "auth.acme.test", Namespaces: callbackv1alpha1.HostNamespaces{From: "Selector", Selector: selector}},
				{Hostname: "login.acme.test", Namespaces: callbackv1alpha1.HostNamespaces{From: "Selector", Selector: selector}},
			},
			Policy: callbackv1alpha1.Policy{MaxLifetimeDays: 180},
		},
	}
}

// newRoute returns a CallbackRoute that complies with newProxy.
func newRoute(namespace, name string, proxy *callbackv1alpha1.CallbackProxy) *callbackv1alpha1.CallbackRoute {
	return &callbackv1alpha1.CallbackRoute{
		TypeMeta:   metav1.TypeMeta{APIVersion: callbackv1alpha1.SchemeGroupVersion.String(), Kind: "CallbackRoute"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: callbackv1alpha1.CallbackRouteSpec{
			ProxyRef:  callbackv1alpha1.ProxyReference{Name: callbackv1alpha1.ObjectName(proxy.Name), Namespace: callbackv1alpha1.Namespace(proxy.Namespace)},
			Hostnames: []callbackv1alpha1.Hostname{"auth.acme.test"},
			Protocol:  callbackv1alpha1.ProtocolOIDC,
			Callbacks: []callbackv1alpha1.Callback{{Name: "login", Path: "/oauth2/callback"}},
			Backends: []callbackv1alpha1.Backend{{
				Name: "blue", Service: callbackv1alpha1.ServiceReference{Name: "legacy-idp", Port: 8080},
			}},
			SunsetTime: in(100),
			Owner:      "team@acme.test",
		},
	}
}

// tenant is a namespace with a client, a CallbackProxy that grants its hosts, and
// the warnings of the client's requests.
type tenant struct {
	client.Client
	*warnings
	t         *testing.T
	namespace string
	proxy     *callbackv1alpha1.CallbackProxy
}

// newTenant creates the namespace and, in callback-system, the CallbackProxy, and
// returns when the policies apply it.
func newTenant(t *testing.T, change func(*callbackv1alpha1.CallbackProxySpec)) *tenant {
	t.Helper()
	c, w := mustConnect(t)
	namespace := newNamespace(t, c, map[string]string{"team": "identity"})
	tn := &tenant{c, w, t, namespace, newProxy(proxyNamespace, namespace, namespace)}
	if change != nil {
		change(&tn.proxy.Spec)
	}
	if err := c.Create(t.Context(), tn.proxy); err != nil {
		t.Fatal(err)
	}
	tn.waitForPolicy()
	return tn
}

// waitForPolicy waits until the policies see the CallbackProxy in its present
// version, by the number of days in their warning about a far sunset. Each change
// of a test therefore has another number.
func (tn *tenant) waitForPolicy() {
	tn.t.Helper()
	probe := newRoute(tn.namespace, "probe", tn.proxy)
	probe.Spec.SunsetTime = in(20 * 365)
	days := fmt.Sprintf(" %d days after", tn.proxy.Spec.Policy.MaxLifetimeDays)
	NewWithT(tn.t).Eventually(func(g Gomega) {
		tn.take()
		g.Expect(tn.Create(tn.t.Context(), probe.DeepCopy(), client.DryRunAll)).To(Succeed())
		g.Expect(tn.take()).To(ContainElement(ContainSubstring(days)))
	}).WithTimeout(patience).WithPolling(100 * time.Millisecond).Should(Succeed())
}

// changeProxy updates the CallbackProxy and waits until the policies apply it.
func (tn *tenant) changeProxy(change func(*callbackv1alpha1.CallbackProxySpec)) {
	tn.t.Helper()
	change(&tn.proxy.Spec)
	if err := tn.Update(tn.t.Context(), tn.proxy); err != nil {
		tn.t.Fatal(err)
	}
	tn.waitForPolicy()
}

// create creates a route and returns it with the warnings that came.
func (tn *tenant) create(name string, change func(*callbackv1alpha1.CallbackRoute)) (*callbackv1alpha1.CallbackRoute, []string) {
	tn.t.Helper()
	route := newRoute(tn.namespace, name, tn.proxy)
	if change != nil {
		change(route)
	}
	tn.take()
	if err := tn.Create(tn.t.Context(), route); err != nil {
		tn.t.Fatal(err)
	}
	return route, tn.take()
}

// update changes a stored route and returns the error and the warnings. After an
// error the route is as it was.
func (tn *tenant) update(route *callbackv1alpha1.CallbackRoute, change func(*callbackv1alpha1.CallbackRoute)) ([]string, error) {
	tn.t.Helper()
	if err := tn.Get(tn.t.Context(), client.ObjectKeyFromObject(route), route); err != nil {
		tn.t.Fatal(err)
	}
	changed := route.DeepCopy()
	change(changed)
	tn.take()
	err := tn.Update(tn.t.Context(), changed)
	if err == nil {
		*route = *changed
	}
	return tn.take(), err
}

// reasons returns the reasons with which texts begin, sorted.
func reasons(texts []string) []string {
	list := []string{}
	for _, text := range texts {
		reason, _, _ := strings.Cut(text, ": ")
		list = append(list, reason)
	}
	slices.Sort(list)
	return list
}

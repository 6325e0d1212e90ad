// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admission_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// apply is a server-side apply, as Flux and Argo CD do it.
func (tn *tenant) apply(object client.Object, options ...client.ApplyOption) error {
	tn.t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		tn.t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: content}
	gvks, _, err := tn.Scheme().ObjectKinds(object)
	if err != nil {
		tn.t.Fatal(err)
	}
	u.SetGroupVersionKind(gvks[0])
	for _, field := range []string{"creationTimestamp", "managedFields", "resourceVersion", "uid", "generation"} {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
	}
	unstructured.RemoveNestedField(u.Object, "status")
	options = append(options, client.FieldOwner("gitops"), client.ForceOwnership)
	return tn.Apply(tn.t.Context(), client.ApplyConfigurationFromUnstructured(u), options...)
}

// commit is a state of the repository: a CallbackProxy and a route of it.
func (tn *tenant) commit(proxy proxyChange, route routeChange) (*callbackv1alpha1.CallbackProxy, *callbackv1alpha1.CallbackRoute) {
	p := newProxy(proxyNamespace, tn.namespace, tn.namespace)
	if proxy != nil {
		proxy(&p.Spec)
	}
	r := newRoute(tn.namespace, "acme-sso", p)
	if route != nil {
		route(r)
	}
	return p, r
}

func maxDays(days int32) proxyChange {
	return func(p *callbackv1alpha1.CallbackProxySpec) { p.Policy.MaxLifetimeDays = days }
}

// The grant of a host and the route that needs it can be applied at once, in both
// orders, as creation and as update.
func TestGitOps_GrantAndRouteInOneApply(t *testing.T) {
	t.Parallel()
	grant := func(p *callbackv1alpha1.CallbackProxySpec) {
		p.Hosts = append(p.Hosts, callbackv1alpha1.ProxyHost{Hostname: "new.acme.test", Namespaces: callbackv1alpha1.HostNamespaces{From: "All"}})
	}
	for name, proxyFirst := range map[string]bool{"proxy first": true, "route first": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			tn := newTenant(t, nil)
			for _, withRoute := range []routeChange{hosts("new.acme.test"), hosts("auth.acme.test", "new.acme.test")} {
				proxy, route := tn.commit(grant, withRoute)
				objects := []client.Object{proxy, route}
				if !proxyFirst {
					objects = []client.Object{route, proxy}
				}
				for _, object := range objects {
					g.Expect(tn.apply(object)).To(Succeed())
				}
				// Back to the state without the grant, for the update.
				before, _ := tn.commit(nil, nil)
				g.Expect(tn.apply(before)).To(Succeed())
			}
		})
	}
}

// The commit that narrows a policy can be followed by every commit that leaves the
// routes' lifetime alone, and by its own rollback.
func TestGitOps_PolicyNarrowedAndRolledBack(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	tn := newTenant(t, nil)
	_, first := tn.commit(nil, sunset(150))
	g.Expect(tn.apply(first)).To(Succeed())
	tn.changeProxy(maxDays(90))

	g.Expect(tn.apply(first)).To(Succeed(), "the same commit again")
	_, second := tn.commit(nil, infoURL)
	second.Spec.SunsetTime = first.Spec.SunsetTime
	g.Expect(tn.apply(second)).To(Succeed(), "another field")
	g.Expect(tn.apply(first)).To(Succeed(), "rollback of the other field")

	tn.changeProxy(maxDays(181))
	tn.take()
	g.Expect(tn.apply(second)).To(Succeed())
	g.Expect(tn.take()).To(BeEmpty(), "the rollback of the policy")
}

// A commit that widens the policy and uses it at once needs the CallbackProxy
// first. The dry run of all objects, which Flux makes before it applies any, is
// denied as long as the wider policy is not stored: docs/gitops.md describes how
// to avoid it.
func TestGitOps_PolicyWidenedAndUsedInOneCommit(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	tn := newTenant(t, nil)
	_, before := tn.commit(nil, nil)
	g.Expect(tn.apply(before)).To(Succeed())
	proxy, route := tn.commit(maxDays(400), sunset(300))

	// The policies are in force for this route once an update is denied.
	g.Eventually(func() bool { return apierrors.IsForbidden(tn.apply(route, client.DryRunAll)) }).
		WithTimeout(patience).WithPolling(100 * time.Millisecond).Should(BeTrue())
	g.Expect(apierrors.IsForbidden(tn.apply(route))).To(BeTrue(), "the route before the CallbackProxy")
	g.Expect(tn.apply(proxy)).To(Succeed())
	g.Eventually(func() error { return tn.apply(route) }).
		WithTimeout(patience).WithPolling(100*time.Millisecond).Should(Succeed(), "the next attempt")
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admission_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

type (
	routeChange = func(*callbackv1alpha1.CallbackRoute)
	proxyChange = func(*callbackv1alpha1.CallbackProxySpec)
)

func sunset(days int) routeChange {
	return func(r *callbackv1alpha1.CallbackRoute) { r.Spec.SunsetTime = in(days) }
}

func hosts(names ...callbackv1alpha1.Hostname) routeChange {
	return func(r *callbackv1alpha1.CallbackRoute) { r.Spec.Hostnames = names }
}

func owner(name string) routeChange {
	return func(r *callbackv1alpha1.CallbackRoute) { r.Spec.Owner = name }
}

func serve(r *callbackv1alpha1.CallbackRoute) { r.Spec.AfterSunset = callbackv1alpha1.AfterSunsetServe }

func infoURL(r *callbackv1alpha1.CallbackRoute) { r.Spec.InfoURL = "https://wiki.acme.test/changed" }

// A creation is never denied: each rule that it breaks is a warning, which names
// the reason that the condition Accepted will have.
func TestCreation_IsWarnedAbout(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, nil)
	for _, test := range []struct {
		name   string
		change routeChange
		want   []string
	}{
		{"complies", nil, nil},
		{"just-complies", sunset(180), nil},
		{"no-owner", owner(""), []string{"OwnerRequired"}},
		{"blank-owner", owner(" \t"), []string{"OwnerRequired"}},
		{"lives-too-long", sunset(181), []string{"LifetimeExceedsPolicy"}},
		{"serves-on", serve, []string{"AfterSunsetNotAllowed"}},
		{"foreign-host", hosts("auth.acme.test", "other.acme.test"), []string{"HostNotAllowed"}},
		{"all-of-it", func(r *callbackv1alpha1.CallbackRoute) {
			serve(r)
			sunset(200)(r)
			owner("")(r)
			hosts("other.acme.test")(r)
		}, []string{"AfterSunsetNotAllowed", "HostNotAllowed", "LifetimeExceedsPolicy", "OwnerRequired"}},
	} {
		_, got := tn.create(test.name, test.change)
		NewWithT(t).Expect(reasons(got)).To(ConsistOf(test.want), test.name)
	}
}

// An update is denied when the stored spec complied and the new one does not, and
// the stored object stays as it was.
func TestUpdate_ThatBreaksThePolicyIsDenied(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	tn := newTenant(t, nil)
	route, _ := tn.create("acme-sso", nil)
	for name, test := range map[string]struct {
		change routeChange
		want   string
	}{
		"lifetime":    {sunset(181), "LifetimeExceedsPolicy: sunsetTime "},
		"afterSunset": {serve, "does not allow afterSunset: Serve: set spec.afterSunset to Reject"},
		"owner":       {owner(""), "OwnerRequired: CallbackProxy "},
	} {
		g.Eventually(func() bool {
			_, err := tn.update(route.DeepCopy(), test.change)
			return apierrors.IsForbidden(err)
		}).WithTimeout(patience).WithPolling(100*time.Millisecond).Should(BeTrue(), name)
		got, err := tn.update(route, test.change)
		g.Expect(err).To(MatchError(And(ContainSubstring("ValidatingAdmissionPolicy 'callback-route-policy'"), ContainSubstring(test.want))), name)
		g.Expect(got).To(BeEmpty(), "%s is denied and warned about", name)
	}
	stored := &callbackv1alpha1.CallbackRoute{}
	g.Expect(tn.Get(t.Context(), client.ObjectKeyFromObject(route), stored)).To(Succeed())
	g.Expect(stored.Generation).To(BeEquivalentTo(1))
	got, err := tn.update(route, hosts("other.acme.test"))
	g.Expect(err).NotTo(HaveOccurred(), "hosts are only warned about")
	g.Expect(reasons(got)).To(Equal([]string{"HostNotAllowed"}))
}

// A route that a narrower policy caught can be changed in every other field, with
// a warning, and can come back into the policy; then the policy holds it there.
func TestUpdate_OfARouteThatDidNotComply(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	tn := newTenant(t, nil)
	route, _ := tn.create("acme-sso", sunset(150))
	tn.changeProxy(func(p *callbackv1alpha1.CallbackProxySpec) { p.Policy.MaxLifetimeDays = 90 })

	got, err := tn.update(route, infoURL)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(reasons(got)).To(Equal([]string{"LifetimeExceedsPolicy"}))
	got, err = tn.update(route, sunset(160))
	g.Expect(err).NotTo(HaveOccurred(), "it did not comply before")
	g.Expect(reasons(got)).To(Equal([]string{"LifetimeExceedsPolicy"}))
	got, err = tn.update(route, sunset(80))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got).To(BeEmpty())
	_, err = tn.update(route, sunset(160))
	g.Expect(err).To(MatchError(ContainSubstring("LifetimeExceedsPolicy")))
}

// Updates that leave the spec alone pass in silence, whatever the spec contains:
// labels, annotations and finalizers, also of an object that is being deleted.
func TestUpdate_OfMetadataAlone(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	tn := newTenant(t, nil)
	route, _ := tn.create("acme-sso", func(r *callbackv1alpha1.CallbackRoute) {
		sunset(150)(r)
		r.Finalizers = []string{"gitops.test/wait"}
	})
	tn.changeProxy(func(p *callbackv1alpha1.CallbackProxySpec) {
		p.Policy.MaxLifetimeDays = 90
		p.Hosts = p.Hosts[1:]
	})
	silent := func(what string, change routeChange) {
		t.Helper()
		got, err := tn.update(route, change)
		g.Expect(err).NotTo(HaveOccurred(), what)
		g.Expect(got).To(BeEmpty(), what)
	}
	silent("a label", func(r *callbackv1alpha1.CallbackRoute) { metav1.SetMetaDataLabel(&r.ObjectMeta, "team", "identity") })
	silent("a hold", func(r *callbackv1alpha1.CallbackRoute) {
		metav1.SetMetaDataAnnotation(&r.ObjectMeta, callbackv1alpha1.HoldAnnotation, "partner moves in January")
	})
	g.Expect(tn.Delete(t.Context(), route)).To(Succeed())
	silent("the spec while it is being deleted", func(r *callbackv1alpha1.CallbackRoute) {
		serve(r)
		owner("")(r)
	})
	silent("the last finalizer", func(r *callbackv1alpha1.CallbackRoute) { r.Finalizers = nil })
	g.Expect(apierrors.IsNotFound(tn.Get(t.Context(), client.ObjectKeyFromObject(route), route))).To(BeTrue())
}

// Each way to grant a host is understood as the controller understands it.
func TestGrants(t *testing.T) {
	t.Parallel()
	expression := func(key string, operator metav1.LabelSelectorOperator, values ...string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: operator, Values: values}}}
	}
	for name, test := range map[string]struct {
		from    callbackv1alpha1.HostNamespaces
		granted bool
	}{
		"absent":               {callbackv1alpha1.HostNamespaces{}, false},
		"Same":                 {callbackv1alpha1.HostNamespaces{From: "Same"}, false},
		"All":                  {callbackv1alpha1.HostNamespaces{From: "All"}, true},
		"everything":           {callbackv1alpha1.HostNamespaces{From: "Selector", Selector: &metav1.LabelSelector{}}, true},
		"matching label":       {callbackv1alpha1.HostNamespaces{From: "Selector", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "identity"}}}, true},
		"other label":          {callbackv1alpha1.HostNamespaces{From: "Selector", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "identity", "zone": "a"}}}, false},
		"In":                   {callbackv1alpha1.HostNamespaces{From: "Selector", Selector: expression("team", "In", "partners", "identity")}, true},
		"In others":            {callbackv1alpha1.HostNamespaces{From: "Selector", Selector: expression("team", "In", "partners")}, false},
		"NotIn":                {callbackv1alpha1.HostNamespaces{From: "Selector", Selector: expression("team", "NotIn", "identity")}, false},
		"NotIn without label":  {callbackv1alpha1.HostNamespaces{From: "Selector", Selector: expression("zone", "NotIn", "a")}, true},
		"Exists":               {callbackv1alpha1.HostNamespaces{From: "Selector", Selector: expression("team", "Exists")}, true},
		"Exists without label": {callbackv1alpha1.HostNamespaces{From: "Selector", Selector: expression("zone", "Exists")}, false},
		"DoesNotExist":         {callbackv1alpha1.HostNamespaces{From: "Selector", Selector: expression("zone", "DoesNotExist")}, true},
		"DoesNotExist of one":  {callbackv1alpha1.HostNamespaces{From: "Selector", Selector: expression("team", "DoesNotExist")}, false},
		"Near":                 {callbackv1alpha1.HostNamespaces{From: "Selector", Selector: expression("team", "Near", "identity")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tn := newTenant(t, func(p *callbackv1alpha1.CallbackProxySpec) {
				p.Hosts = append([]callbackv1alpha1.ProxyHost{{Hostname: "grant.acme.test", Namespaces: test.from}}, p.Hosts...)
			})
			route, got := tn.create("acme-sso", hosts("grant.acme.test"))
			var want []string
			if !test.granted {
				want = []string{"HostNotAllowed"}
			}
			NewWithT(t).Expect(reasons(got)).To(ConsistOf(want))
			NewWithT(t).Expect(tn.compiled(route).OK).To(Equal(test.granted), "the controller decides otherwise")
		})
	}
}

// A CallbackProxy beside its routes needs no binding of its own, gives each
// warning once, and one that does not exist or lies in a namespace without a
// binding gives none.
func TestBindings(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	c, w := mustConnect(t)
	namespace, elsewhere := newNamespace(t, c, nil), newNamespace(t, c, nil)
	beside, unbound := newProxy(namespace, "edge", namespace), newProxy(elsewhere, "edge", namespace)
	bound := newProxy(proxyNamespace, "bindings", proxyNamespace)
	for _, proxy := range []*callbackv1alpha1.CallbackProxy{beside, unbound, bound} {
		g.Expect(c.Create(t.Context(), proxy)).To(Succeed())
	}
	warned := func(proxy *callbackv1alpha1.CallbackProxy, in string, change routeChange) []string {
		route := newRoute(in, "bindings", proxy)
		owner("")(route)
		if change != nil {
			change(route)
		}
		w.take()
		g.Expect(c.Create(t.Context(), route, client.DryRunAll)).To(Succeed())
		return reasons(w.take())
	}
	once := []string{"OwnerRequired"}
	for range 2 { // The first pass waits, the second one proves that it stays.
		g.Eventually(func() []string { return warned(beside, namespace, nil) }).WithTimeout(patience).Should(Equal(once))
		g.Eventually(func() []string {
			return warned(beside, namespace, func(r *callbackv1alpha1.CallbackRoute) { r.Spec.ProxyRef.Namespace = "" })
		}).WithTimeout(patience).Should(Equal(once))
		g.Eventually(func() []string { return warned(bound, proxyNamespace, nil) }).WithTimeout(patience).Should(Equal(once))
	}
	g.Expect(warned(unbound, namespace, nil)).To(BeEmpty())
	g.Expect(warned(&callbackv1alpha1.CallbackProxy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "absent"}}, namespace, nil)).To(BeEmpty())
}

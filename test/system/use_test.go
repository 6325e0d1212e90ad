// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// use_test.go: an identity team and a platform team at work with kubectl.

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/installation"
)

// TestUse has one installation for all steps, in this order.
func TestUse(t *testing.T) {
	t.Parallel()
	s := install(t, options{alone: true})
	for _, step := range []struct {
		name string
		run  func(*system)
	}{
		{"a route is declared and switched", declareAndSwitch},
		{"applying twice writes nothing and emits no event", applyTwice},
		{"a sunset closes the callback on time", passSunset},
		{"a refused route has a message with advice", refuseBadInput},
		{"a deleted route is not served after five seconds (P8)", deleteRoute},
		{"a deleted CallbackProxy leaves no config and no outage", deleteFleet},
		{"the samples work", applySamples},
		{"no status contradicts itself", (*system).expectConsistent},
	} {
		if !t.Run(step.name, func(t *testing.T) {
			t.Helper()
			s.WithT, s.t = NewWithT(t), t
			step.run(s)
		}) {
			t.FailNow()
		}
	}
}

// waitFor waits by kubectl for a condition of a route.
func (s *system) waitFor(route, condition string) {
	s.t.Helper()
	s.kubectl("wait", "--for=condition="+condition, "callbackroute/"+route, "-n", "identity", "--timeout="+patience.String())
}

// field reads a field of a route by kubectl.
func (s *system) field(namespace, name, jsonPath string) string {
	s.t.Helper()
	return s.kubectl("get", "callbackroute", name, "-n", namespace, "-o", "jsonpath="+jsonPath)
}

// conditionField is the path of a field of a condition.
func conditionField(condition, field string) string {
	return `{.status.conditions[?(@.type=="` + condition + `")].` + field + `}`
}

// expectResponses fails the test unless both proxies respond with a status and
// a text.
func (s *system) expectResponses(host, path string, status int, contains string) {
	s.t.Helper()
	for i := range s.proxies {
		got, body := s.call(i, host, path)
		s.Expect(got).To(Equal(status), "proxy %d: %s", i, body)
		s.Expect(body).To(ContainSubstring(contains), "proxy %d", i)
	}
}

func declareAndSwitch(s *system) {
	s.apply(s.manifest(route{name: "acme", active: "blue"}.object()))
	s.waitFor("acme", "Ready")
	s.expectResponses(authHost, "/acme", http.StatusOK, "blue")
	s.expectResponses(authHost, "/acmex", http.StatusNotFound, "")
	s.expectResponses("auth.other.test", "/acme", http.StatusNotFound, "")

	s.kubectl("patch", "cbr", "acme", "-n", "identity", "--type=json", "-p",
		`[{"op":"replace","path":"/spec/backends/0/weight","value":0},{"op":"replace","path":"/spec/backends/1/weight","value":100}]`)
	s.waitFor("acme", "Programmed")
	s.expectResponses(authHost, "/acme", http.StatusOK, "green")

	columns := s.kubectl("get", "cbr", "acme", "-n", "identity")
	s.Expect(strings.Fields(columns)).To(ContainElements("HOST", "PATH", "PRIMARY", "HEALTHY", "READY", "SUNSET", authHost, "/acme", "green", "True"))
	s.Expect(s.kubectl("get", "callbacks", "-A")).To(And(
		ContainSubstring("callbackproxy.callbackproxy.io/edge"), Not(ContainSubstring("callbackproxyconfig"))))
}

func applyTwice(s *system) {
	manifest := s.manifest(route{name: "quiet", active: "blue"}.object())
	s.apply(manifest)
	s.waitFor("quiet", "Ready")
	versions := func() map[string]string {
		found := map[string]string{}
		var routes callbackv1alpha1.CallbackRouteList
		var proxies callbackv1alpha1.CallbackProxyList
		var configs callbackv1alpha1.CallbackProxyConfigList
		var events corev1.EventList
		for _, list := range []client.ObjectList{&routes, &proxies, &configs, &events} {
			s.Expect(s.Client.List(s.ctx, list)).To(Succeed())
		}
		for _, o := range routes.Items {
			found["route "+o.Name] = o.ResourceVersion
		}
		for _, o := range proxies.Items {
			found["proxy "+o.Name] = o.ResourceVersion
		}
		for _, o := range configs.Items {
			found["config "+o.Name] = o.ResourceVersion
		}
		for _, o := range events.Items {
			found["event "+o.Name] = o.ResourceVersion
		}
		return found
	}
	// Writes that belong to the earlier steps may still come.
	var before map[string]string
	s.Eventually(func() bool {
		last := before
		before = versions()
		return len(last) > 0 && fmt.Sprint(last) == fmt.Sprint(before)
	}, 2*patience, 2*time.Second).Should(BeTrue())

	const passes = "controller_runtime_reconcile_total"
	reconciled := s.managerMetric(passes)
	s.Expect(s.apply(manifest)).To(ContainSubstring("unchanged"))
	// A change without an effect causes a pass.
	s.kubectl("label", "namespace", "identity", "without=effect", "--overwrite")
	s.Eventually(func() float64 { return s.managerMetric(passes) }, patience).Should(BeNumerically(">", reconciled))
	s.Consistently(versions, 3*time.Second, 500*time.Millisecond).Should(Equal(before))
}

// A planned end is declared, so the route stays Ready (it serves as declared).
func passSunset(s *system) {
	end := time.Now().Add(6 * time.Second).Truncate(time.Second)
	object := route{name: "closing", active: "blue", sunset: end}.object()
	object.Spec.InfoURL = "https://wiki.acme.test/moved"
	s.apply(s.manifest(object))
	s.waitFor("closing", "Programmed")
	s.expectResponses(authHost, "/closing", http.StatusOK, "blue")
	reached := s.Backends["blue"].Count()

	s.waitFor("closing", "SunsetPassed")
	s.expectResponses(authHost, "/closing", http.StatusGone, "https://wiki.acme.test/moved")
	s.Expect(s.Backends["blue"].Count()).To(Equal(reached), "no backend received a callback")
	s.Eventually(func() string {
		return s.field("identity", "closing", conditionField("Ready", "status")) + "/" + s.field("identity", "closing", conditionField("Ready", "reason"))
	}, patience).Should(Equal("True/SunsetPassed"))
	s.Eventually(func() string { return s.kubectl("events", "-n", "identity", "--for", "callbackroute/closing") }, patience).
		Should(ContainSubstring("SunsetPassed"))
}

func refuseBadInput(s *system) {
	s.apply(s.manifest(route{name: "holder", active: "blue"}.object()))
	s.waitFor("holder", "Ready")
	bad := func(name string, change func(*callbackv1alpha1.CallbackRoute)) *callbackv1alpha1.CallbackRoute {
		r := route{name: name, active: "blue"}.object()
		change(r)
		return r
	}
	s.apply(s.manifest(
		bad("wrong-host", func(r *callbackv1alpha1.CallbackRoute) {
			r.Spec.Hostnames = []callbackv1alpha1.Hostname{"auth.unknown.test"}
		}),
		bad("past", func(r *callbackv1alpha1.CallbackRoute) {
			r.Spec.SunsetTime = metav1.NewTime(time.Now().Add(-time.Hour).Truncate(time.Second))
		}),
		bad("latecomer", func(r *callbackv1alpha1.CallbackRoute) { r.Spec.Callbacks[0].Path = "/holder" }),
		bad("too-long", func(r *callbackv1alpha1.CallbackRoute) {
			r.Spec.SunsetTime = metav1.NewTime(time.Now().AddDate(1, 0, 0).Truncate(time.Second))
		}),
		bad("no-service", func(r *callbackv1alpha1.CallbackRoute) { r.Spec.Backends[0].Service.Name = "typo-idp" }),
		bad("no-proxy", func(r *callbackv1alpha1.CallbackRoute) { r.Spec.ProxyRef.Name = "egde" }),
		bad("foreign", func(r *callbackv1alpha1.CallbackRoute) { r.Namespace = "default" }),
		bad("serves", func(r *callbackv1alpha1.CallbackRoute) { r.Spec.AfterSunset = callbackv1alpha1.AfterSunsetServe }),
		bad("ownerless", func(r *callbackv1alpha1.CallbackRoute) { r.Spec.Owner = "" }),
	))
	for _, tc := range []struct{ namespace, name, condition, reason, advice string }{
		{"identity", "wrong-host", "Accepted", "HostNotAllowed", "auth.acme.test"},
		{"default", "foreign", "Accepted", "HostNotAllowed", "namespace default"},
		{"identity", "no-proxy", "Accepted", "ProxyNotFound", "spec.proxyRef"},
		{"identity", "no-service", "ResolvedRefs", "BackendNotFound", "create it, or correct the backend"},
		{"identity", "past", "Ready", "SunsetPassed", "delete the route, or set a later sunsetTime"},
		{"identity", "latecomer", "Accepted", "Conflict", "CallbackRoute identity/holder"},
		{"identity", "too-long", "Accepted", "LifetimeExceedsPolicy", "180 days"},
		{"identity", "serves", "Accepted", "AfterSunsetNotAllowed", "Reject"},
		{"identity", "ownerless", "Accepted", "OwnerRequired", "spec.owner"},
	} {
		get := func(condition, field string) string {
			return s.field(tc.namespace, tc.name, conditionField(condition, field))
		}
		s.Eventually(func() string { return get(tc.condition, "reason") }, patience).Should(Equal(tc.reason), tc.name)
		s.Expect(get(tc.condition, "message")).To(ContainSubstring(tc.advice), tc.name)
		s.Expect(get("Ready", "status")).To(Equal("False"), tc.name)
	}
	// A missing backend gets 503, and no other backend the callback.
	s.expectResponses(authHost, "/no-service", http.StatusServiceUnavailable, "not delivered")
	s.expectResponses(authHost, "/too-long", http.StatusNotFound, "")
	s.kubectl("delete", "cbr", "-n", "identity", "--wait=false",
		"wrong-host", "past", "latecomer", "too-long", "no-service", "no-proxy", "serves", "ownerless")
	s.kubectl("delete", "cbr", "foreign", "-n", "default")
}

// The claim stays held for a while, so the callback gets 503 and not 404.
func deleteRoute(s *system) {
	s.responds(http.StatusOK, authHost, "/holder", patience)
	s.kubectl("delete", "cbr", "holder", "-n", "identity")
	s.responds(http.StatusServiceUnavailable, authHost, "/holder", 5*time.Second)
}

// The configs of a fleet belong to its CallbackProxy, so the garbage collector
// deletes them; the proxies continue with the last config.
func deleteFleet(s *system) {
	var configs callbackv1alpha1.CallbackProxyConfigList
	s.Expect(s.Client.List(s.ctx, &configs, client.InNamespace(fleet.Namespace))).To(Succeed())
	var owner callbackv1alpha1.CallbackProxy
	s.Expect(s.Client.Get(s.ctx, fleet, &owner)).To(Succeed())
	s.Expect(configs.Items).NotTo(BeEmpty())
	for i := range configs.Items {
		s.Expect(metav1.IsControlledBy(&configs.Items[i], &owner)).To(BeTrue(), configs.Items[i].Name)
	}
	s.kubectl("delete", "cbp", "edge", "-n", "callback-system")
	for i := range configs.Items { // there is no garbage collector here
		s.Expect(client.IgnoreNotFound(s.Client.Delete(s.ctx, &configs.Items[i]))).To(Succeed())
	}
	s.Eventually(func() string { return s.field("identity", "quiet", conditionField("Accepted", "reason")) }, patience).Should(Equal("ProxyNotFound"))
	s.Expect(apierrors.IsNotFound(s.Client.Get(s.ctx, fleet, &callbackv1alpha1.CallbackProxyConfig{}))).To(BeTrue(), "the manager writes no config without a CallbackProxy")
	s.expectResponses(authHost, "/quiet", http.StatusOK, "blue")
}

// The operator runs no pods here: the sample's fleet is one whose proxies the
// test runs, and everything else is applied as it is.
func applySamples(s *system) {
	path, err := installation.Path("config/samples/1-platform.yaml")
	s.Expect(err).NotTo(HaveOccurred())
	platform, err := os.ReadFile(path)
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(string(platform)).To(ContainSubstring("mode: Deployment"))
	s.apply(strings.Replace(string(platform), "mode: Deployment", "mode: External", 1))
	for _, name := range []string{"2-identity.yaml", "3-route.yaml"} {
		path, err := installation.Path("config/samples/" + name)
		s.Expect(err).NotTo(HaveOccurred())
		s.kubectl("apply", "-f", path)
	}
	s.waitFor("acme-sso", "Ready")
	s.expectResponses(authHost, "/oauth2/callback", http.StatusOK, "blue")
	s.waitFor("quiet", "Ready")
}

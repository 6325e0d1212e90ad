// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// TestBehaviour is what users do to one installation, one after the other.
func TestBehaviour(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, step := range []struct {
		name string
		run  func(*system)
	}{
		{"the samples work as they are", samplesWork},
		{"applying twice writes nothing and says nothing", applyingTwiceIsQuiet},
		{"a sunset closes the callback on time", sunsetCloses},
		{"bad input is told what to do", badInputIsTold},
		{"a deleted route is gone within five seconds (P8)", deletionTakesEffect},
		{"a revoked grant stops the traffic within five seconds (F23)", revokedGrantTakesEffect},
		{"deleting the CallbackProxy takes its config along", configFollowsItsOwner},
		{"no status contradicts itself", (*system).expectConsistent},
	} {
		if !t.Run(step.name, func(t *testing.T) {
			step.run(&system{
				WithT: NewWithT(t), t: t, ctx: s.ctx, controlPlane: s.controlPlane, client: s.client, dir: s.dir, network: s.network,
				manager: s.manager, proxies: s.proxies, blue: s.blue, green: s.green, connectTo: s.connectTo,
				managerKubeconfig: s.managerKubeconfig, proxyKubeconfig: s.proxyKubeconfig,
			})
		}) {
			t.FailNow()
		}
	}
}

// both asserts that each proxy answers a callback with a status and a body.
func (s *system) both(host, target string, status int, contains string) {
	s.t.Helper()
	for i := range s.proxies {
		got, body := s.get(newClient(), i, host, target)
		s.Expect(got).To(Equal(status), "proxy %d: %s", i, body)
		s.Expect(body).To(ContainSubstring(contains), "proxy %d", i)
	}
}

func samplesWork(s *system) {
	s.kubectl("apply", "-f", s.config("samples/3-route.yaml"))
	s.waitFor("acme-sso", "Ready")
	s.both("auth.acme.test", "/oauth2/callback?code=c&state=s", http.StatusOK, "blue")
	s.both("auth.acme.test", "/oauth2/callbackx?code=c&state=s", http.StatusNotFound, "")
	s.both("auth.other.test", "/oauth2/callback?code=c&state=s", http.StatusNotFound, "")

	s.kubectl("patch", "cbr", "acme-sso", "-n", "identity", "--type=json", "-p",
		`[{"op":"replace","path":"/spec/backends/0/weight","value":0},{"op":"replace","path":"/spec/backends/1/weight","value":100}]`)
	s.waitFor("acme-sso", "Programmed")
	s.both("auth.acme.test", "/oauth2/callback?code=c&state=s", http.StatusOK, "green")

	columns := s.kubectl("get", "cbr", "acme-sso", "-n", "identity")
	s.Expect(strings.Fields(columns)).To(ContainElements("auth.acme.test", "/oauth2/callback", "green", "True"))
	s.Expect(s.kubectl("get", "callbacks", "-A")).To(ContainSubstring("callbackproxy.callbackproxy.io/edge"))
}

func applyingTwiceIsQuiet(s *system) {
	manifest := route{name: "quiet", path: "/quiet"}.String()
	s.apply(manifest)
	s.waitFor("quiet", "Ready")
	snapshot := func() map[string]string {
		versions := map[string]string{}
		var routes callbackv1alpha1.CallbackRouteList
		var proxies callbackv1alpha1.CallbackProxyList
		var configs callbackv1alpha1.CallbackProxyConfigList
		var events corev1.EventList
		for _, list := range []client.ObjectList{&routes, &proxies, &configs, &events} {
			s.Expect(s.client.List(s.ctx, list)).To(Succeed())
		}
		for _, o := range routes.Items {
			versions["route "+o.Name] = o.ResourceVersion
		}
		for _, o := range proxies.Items {
			versions["proxy "+o.Name] = o.ResourceVersion
		}
		for _, o := range configs.Items {
			versions["config "+o.Name] = o.ResourceVersion
		}
		for _, o := range events.Items {
			versions["event "+o.Name] = o.ResourceVersion
		}
		return versions
	}
	// The answers to what came before may still be on their way.
	var before map[string]string
	s.Eventually(func() bool {
		last := before
		before = snapshot()
		return len(last) > 0 && len(last) == len(before) && equal(last, before)
	}, patience, 2*time.Second).Should(BeTrue())

	passes := s.metricSum("controller_runtime_reconcile_total")
	s.Expect(s.apply(manifest)).To(ContainSubstring("unchanged"))
	// A change that means nothing makes the controller look again.
	s.kubectl("label", "namespace", "identity", "looked=again", "--overwrite")
	s.Eventually(func() float64 { return s.metricSum("controller_runtime_reconcile_total") }, patience).Should(BeNumerically(">", passes))
	s.Consistently(snapshot, 3*time.Second, 500*time.Millisecond).Should(Equal(before))
}

func equal(a, b map[string]string) bool {
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

func (s *system) metricSum(name string) float64 {
	s.t.Helper()
	status, body := s.fetch("http://" + s.network + ".10:8080/metrics")
	s.Expect(status).To(Equal(http.StatusOK))
	return sumOf(body, name)
}

func sunsetCloses(s *system) {
	end := time.Now().Add(4 * time.Second).Truncate(time.Second)
	s.apply(route{name: "closing", path: "/closing", sunset: end, extra: "  infoURL: https://wiki.acme.test/moved"}.String())
	s.waitFor("closing", "Programmed")
	s.both("auth.acme.test", "/closing?code=c&state=before", http.StatusOK, "blue")
	reached := s.blue.Count()

	s.kubectl("wait", "--for=condition=SunsetPassed", "cbr/closing", "-n", "identity", "--timeout="+patience.String())
	s.both("auth.acme.test", "/closing?code=c&state=after", http.StatusGone, "https://wiki.acme.test/moved")
	s.Expect(s.blue.Count()).To(Equal(reached), "no backend was touched")
	s.Expect(s.kubectl("get", "cbr", "closing", "-n", "identity", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].reason}`)).To(Equal("SunsetPassed"))
	s.Eventually(func() string { return s.kubectl("events", "-n", "identity", "--for", "callbackroute/closing") }, patience).
		Should(ContainSubstring("SunsetPassed"))
}

func badInputIsTold(s *system) {
	s.apply(route{name: "holder", path: "/held"}.String())
	s.waitFor("holder", "Ready")
	far := time.Now().Add(365 * 24 * time.Hour)
	manifest := route{name: "wrong-host", host: "auth.unknown.test"}.String() +
		route{name: "past", path: "/past", sunset: time.Now().Add(-time.Hour)}.String() +
		route{name: "latecomer", path: "/held"}.String() +
		route{name: "too-long", path: "/too-long", sunset: far}.String() +
		strings.Replace(route{name: "no-service", path: "/no-service"}.String(), "legacy-idp", "typo-idp", 1) +
		strings.Replace(route{name: "no-proxy", path: "/no-proxy"}.String(), "name: edge", "name: egde", 1) +
		strings.Replace(route{name: "foreign", path: "/foreign"}.String(), "namespace: identity}\nspec", "namespace: default}\nspec", 1) +
		strings.Replace(route{name: "warns", path: "/warns"}.String(), "  owner:", "  afterSunset: Warn\n  owner:", 1) +
		strings.Replace(route{name: "nobodys", path: "/nobodys"}.String(), "  owner: identity-team@acme.test\n", "", 1)
	s.apply(manifest)
	for _, tc := range []struct{ namespace, name, condition, reason, advice string }{
		{"identity", "wrong-host", "Accepted", "HostNotAllowed", "ask its owner to list it in spec.hosts, or use a host that is given: auth.acme.test"},
		{"default", "foreign", "Accepted", "HostNotAllowed", "does not give host auth.acme.test to namespace default"},
		{"identity", "no-proxy", "Accepted", "ProxyNotFound", "create it, or name another one in spec.proxyRef"},
		{"identity", "no-service", "ResolvedRefs", "BackendNotFound", "create it, or correct the backend"},
		{"identity", "past", "Ready", "SunsetPassed", "delete the route, or set a later sunsetTime"},
		{"identity", "latecomer", "Accepted", "Conflict", "is held by CallbackRoute identity/holder"},
		{"identity", "too-long", "Accepted", "LifetimeExceedsPolicy", "180 days after the route's creation: set it to"},
		{"identity", "warns", "Accepted", "AfterSunsetNotAllowed", "use Reject"},
		{"identity", "nobodys", "Accepted", "OwnerRequired", "set spec.owner"},
	} {
		get := func(field string) string {
			return s.kubectl("get", "cbr", tc.name, "-n", tc.namespace, "-o",
				`jsonpath={.status.conditions[?(@.type=="`+tc.condition+`")].`+field+`}`)
		}
		s.Eventually(func() string { return get("reason") }, patience).Should(Equal(tc.reason), tc.name)
		s.Expect(get("message")).To(ContainSubstring(tc.advice), tc.name)
		ready := s.kubectl("get", "cbr", tc.name, "-n", tc.namespace, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		s.Expect(ready).To(Equal("False"), tc.name)
	}
	// A backend that is not there is the honest 503, and not somebody else.
	s.both("auth.acme.test", "/no-service?code=c&state=s", http.StatusServiceUnavailable, "not delivered")
	s.both("auth.acme.test", "/too-long?code=c&state=s", http.StatusNotFound, "")
	for _, name := range []string{"wrong-host", "past", "latecomer", "too-long", "no-service", "no-proxy", "warns", "nobodys"} {
		s.kubectl("delete", "cbr", name, "-n", "identity", "--wait=false")
	}
	s.kubectl("delete", "cbr", "foreign", "-n", "default")
}

// within asserts that both proxies come to answer so in time.
func (s *system) within(limit time.Duration, target string, status int) {
	s.t.Helper()
	for i := range s.proxies {
		s.Eventually(func() int { got, _ := s.get(newClient(), i, "auth.acme.test", target); return got }, limit, 50*time.Millisecond).
			Should(Equal(status), "proxy %d", i)
	}
}

func deletionTakesEffect(s *system) {
	s.within(patience, "/held?code=c&state=s", http.StatusOK)
	s.kubectl("delete", "cbr", "holder", "-n", "identity")
	s.within(5*time.Second, "/held?code=c&state=s", http.StatusNotFound)
}

func revokedGrantTakesEffect(s *system) {
	grant := `apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: identity, namespace: identity}
spec:
  from: [{group: callbackproxy.io, kind: CallbackRoute, namespace: partner}]
  to: [{group: "", kind: Service, name: new-idp}]
`
	s.kubectl("create", "namespace", "partner")
	s.kubectl("patch", "cbp", "edge", "-n", "callback-system", "--type=json", "-p",
		`[{"op":"add","path":"/spec/hosts/-","value":{"hostname":"partner.acme.test","namespaces":{"from":"Selector","selector":{"matchLabels":{"kubernetes.io/metadata.name":"partner"}}}}}]`)
	s.apply(`apiVersion: callbackproxy.io/v1alpha1
kind: CallbackRoute
metadata: {name: cross, namespace: partner}
spec:
  proxyRef: {name: edge, namespace: callback-system}
  hostnames: [partner.acme.test]
  protocol: OAuth2
  callback: {path: /cb}
  backends:
  - {name: green, service: {name: new-idp, namespace: identity, port: 8080}}
  sunsetTime: "` + time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339) + `"
  owner: partner-team
`)
	reason := func() string {
		return s.kubectl("get", "cbr", "cross", "-n", "partner", "-o", `jsonpath={.status.conditions[?(@.type=="ResolvedRefs")].reason}`)
	}
	s.Eventually(reason, patience).Should(Equal("RefNotPermitted"))
	status := func() int { got, _ := s.get(newClient(), 0, "partner.acme.test", "/cb?code=c&state=s"); return got }
	s.apply(grant)
	s.Eventually(status, 5*time.Second, 50*time.Millisecond).Should(Equal(http.StatusOK))
	s.Eventually(reason, 5*time.Second, 50*time.Millisecond).Should(Equal("ResolvedRefs"))
	s.kubectl("delete", "referencegrant", "identity", "-n", "identity")
	s.Eventually(status, 5*time.Second, 50*time.Millisecond).Should(Equal(http.StatusServiceUnavailable))
	s.Eventually(reason, 5*time.Second, 50*time.Millisecond).Should(Equal("RefNotPermitted"))
	s.kubectl("delete", "namespace", "partner", "--timeout="+patience.String())
}

// The config is the CallbackProxy's: nothing of it stays, and the proxies go
// on with their last good one, which nobody took back.
func configFollowsItsOwner(s *system) {
	s.both("auth.acme.test", "/quiet?code=c&state=s", http.StatusOK, "blue")
	s.kubectl("delete", "cbp", "edge", "-n", "callback-system")
	s.Eventually(func() string { return s.kubectl("get", "cbpc", "-n", "callback-system", "-o", "name") }, patience).Should(BeEmpty())
	s.both("auth.acme.test", "/quiet?code=c&state=s", http.StatusOK, "blue")
	s.kubectl("apply", "-f", s.config("samples/1-platform.yaml"))
	s.Eventually(func() string {
		return s.kubectl("get", "cbr", "quiet", "-n", "identity", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
	}, patience).
		Should(Equal("True"))
}

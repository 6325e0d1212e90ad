// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// find returns the verdict on a route of a scenario, compiled now.
func (s *scenario) find(t testing.TB, name string) *Verdict {
	t.Helper()
	result := Compile(&s.snapshot, s.Now)
	for i := range result.Verdicts {
		if v := &result.Verdicts[i]; v.Route.Namespace+"/"+v.Route.Name == name {
			return v
		}
	}
	t.Fatalf("no verdict on %s", name)
	return nil
}

// F11: a rule that panics on one route costs that route alone.
func TestF11_APanicCostsOneRouteOnly(t *testing.T) {
	rules := acceptance
	t.Cleanup(func() { acceptance = rules })
	acceptance = append([]rule{func(c *candidate) (string, string, bool) {
		if c.route.Object.Name == "login-a" {
			panic("secret of the defect")
		}
		return "", "", false
	}}, rules...)

	s := loadScenario(t, "testdata/conflict.in.yaml")
	out := s.run(t)
	for _, route := range out.Routes {
		accepted := route.Conditions[0]
		switch route.Name {
		case "identity/login-a":
			if accepted.Reason != callbackv1alpha1.ReasonInvalid || route.Entry != nil || strings.Contains(accepted.Message, "secret") {
				t.Errorf("the route that panics: %+v", route)
			}
		case "identity/login-b":
			// What login-a would have held is free.
			if accepted.Reason != callbackv1alpha1.ReasonAccepted || route.Entry == nil {
				t.Errorf("the route behind it: %+v", route)
			}
		}
	}
	acceptance = rules
	for i, route := range s.run(t).Routes {
		same := slices.Equal(route.Conditions, out.Routes[i].Conditions)
		if touched := route.Name == "identity/login-a" || route.Name == "identity/login-b"; same == touched {
			t.Errorf("%s: a panic elsewhere matters: %t", route.Name, !same)
		}
	}
}

// A panic may come late as well, when the entry is there already.
func TestF11_ALatePanicLeavesNoEntry(t *testing.T) {
	rules := acceptance
	t.Cleanup(func() { acceptance = rules })
	acceptance = append(slices.Clone(rules), func(*candidate) (string, string, bool) { panic("late") })
	out := loadScenario(t, "testdata/minimal.in.yaml").run(t)
	if route := out.Routes[0]; route.Entry != nil || route.Conditions[0].Reason != callbackv1alpha1.ReasonInvalid {
		t.Errorf("the route is %+v", route)
	}
}

// T4, B12: a Service in another namespace that is absent, one without the
// port, one of a kind that is never dialled and one that may not be used read
// alike, to the last byte of the whole outcome.
func TestT4_B12_AbsentAndForbiddenReadAlike(t *testing.T) {
	t.Parallel()
	key := types.NamespacedName{Namespace: "trusted", Name: "new-idp"}
	service := func(s *scenario) *corev1.Service { return s.snapshot.Services[key].DeepCopy() }
	var first, firstName string
	for name, change := range map[string]func(*scenario){
		"granted and absent":      func(s *scenario) { delete(s.snapshot.Services, key) },
		"there and not granted":   func(s *scenario) { s.snapshot.Grants = nil },
		"neither":                 func(s *scenario) { s.snapshot.Grants = nil; delete(s.snapshot.Services, key) },
		"granted, without a port": func(s *scenario) { o := service(s); o.Spec.Ports[0].Port = 1; s.snapshot.Services[key] = o },
		"granted, by UDP":         func(s *scenario) { o := service(s); o.Spec.Ports[0].Protocol = "UDP"; s.snapshot.Services[key] = o },
		"an ExternalName, not granted": func(s *scenario) {
			o := service(s)
			o.Spec.Type = corev1.ServiceTypeExternalName
			s.snapshot.Services[key], s.snapshot.Grants = o, nil
		},
		"the API server, not granted": func(s *scenario) {
			o := service(s)
			o.Spec.ClusterIP = "127.0.0.1"
			s.snapshot.Services[key], s.snapshot.Grants = o, nil
		},
	} {
		s := loadScenario(t, "testdata/cross-namespace.in.yaml")
		if before := s.find(t, "identity/a-granted"); !before.ResolvedRefs.OK {
			t.Fatalf("before the change: %+v", before.ResolvedRefs)
		}
		change(s)
		data, err := json.Marshal(s.run(t).Routes[0])
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), callbackv1alpha1.ReasonRefNotPermitted) {
			t.Errorf("%s: %s", name, data)
		}
		if first == "" {
			first, firstName = string(data), name
		}
		if string(data) != first {
			t.Errorf("%s reads\n%s\n%s reads\n%s", name, data, firstName, first)
		}
	}
}

// T4: a host that is given to others reads like one that nobody has.
func TestT4_ForeignAndUnknownHostsReadAlike(t *testing.T) {
	t.Parallel()
	texts := map[string]bool{}
	for _, host := range []callbackv1alpha1.Hostname{"partner.acme.com", "nobody.acme.com"} {
		s := loadScenario(t, "testdata/wrong-host.in.yaml")
		for _, route := range s.snapshot.Routes {
			if route.Object.Name == "b-not-listed" {
				route.Object.Spec.Hostnames = []callbackv1alpha1.Hostname{host}
			}
		}
		v := s.find(t, "identity/b-not-listed")
		texts[v.Accepted.Reason+strings.ReplaceAll(v.Accepted.Message, string(host), "HOST")] = true
	}
	if len(texts) != 1 {
		t.Errorf("they read %v", texts)
	}
}

// T1, P7: who has no right to a host learns nothing about the routes on it,
// whatever else is wrong with the own one.
func TestT1_HostOwnershipComesFirst(t *testing.T) {
	t.Parallel()
	s := loadScenario(t, "testdata/wrong-host.in.yaml")
	for _, route := range s.snapshot.Routes {
		if route.Object.Namespace != "intruder" {
			continue
		}
		route.Object.CreationTimestamp.Time = s.Now.AddDate(-9, 0, 0) // older than all
		route.Object.Spec.Callback.Path = "/z"                        // taken by z-good
		route.Object.Spec.Owner = ""
	}
	if v := s.find(t, "intruder/foreign-namespace"); v.Accepted.Reason != callbackv1alpha1.ReasonHostNotAllowed {
		t.Errorf("the intruder is told %+v", v.Accepted)
	}
	if v := s.find(t, "identity/z-good"); !v.Accepted.OK {
		t.Errorf("the owner is told %+v", v.Accepted)
	}
}

// A headless Service may have more endpoints than an entry holds; which of
// them are taken does not depend on their order.
func TestHeadless_TakesABoundedNumberOfEndpoints(t *testing.T) {
	t.Parallel()
	s := loadScenario(t, "testdata/headless.in.yaml")
	key := types.NamespacedName{Namespace: "identity", Name: "headless"}
	slice := s.snapshot.EndpointSlices[key][0].DeepCopy()
	for i := range 200 {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.2.0.%d", 200-i)}})
	}
	s.snapshot.EndpointSlices[key] = []discoveryv1.EndpointSlice{*slice}
	result := Compile(&s.snapshot, s.Now)
	at := slices.IndexFunc(result.Table.Routes, func(r routetable.Route) bool { return r.Name == "headless" })
	if at < 0 {
		t.Fatal("the route is not served")
	}
	addresses := result.Table.Routes[at].Backends[0].Addresses
	if len(addresses) != routetable.MaxAddresses || addresses[0] != "10.1.0.2:18080" || addresses[63] != "10.2.0.155:18080" {
		t.Errorf("%d addresses, from %s to %s", len(addresses), addresses[0], addresses[len(addresses)-1])
	}
}

// A policy that was stored without its defaults allows nothing: it must never
// allow everything.
func TestPolicy_WithoutDefaultsIsClosed(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*callbackv1alpha1.Policy){
		callbackv1alpha1.ReasonLifetimeExceedsPolicy: func(p *callbackv1alpha1.Policy) { p.MaxLifetimeDays = 0 },
		callbackv1alpha1.ReasonAfterSunsetNotAllowed: func(p *callbackv1alpha1.Policy) { p.AfterSunset = nil },
	} {
		s := loadScenario(t, "testdata/minimal.in.yaml")
		change(&s.snapshot.Proxy.Spec.Policy)
		if v := s.find(t, "identity/acme-sso"); v.Accepted.OK || v.Accepted.Reason != want {
			t.Errorf("the route is told %+v, want %s", v.Accepted, want)
		}
	}
	s := loadScenario(t, "testdata/minimal.in.yaml")
	s.snapshot.Proxy.Spec.Policy.RequireOwner = nil
	s.snapshot.Routes[0].Object.Spec.Owner = ""
	if v := s.find(t, "identity/acme-sso"); v.Accepted.Reason != callbackv1alpha1.ReasonOwnerRequired {
		t.Errorf("the route without an owner is told %+v", v.Accepted)
	}
}

// Next is the earliest change of any accepted route; refused ones have none.
func TestCompile_NextIsTheEarliestChange(t *testing.T) {
	t.Parallel()
	s := loadScenario(t, "testdata/sunset.in.yaml")
	now := s.Now
	var seen []string
	for range 20 {
		next := Compile(&s.snapshot, now).Next
		if next.IsZero() {
			break
		}
		if !next.After(now) {
			t.Fatalf("after %v comes %v", now, next)
		}
		now = next
		seen = append(seen, now.Format("01-02 15:04:05"))
	}
	want := []string{"11-21 12:00:01", "11-23 00:00:00", "11-25 00:00:00", "11-26 00:00:00", "11-29 00:00:00", "11-30 00:00:00"}
	if !slices.Equal(seen, want) {
		t.Errorf("changes at %q, want %q", seen, want)
	}
	// Without the right to its host a route has no changes to wait for.
	s.snapshot.Proxy.Spec.Hosts[0].Hostname = "other.acme.com"
	if next := Compile(&s.snapshot, s.Now).Next; !next.IsZero() {
		t.Errorf("refused routes change at %v", next)
	}
}

// The compiler changes nothing that it was given: it comes from a cache that
// others read.
func TestCompile_LeavesTheSnapshotAlone(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"testdata/headless.in.yaml", "testdata/conflict.in.yaml", "testdata/proxy-settings.in.yaml", "testdata/wrong-host.in.yaml"} {
		s := loadScenario(t, file)
		before, err := json.Marshal([]any{s.snapshot.Routes, s.snapshot.Proxy, s.snapshot.Grants, s.snapshot.Forbidden})
		if err != nil {
			t.Fatal(err)
		}
		result := Compile(&s.snapshot, s.Now)
		for i := range result.Verdicts {
			RouteStatus(&result.Verdicts[i], s.observed(result.Verdicts[i].Route, s.fleet(t, result.Table)), s.Now)
		}
		after, err := json.Marshal([]any{s.snapshot.Routes, s.snapshot.Proxy, s.snapshot.Grants, s.snapshot.Forbidden})
		if err != nil || string(before) != string(after) {
			t.Errorf("%s: the snapshot was changed (%v)", file, err)
		}
	}
}

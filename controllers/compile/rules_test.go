// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile_test

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
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/scenario"
)

// find returns the verdict on a route of a scenario, compiled now.
func find(t testing.TB, s *scenario.Scenario, name string) *compile.Verdict {
	t.Helper()
	result := compile.Compile(&s.Snapshot, s.Now)
	for i := range result.Verdicts {
		if v := &result.Verdicts[i]; v.Route.Namespace+"/"+v.Route.Name == name {
			return v
		}
	}
	t.Fatalf("no verdict on %s", name)
	return nil
}

// F11: a panic of a rule costs one route only.
func TestF11_APanicCostsOneRouteOnly(t *testing.T) {
	s := scenario.Load(t, "../status/testdata/conflict.in.yaml")
	before := compile.Compile(&s.Snapshot, s.Now)
	t.Cleanup(compile.PrependRule(func(name string) {
		if name == "login-a" {
			panic("secret of the defect")
		}
	}))
	after := compile.Compile(&s.Snapshot, s.Now)
	for i := range after.Verdicts {
		v := &after.Verdicts[i]
		switch v.Route.Name {
		case "login-a":
			if v.Accepted.Reason != callbackv1alpha1.ReasonInvalid || v.Entry != nil || strings.Contains(v.Accepted.Message, "secret") {
				t.Errorf("the route that panics: %+v", v)
			}
		case "login-b": // login-a no longer claims its callback
			if !v.Accepted.OK || v.Entry == nil {
				t.Errorf("the route that lost to it: %+v", v)
			}
		default:
			if v.Accepted != before.Verdicts[i].Accepted {
				t.Errorf("%s: the panic of another route changes %+v to %+v", v.Route.Name, before.Verdicts[i].Accepted, v.Accepted)
			}
		}
	}
}

// F11: after a panic of the last rule no entry is left.
func TestF11_ALatePanicLeavesNoEntry(t *testing.T) {
	t.Cleanup(compile.AppendRule(func(string) { panic("late") }))
	s := scenario.Load(t, "../status/testdata/minimal.in.yaml")
	plan := compile.Compile(&s.Snapshot, s.Now)
	if v := plan.Verdicts[0]; v.Entry != nil || len(plan.Table.Routes) > 0 || v.Accepted.Reason != callbackv1alpha1.ReasonInvalid {
		t.Errorf("the route is %+v", v)
	}
}

// T4, B12: a Service in another namespace that is absent, one without the port,
// one of a kind that is never dialled and one that may not be used give the same
// verdict, to the last byte.
func TestT4_B12_AbsentAndForbiddenReadAlike(t *testing.T) {
	t.Parallel()
	key := types.NamespacedName{Namespace: "trusted", Name: "new-idp"}
	service := func(s *scenario.Scenario) *corev1.Service { return s.Snapshot.Services[key].DeepCopy() }
	var first, firstName string
	for name, change := range map[string]func(*scenario.Scenario){
		"granted and absent":      func(s *scenario.Scenario) { delete(s.Snapshot.Services, key) },
		"there and not granted":   func(s *scenario.Scenario) { s.Snapshot.Grants = nil },
		"neither":                 func(s *scenario.Scenario) { s.Snapshot.Grants = nil; delete(s.Snapshot.Services, key) },
		"granted, without a port": func(s *scenario.Scenario) { o := service(s); o.Spec.Ports[0].Port = 1; s.Snapshot.Services[key] = o },
		"granted, by UDP": func(s *scenario.Scenario) {
			o := service(s)
			o.Spec.Ports[0].Protocol = "UDP"
			s.Snapshot.Services[key] = o
		},
		"an ExternalName, not granted": func(s *scenario.Scenario) {
			o := service(s)
			o.Spec.Type = corev1.ServiceTypeExternalName
			s.Snapshot.Services[key], s.Snapshot.Grants = o, nil
		},
		"the API server, not granted": func(s *scenario.Scenario) {
			o := service(s)
			o.Spec.ClusterIP = "127.0.0.1"
			s.Snapshot.Services[key], s.Snapshot.Grants = o, nil
		},
	} {
		s := scenario.Load(t, "../status/testdata/cross-namespace.in.yaml")
		if before := find(t, s, "identity/a-granted"); !before.ResolvedRefs.OK {
			t.Fatalf("before the change: %+v", before.ResolvedRefs)
		}
		change(s)
		v := find(t, s, "identity/a-granted")
		data, err := json.Marshal([]any{v.Accepted, v.ResolvedRefs, v.Entry, v.NoEndpoints})
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
			t.Errorf("%s gives\n%s\n%s gives\n%s", name, data, firstName, first)
		}
	}
}

// T4: a host that is granted to others gives the same message as one that is
// granted to no namespace.
func TestT4_ForeignAndUnknownHostsReadAlike(t *testing.T) {
	t.Parallel()
	texts := map[string]bool{}
	for _, host := range []callbackv1alpha1.Hostname{"partner.acme.com", "unlisted.acme.com"} {
		s := scenario.Load(t, "../status/testdata/wrong-host.in.yaml")
		for _, route := range s.Snapshot.Routes {
			if route.Object.Name == "b-not-listed" {
				route.Object.Spec.Hostnames = []callbackv1alpha1.Hostname{host}
			}
		}
		v := find(t, s, "identity/b-not-listed")
		texts[v.Accepted.Reason+strings.ReplaceAll(v.Accepted.Message, string(host), "HOST")] = true
	}
	if len(texts) != 1 {
		t.Errorf("the messages differ: %v", texts)
	}
}

// T1, P7: a route without the right to a host discloses nothing about the routes
// on it, whatever else is wrong with it.
func TestT1_HostOwnershipComesFirst(t *testing.T) {
	t.Parallel()
	s := scenario.Load(t, "../status/testdata/wrong-host.in.yaml")
	for _, route := range s.Snapshot.Routes {
		if route.Object.Namespace != "intruder" {
			continue
		}
		route.Object.CreationTimestamp.Time = s.Now.AddDate(-9, 0, 0) // the oldest
		route.Object.Spec.Callbacks[0].Path = "/z"                    // taken by z-good
		route.Object.Spec.Owner = ""
	}
	if v := find(t, s, "intruder/foreign-namespace"); v.Accepted.Reason != callbackv1alpha1.ReasonHostNotAllowed {
		t.Errorf("the intruder gets %+v", v.Accepted)
	}
	if v := find(t, s, "identity/z-good"); !v.Accepted.OK {
		t.Errorf("the owner gets %+v", v.Accepted)
	}
}

// A headless Service may have more endpoints than an entry holds; the choice does
// not depend on their order.
func TestHeadless_TakesABoundedNumberOfEndpoints(t *testing.T) {
	t.Parallel()
	s := scenario.Load(t, "../status/testdata/headless.in.yaml")
	key := types.NamespacedName{Namespace: "identity", Name: "headless"}
	slice := s.Snapshot.EndpointSlices[key][0].DeepCopy()
	for i := range 200 {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.2.0.%d", 200-i)}})
	}
	s.Snapshot.EndpointSlices[key] = []discoveryv1.EndpointSlice{*slice}
	result := compile.Compile(&s.Snapshot, s.Now)
	at := slices.IndexFunc(result.Table.Routes, func(r routetable.Route) bool { return r.Name == "headless" })
	if at < 0 {
		t.Fatal("the route is not served")
	}
	addresses := result.Table.Routes[at].Backends[0].Addresses
	if len(addresses) != routetable.MaxAddresses || addresses[0] != "10.1.0.2:18080" || addresses[63] != "10.2.0.155:18080" {
		t.Errorf("%d addresses, from %s to %s", len(addresses), addresses[0], addresses[len(addresses)-1])
	}
}

// A policy that was stored without its defaults allows nothing, instead of
// everything.
func TestPolicy_WithoutDefaultsIsClosed(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*callbackv1alpha1.Policy){
		callbackv1alpha1.ReasonLifetimeExceedsPolicy: func(p *callbackv1alpha1.Policy) { p.MaxLifetimeDays = 0 },
		callbackv1alpha1.ReasonAfterSunsetNotAllowed: func(p *callbackv1alpha1.Policy) { p.AllowedAfterSunset = nil },
	} {
		s := scenario.Load(t, "../status/testdata/minimal.in.yaml")
		change(&s.Snapshot.Proxy.Spec.Policy)
		if v := find(t, s, "identity/acme-sso"); v.Accepted.OK || v.Accepted.Reason != want {
			t.Errorf("the route gets %+v, want %s", v.Accepted, want)
		}
	}
	s := scenario.Load(t, "../status/testdata/minimal.in.yaml")
	s.Snapshot.Proxy.Spec.Policy.RequireOwner = nil
	s.Snapshot.Routes[0].Object.Spec.Owner = ""
	if v := find(t, s, "identity/acme-sso"); v.Accepted.Reason != callbackv1alpha1.ReasonOwnerRequired {
		t.Errorf("the route without an owner gets %+v", v.Accepted)
	}
}

// Next is the earliest change of an accepted route; refused routes have none.
func TestCompile_NextIsTheEarliestChange(t *testing.T) {
	t.Parallel()
	s := scenario.Load(t, "../status/testdata/sunset.in.yaml")
	now := s.Now
	var seen []string
	for range 20 {
		next := compile.Compile(&s.Snapshot, now).Next
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
	// A route without the right to its host has no phases.
	s.Snapshot.Proxy.Spec.Hosts[0].Hostname = "other.acme.com"
	if next := compile.Compile(&s.Snapshot, s.Now).Next; !next.IsZero() {
		t.Errorf("refused routes change at %v", next)
	}
}

// Compile does not change its input, which comes from a shared cache.
func TestCompile_LeavesTheSnapshotAlone(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"../status/testdata/headless.in.yaml", "../status/testdata/conflict.in.yaml", "../status/testdata/proxy-settings.in.yaml", "../status/testdata/wrong-host.in.yaml"} {
		s := scenario.Load(t, file)
		before, err := json.Marshal([]any{s.Snapshot.Routes, s.Snapshot.Proxy, s.Snapshot.Grants, s.Snapshot.Forbidden})
		if err != nil {
			t.Fatal(err)
		}
		compile.Compile(&s.Snapshot, s.Now)
		after, err := json.Marshal([]any{s.Snapshot.Routes, s.Snapshot.Proxy, s.Snapshot.Grants, s.Snapshot.Forbidden})
		if err != nil || string(before) != string(after) {
			t.Errorf("%s: the snapshot was changed (%v)", file, err)
		}
	}
}

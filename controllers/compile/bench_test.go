// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"fmt"
	"testing"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// largeFleet is a fleet with 10,000 routes of 50 namespaces on 256 hosts, each
// given by a selector.
func largeFleet(b *testing.B) *scenario {
	b.Helper()
	s := loadScenario(b, "testdata/minimal.in.yaml")
	model, given := s.snapshot.Routes[0].Object, s.snapshot.Proxy.Spec.Hosts[0]
	s.snapshot.Routes, s.snapshot.Proxy.Spec.Hosts = nil, nil
	for i := range 256 {
		given.Hostname = callbackv1alpha1.Hostname(fmt.Sprintf("h%d.acme.com", i))
		given.Namespaces.Selector = given.Namespaces.Selector.DeepCopy()
		given.Namespaces.Selector.MatchLabels = map[string]string{"team": fmt.Sprint(i % 50)}
		s.snapshot.Proxy.Spec.Hosts = append(s.snapshot.Proxy.Spec.Hosts, given)
	}
	for i := range 10_000 {
		route := model.DeepCopy()
		route.Namespace, route.Name, route.UID = fmt.Sprint("team-", i%50), fmt.Sprint("route-", i), ""
		route.Spec.Hostnames = []callbackv1alpha1.Hostname{callbackv1alpha1.Hostname(fmt.Sprintf("h%d.acme.com", i%50))}
		route.Spec.Callback.Path = callbackv1alpha1.CallbackPath(fmt.Sprint("/cb/", i))
		s.addRoute(Route{Object: route})
		s.addNamespace(route.Namespace, map[string]string{"team": fmt.Sprint(i % 50)})
	}
	return s
}

func BenchmarkCompile(b *testing.B) {
	s := largeFleet(b)
	b.ReportAllocs()
	for b.Loop() {
		if result := Compile(&s.snapshot, s.Now); len(result.Table.Routes) != 10_000 {
			b.Fatalf("%d routes are accepted", len(result.Table.Routes))
		}
	}
}

// What a pass over an unchanged world does once it has compiled it.
func BenchmarkStatuses(b *testing.B) {
	s := largeFleet(b)
	result := Compile(&s.snapshot, s.Now)
	fleet := s.fleet(b, result.Table)
	for i := range result.Verdicts {
		v := &result.Verdicts[i]
		v.Route.Status = RouteStatus(v, s.observed(v.Route, fleet), s.Now)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		for i := range result.Verdicts {
			v := &result.Verdicts[i]
			status := RouteStatus(v, s.observed(v.Route, fleet), s.Now)
			if Compare(&v.Route.Status, &status) != Same {
				b.Fatal("the status differs")
			}
		}
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scenario

// large.go builds a scenario for benchmarks.

import (
	"fmt"
	"testing"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
)

// Large returns a fleet with 10,000 routes of 50 namespaces on 256 hosts, each
// given by a selector.
func Large(b *testing.B, file string) *Scenario {
	b.Helper()
	s := Load(b, file)
	model, given := s.Snapshot.Routes[0].Object, s.Snapshot.Proxy.Spec.Hosts[0]
	s.Snapshot.Routes, s.Snapshot.Proxy.Spec.Hosts = nil, nil
	for i := range 256 {
		given.Hostname = callbackv1alpha1.Hostname(fmt.Sprintf("h%d.acme.com", i))
		given.Namespaces.Selector = given.Namespaces.Selector.DeepCopy()
		given.Namespaces.Selector.MatchLabels = map[string]string{"team": fmt.Sprint(i % 50)}
		s.Snapshot.Proxy.Spec.Hosts = append(s.Snapshot.Proxy.Spec.Hosts, given)
	}
	for i := range 10_000 {
		route := model.DeepCopy()
		route.Namespace, route.Name, route.UID = fmt.Sprint("team-", i%50), fmt.Sprint("route-", i), ""
		route.Spec.Hostnames = []callbackv1alpha1.Hostname{callbackv1alpha1.Hostname(fmt.Sprintf("h%d.acme.com", i%50))}
		route.Spec.Callbacks[0].Path = callbackv1alpha1.CallbackPath(fmt.Sprint("/cb/", i))
		s.AddRoute(compile.Route{Object: route})
		s.AddNamespace(route.Namespace, map[string]string{"team": fmt.Sprint(i % 50)})
	}
	return s
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/schema"
	"github.com/callbackproxy/callback-operator/test/schema/specimen"
)

// P7: no tenant can make the table invalid. Whatever routes and proxies the
// schema lets in, with whatever Services behind them: the table can be
// published, a proxy accepts it, nothing in it is dialled that must not be,
// and no status contradicts itself, whatever instances see and count, and at
// whatever time. Nothing changes before the time that the compiler names.
func TestP7_WhatTheSchemaAcceptsMakesAValidTable(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 11))
	scenarios := 150
	if raceEnabled || testing.Short() {
		scenarios = 40
	}
	routes, accepted := 0, 0
	for range scenarios {
		s := randomScenario(t, random)
		result := Compile(&s.snapshot, s.Now)
		encoded, err := routetable.Encode(result.Table, 4<<10)
		if err != nil {
			t.Fatalf("the table cannot be published: %v\n%s", err, printYAML(t, s.snapshot.Proxy))
		}
		shards := map[string]string{}
		for _, shard := range encoded.Shards {
			shards[shard.Hash] = shard.Data
		}
		table, err := routetable.Decode(encoded.Index, func(hash string) (string, bool) {
			data, found := shards[hash]
			return data, found
		})
		if err != nil || !reflect.DeepEqual(table, result.Table) {
			t.Fatalf("a proxy reads another table (%v)", err)
		}
		fleet := s.fleet(t, result.Table)
		for i := range result.Verdicts {
			v := &result.Verdicts[i]
			isWritable(t, v.Route, "CallbackRoute", s.routeStatus(t, v, fleet))
		}
		isWritable(t, s.snapshot.Proxy, "CallbackProxy", s.proxyStatus(t, result, fleet))
		s.isQuietUntilNext(t, result, fleet, random)
		routes += len(s.snapshot.Routes)
		accepted += len(result.Table.Routes)
	}
	t.Logf("%d of %d routes are accepted", accepted, routes)
	if routes < 20*scenarios || accepted < routes/20 || accepted > routes*9/10 {
		t.Errorf("%d of %d routes are accepted: they show too little", accepted, routes)
	}
}

// isWritable fails when the API server would refuse a status, or would store
// another one: that would be written again and again.
func isWritable[S any](t testing.TB, object metav1.Object, kind string, status S) {
	t.Helper()
	sent, err := schema.ParseJSON([]byte(`{"apiVersion": "callbackproxy.io/v1alpha1", "kind": "` + kind + `",
		"metadata": {"name": "` + object.GetName() + `"}, "status": ` + asJSON(t, status) + `}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, refusal := range mustSchemas(t)[kind].Admit(sent) {
		if refusal.Field != "spec" {
			t.Errorf("%s %s/%s: the status is refused: %v", kind, object.GetNamespace(), object.GetName(), refusal)
		}
	}
	var stored S
	if err := json.Unmarshal([]byte(asJSON(t, sent["status"])), &stored); err != nil || !apiequality.Semantic.DeepEqual(stored, status) {
		t.Errorf("%s %s/%s: another status is stored (%v):\n%s\n%s", kind, object.GetNamespace(), object.GetName(), err, asJSON(t, sent["status"]), asJSON(t, status))
	}
}

// isQuietUntilNext fails when a status changes before the next change, though
// no object does.
func (s *scenario) isQuietUntilNext(t testing.TB, result *Result, fleet *Fleet, random *rand.Rand) {
	t.Helper()
	next := result.Next
	for i := range result.Verdicts {
		if v := &result.Verdicts[i]; v.Accepted.OK {
			use := s.Use[v.Route.Namespace+"/"+v.Route.Name]
			if at, _ := QuietAt(v.Route, &use); s.Now.Before(at) {
				next = earlier(next, at)
			}
		}
	}
	if next.IsZero() {
		next = s.Now.AddDate(9, 0, 0)
	}
	for _, then := range []time.Time{s.Now.Add(time.Duration(random.Int64N(int64(next.Sub(s.Now))))), next.Add(-time.Nanosecond)} {
		later := Compile(&s.snapshot, then)
		for i := range result.Verdicts {
			before := RouteStatus(&result.Verdicts[i], s.observed(result.Verdicts[i].Route, fleet), s.Now)
			v := later.Verdicts[i]
			v.Route = v.Route.DeepCopy()
			v.Route.Status = before
			if after := RouteStatus(&v, s.observed(v.Route, fleet), then); !apiequality.Semantic.DeepEqual(before, after) {
				t.Fatalf("%s/%s changes at %v, before %v:\n%s\n%s", v.Route.Namespace, v.Route.Name, then, next, asJSON(t, before), asJSON(t, after))
			}
		}
	}
}

// randomScenario holds what the schema accepts out of 30 random routes, and a
// random CallbackProxy.
func randomScenario(t testing.TB, random *rand.Rand) *scenario {
	t.Helper()
	s := &scenario{Now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), Proxy: "edge/edge"}
	s.Now = s.Now.Add(time.Duration(random.IntN(120*24)-40*24) * time.Hour)
	s.start(t)
	for s.snapshot.Proxy == nil {
		s.addAdmitted(t, specimen.Proxy(random, "edge", "edge", random.IntN(3)))
	}
	if spec := &s.snapshot.Proxy.Spec; random.IntN(3) > 0 {
		spec.Policy.MaxLifetimeDays = []int32{150, 3650}[random.IntN(2)]
		spec.Policy.AfterSunset = []callbackv1alpha1.AfterSunset{"Reject", "Warn"}
		spec.Hosts = nil
		for _, host := range []callbackv1alpha1.Hostname{"auth.acme.com", "login.acme.com", "a", "1.2.3.example", "xn--bcher-kva.example"} {
			given := callbackv1alpha1.HostNamespaces{From: callbackv1alpha1.NamespacesFromAll}
			spec.Hosts = append(spec.Hosts, callbackv1alpha1.ProxyHost{Hostname: host, Namespaces: given})
		}
	}
	for i := range 30 {
		namespace := []string{"identity", "partners", "edge"}[random.IntN(3)]
		s.addAdmitted(t, specimen.Route(random, namespace, fmt.Sprint("route-", i), max(0, random.IntN(4)-2)))
	}
	s.Use = map[string]Use{}
	for i := range s.snapshot.Routes {
		route := s.snapshot.Routes[i].Object
		route.CreationTimestamp = metav1.NewTime(s.Now.AddDate(0, -random.IntN(5), 0))
		s.Use[route.Namespace+"/"+route.Name] = randomUse(random, route, s.Now)
		randomHold(random, route)
	}
	s.Fleet = randomFleet(random, s)
	for _, namespace := range []string{"identity", "partners", "edge", "elsewhere"} {
		for _, name := range []string{"blue", "green", "headless", "external", "a.b"} {
			s.addRandomService(random, types.NamespacedName{Namespace: namespace, Name: name})
		}
	}
	s.snapshot.Grants = []gatewayv1beta1.ReferenceGrant{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "elsewhere", Name: "all"},
		Spec: gatewayv1beta1.ReferenceGrantSpec{
			From: []gatewayv1beta1.ReferenceGrantFrom{{Group: "callbackproxy.io", Kind: "CallbackRoute", Namespace: "identity"}},
			To:   []gatewayv1beta1.ReferenceGrantTo{{Kind: "Service"}},
		},
	}}
	return s
}

func (s *scenario) addAdmitted(t testing.TB, object specimen.Object) {
	t.Helper()
	stored, err := schema.ParseJSON(specimen.JSON(object))
	if err != nil || len(mustSchemas(t)[object["kind"].(string)].Admit(stored)) > 0 {
		return
	}
	s.add(t, stored)
}

// addRandomService adds a Service of any sort: of some cluster IP, headless
// with some endpoints, an ExternalName, or none.
func (s *scenario) addRandomService(random *rand.Rand, key types.NamespacedName) {
	anyAddress := func() string {
		all := []string{
			"10.96.0.1", "10.96.0.10", "127.0.0.1", "169.254.169.254", "fd00::1", "::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1",
			"fe80::1%eth0", "", "None", "not-an-address", "0.0.0.0", "224.0.0.1", "2002:7f00:1::", "10.0.0.01",
		}
		return all[random.IntN(len(all))]
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Spec: corev1.ServiceSpec{ClusterIP: anyAddress(), Ports: []corev1.ServicePort{
			{Port: 80, Name: "http"}, {Port: 8080}, {Port: 8443, Protocol: corev1.ProtocolTCP}, {Port: 65535}, {Port: 1},
		}},
	}
	switch key.Name {
	case "headless":
		service.Spec.ClusterIP = corev1.ClusterIPNone
	case "external":
		service.Spec.Type = corev1.ServiceTypeExternalName
	}
	s.snapshot.Services[key] = service
	for range random.IntN(3) {
		name, port := []string{"", "http", "other"}[random.IntN(3)], []int32{0, -1, 80, 65535, 70000}[random.IntN(5)]
		slice := discoveryv1.EndpointSlice{
			AddressType: []discoveryv1.AddressType{"IPv4", "IPv6", "FQDN", "Other"}[random.IntN(4)],
			Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port}, {}},
		}
		for i := range random.IntN(100) {
			ready := random.IntN(2) == 0
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
				Addresses:  []string{anyAddress(), fmt.Sprintf("10.1.0.%d", i)},
				Conditions: discoveryv1.EndpointConditions{Ready: &ready},
			})
		}
		s.snapshot.EndpointSlices[key] = append(s.snapshot.EndpointSlices[key], slice)
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scenario

// random.go draws random scenarios.

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/schema"
	"github.com/callbackproxy/callback-operator/test/schema/specimen"
)

// Random draws a scenario: a random CallbackProxy, and those of 30 random routes
// that the schema accepts.
func Random(t testing.TB, random *rand.Rand) *Scenario {
	t.Helper()
	s := &Scenario{Now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), Proxy: "edge/edge"}
	s.Now = s.Now.Add(time.Duration(random.IntN(120*24)-40*24) * time.Hour)
	s.Start(t)
	for s.Snapshot.Proxy == nil {
		s.addAdmitted(t, specimen.Proxy(random, "edge", "edge", random.IntN(3)))
	}
	if spec := &s.Snapshot.Proxy.Spec; random.IntN(3) > 0 {
		spec.Policy.MaxLifetimeDays = []int32{150, 3650}[random.IntN(2)]
		spec.Policy.AllowedAfterSunset = []callbackv1alpha1.AfterSunset{"Reject", "Serve"}
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
	s.Traffic = map[string]status.Traffic{}
	for i := range s.Snapshot.Routes {
		route := s.Snapshot.Routes[i].Object
		route.CreationTimestamp = metav1.NewTime(s.Now.AddDate(0, -random.IntN(5), 0))
		s.Traffic[route.Namespace+"/"+route.Name] = randomTraffic(random, route, s.Now)
		randomHold(random, route)
	}
	s.Fleet = RandomFleet(random, s)
	for _, namespace := range []string{"identity", "partners", "edge", "elsewhere"} {
		for _, name := range []string{"blue", "green", "headless", "external", "a.b"} {
			s.addRandomService(random, types.NamespacedName{Namespace: namespace, Name: name})
		}
	}
	s.Snapshot.Grants = []gatewayv1.ReferenceGrant{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "elsewhere", Name: "all"},
		Spec: gatewayv1.ReferenceGrantSpec{
			From: []gatewayv1.ReferenceGrantFrom{{Group: "callbackproxy.io", Kind: "CallbackRoute", Namespace: "identity"}},
			To:   []gatewayv1.ReferenceGrantTo{{Kind: "Service"}},
		},
	}}
	return s
}

func (s *Scenario) addAdmitted(t testing.TB, object specimen.Object) {
	t.Helper()
	stored, err := schema.ParseJSON(specimen.JSON(object))
	if err != nil || len(Schemas(t)[object["kind"].(string)].Admit(stored)) > 0 {
		return
	}
	s.Add(t, stored)
}

// addRandomService adds a Service of any sort: of some cluster IP, headless
// with some endpoints, an ExternalName, or none.
func (s *Scenario) addRandomService(random *rand.Rand, key types.NamespacedName) {
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
	s.Snapshot.Services[key] = service
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
		s.Snapshot.EndpointSlices[key] = append(s.Snapshot.EndpointSlices[key], slice)
	}
}

// RandomFleet draws up to four instances: some are behind, unreachable, have a
// wrong clock or refuse the config, and each reports its own health of backends.
func RandomFleet(random *rand.Rand, s *Scenario) []Instance {
	fleet := make([]Instance, random.IntN(5))
	for i := range fleet {
		one := Instance{Pod: fmt.Sprint("edge-", i), Generation: Published.Generation, Health: map[string]string{}}
		switch random.IntN(8) {
		case 0:
			one.Generation = int64(random.IntN(9))
		case 1:
			one.Unreachable, one.LastReportTime = true, randomTime(random, s.Now)
		case 2:
			one.Refused = "decode index: format 2"
		case 3:
			one.Suspect = true
		case 4:
			one.Port = 9090
		}
		for _, route := range s.Snapshot.Routes {
			for _, backend := range route.Object.Spec.Backends {
				one.measure(random, route.Object.Namespace+"/"+route.Object.Name+"/"+backend.Name)
			}
		}
		fleet[i] = one
	}
	return fleet
}

// measure draws the reported health of a backend.
func (i *Instance) measure(random *rand.Rand, backend string) {
	healthy := string(routetable.TargetHealthy)
	switch random.IntN(5) {
	case 0, 1:
		i.Health[backend] = healthy
	case 2:
		i.Health[backend] = []string{routetable.TargetUnreachable, routetable.TargetNoAnswer, routetable.TargetBadStatus}[random.IntN(3)]
	case 3:
		i.Health[backend] = string(routetable.TargetUnmeasured)
	}
	switch random.IntN(4) {
	case 0:
		i.Health["pathProbe "+backend] = healthy
	case 1:
		i.Health["pathProbe "+backend] = routetable.TargetPathNotServed
	}
}

// randomTraffic draws counters of a route, of its backends and of a removed one.
func randomTraffic(random *rand.Rand, route *callbackv1alpha1.CallbackRoute, now time.Time) status.Traffic {
	if random.IntN(3) == 0 {
		return status.Traffic{}
	}
	t := status.Traffic{Last: randomTime(random, now), Callbacks: 1 + random.Int64N(1000), Backends: map[string]status.BackendTraffic{}}
	if random.IntN(2) == 0 {
		t.AfterSunset = random.Int64N(t.Callbacks + 1)
		t.Repeats = random.Int64N(t.Callbacks + 1)
		t.Other, t.Refused = random.Int64N(3), random.Int64N(3)
	}
	for _, backend := range append(slices.Clone(route.Spec.Backends), callbackv1alpha1.Backend{Name: "gone"}) {
		if random.IntN(2) == 0 {
			t.Backends[backend.Name] = status.BackendTraffic{Callbacks: 1 + random.Int64N(10), Last: randomTime(random, now)}
		}
	}
	return t
}

// randomTime draws a time of the last three hours that is three seconds or more
// away from the moment at which a route becomes quiet, so that a second pass one
// second later gives the same status.
func randomTime(random *rand.Rand, now time.Time) time.Time {
	return now.Add(-time.Duration(random.IntN(180))*time.Minute + -30*time.Second + time.Duration(random.IntN(1e9)))
}

// randomHold draws a hold annotation.
func randomHold(random *rand.Rand, route *callbackv1alpha1.CallbackRoute) {
	if random.IntN(2) == 0 {
		return
	}
	reasons := []string{"partner moves in January", " x ", "", " ", "a\nb", "\u202eevil", "\x00", string(make([]byte, 300)), "ü"}
	route.Annotations = map[string]string{callbackv1alpha1.HoldAnnotation: reasons[random.IntN(len(reasons))]}
}

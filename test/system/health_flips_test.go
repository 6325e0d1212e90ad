// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"bytes"
	"net/http"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/system/interposer"
)

// A backend fails and recovers every second, by the proxies' checks; the
// endpoints of two others come and go every second, by the EndpointSlices. No
// route's status is written more often than every 30 s, and no callback fails,
// as each route has a failover.
func TestF17_HealthFlips(t *testing.T) {
	t.Parallel()
	s := start(t, "F17", options{alone: true})
	const sliced, headless = "sliced-idp", "headless-idp"
	s.service("identity", sliced, "")
	s.service("identity", headless, corev1.ClusterIPNone)
	endpoints := []*discoveryv1.EndpointSlice{
		s.slice("identity", sliced, closedAddresses[:1]), s.slice("identity", headless, closedAddresses[1:2]),
	}
	s.flipping("flipping", "moody-idp", &callbackv1alpha1.HealthCheck{
		Path: "/healthz", IntervalSeconds: 1, TimeoutSeconds: 1, UnhealthyThreshold: 1, HealthyThreshold: 1,
	})
	s.flipping(sliced, sliced, nil)
	s.flipping(headless, headless, nil)
	s.load("/flipping", http.StatusOK, "moody", "blue")
	s.converges(patience)
	// The first measurement is written at once, and is no flip.
	s.Eventually(func() metav1.ConditionStatus {
		return s.condition("identity", "flipping", callbackv1alpha1.ConditionBackendsHealthy).Status
	}, patience).Should(Equal(metav1.ConditionTrue))

	began := time.Now()
	during := lasting(65*time.Second, 30*time.Minute)
	flips, last := 0, -1.0
	for n := 0; time.Since(began) < during; n++ {
		s.moods.ill.Store(n%2 == 0)
		for _, slice := range endpoints {
			s.setReady(slice, n%2 == 1)
		}
		s.wait(time.Second)
		if now, err := s.proxyMetric(0, "callbackproxy_target_unhealthy"); err == nil && now != last {
			flips, last = flips+1, now
		}
	}
	s.Expect(flips).To(BeNumerically(">", int(during.Seconds())/3), "the fault was there: a proxy measured it")
	for _, name := range []string{"flipping", sliced, headless} {
		writes := s.statusWrites(name, began)
		// A write of the route's counters may precede the first one about health.
		first := slices.IndexFunc(writes, func(c interposer.Call) bool {
			return bytes.Contains(c.Body, []byte(`"type":"BackendsHealthy","status":"False"`))
		})
		s.Expect(first).To(BeElementOf(0, 1), "%s: the failure is reported", name)
		writes = writes[first:]
		closest := during
		for i := range max(0, len(writes)-1) {
			closest = min(closest, writes[i+1].At.Sub(writes[i].At))
		}
		s.record("%s flipped for %s: %d statuses written, the closest two %.1f s apart", name, during, len(writes), closest.Seconds())
		s.Expect(len(writes)).To(BeNumerically("<=", 1+int(during/(30*time.Second))), name)
		s.Expect(closest).To(BeNumerically(">=", 29*time.Second), name)
	}
	s.record("a proxy measured %d flips of the backend", flips)
	s.Expect(s.managers[0].Restarts()).To(BeZero(), s.managers[0].logTail())
	s.finish()
}

// statusWrites are those of one route since a time.
func (s *system) statusWrites(name string, since time.Time) []interposer.Call {
	s.t.Helper()
	return s.managers[0].api.Calls(interposer.And(interposer.Writes, interposer.Since(since),
		interposer.CallsOf("", "callbackroutes"), func(c interposer.Call) bool { return c.Name == name && c.Subresource == "status" }))
}

// flipping is a route to a Service that comes and goes, with blue as failover.
func (s *system) flipping(name, service string, check *callbackv1alpha1.HealthCheck) {
	s.t.Helper()
	r := route{name: name, active: "blue"}.object()
	r.Spec.Backends = []callbackv1alpha1.Backend{
		{Name: "first", Service: callbackv1alpha1.ServiceReference{Name: callbackv1alpha1.ObjectName(service), Port: 8080}, Weight: new(int32(100)), HealthCheck: check, Failover: &callbackv1alpha1.Failover{Backend: "second", LoginState: callbackv1alpha1.LoginStateShared}},
		{Name: "second", Service: callbackv1alpha1.ServiceReference{Name: "legacy-idp", Port: 8080}, Weight: new(int32(0))},
	}
	s.Expect(s.Client.Create(s.ctx, r)).To(Succeed())
}

// service makes a Service without a backend.
func (s *system) service(namespace, name, clusterIP string) *corev1.Service {
	s.t.Helper()
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.ServiceSpec{ClusterIP: clusterIP, Ports: []corev1.ServicePort{{Name: "http", Port: 8080}}},
	}
	s.Expect(s.Client.Create(s.ctx, service)).To(Succeed())
	return service
}

// slice makes an EndpointSlice with endpoints that are ready.
func (s *system) slice(namespace, service string, addresses []string) *discoveryv1.EndpointSlice {
	s.t.Helper()
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, GenerateName: service + "-", Labels: map[string]string{discoveryv1.LabelServiceName: service},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: new("http"), Port: new(int32(8080))}},
	}
	for _, address := range addresses {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)},
		})
	}
	s.Expect(s.tolerant.Create(s.ctx, slice)).To(Succeed())
	return slice
}

// setReady sets the readiness of all endpoints of a slice.
func (s *system) setReady(slice *discoveryv1.EndpointSlice, ready bool) {
	s.t.Helper()
	for i := range slice.Endpoints {
		slice.Endpoints[i].Conditions.Ready = &ready
	}
	s.Expect(s.tolerant.Update(s.ctx, slice)).To(Succeed())
}

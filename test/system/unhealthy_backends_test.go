// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// All backends of a route fail their health checks and still serve callbacks: the
// proxies keep delivering, as a failed attempt costs less than a refusal of a
// callback that would have been served. The status reports the failure and the
// recovery.
func TestF42_AllBackendsLookUnhealthy(t *testing.T) {
	t.Parallel()
	s := start(t, "F42", options{alone: true})
	check := &callbackv1alpha1.HealthCheck{Path: "/healthz", IntervalSeconds: 1, TimeoutSeconds: 1, UnhealthyThreshold: 1, HealthyThreshold: 1}
	r := claim{namespace: "identity", name: "tried", host: authHost, path: "/tried", service: "moody-idp", check: check}.object()
	standby := r.Spec.Backends[0]
	standby.Name, standby.Weight = "standby", new(int32(0))
	r.Spec.Backends[0].Weight = new(int32(100))
	r.Spec.Backends[0].Failover = &callbackv1alpha1.Failover{Backend: "standby", LoginState: callbackv1alpha1.LoginStateShared}
	r.Spec.Backends = append(r.Spec.Backends, standby)
	s.Expect(s.Client.Create(s.ctx, r)).To(Succeed())
	healthy := func() metav1.ConditionStatus {
		return s.condition("identity", "tried", callbackv1alpha1.ConditionBackendsHealthy).Status
	}
	s.Eventually(healthy, patience).Should(Equal(metav1.ConditionTrue))
	s.load("/tried", http.StatusOK, "moody")

	s.moods.ill.Store(true)
	defer s.moods.ill.Store(false)
	ill := time.Now()
	for i := range s.proxies {
		s.Eventually(func() (float64, error) {
			return s.proxyMetric(i, "callbackproxy_target_unhealthy")
		}, patience).Should(BeNumerically(">", 0))
	}
	measured := time.Since(ill)
	s.Eventually(healthy, 2*patience).Should(Equal(metav1.ConditionFalse))
	reported := time.Since(ill)
	s.wait(lasting(5*time.Second, 5*time.Minute))

	s.moods.ill.Store(false)
	well := time.Now()
	s.Eventually(healthy, 2*patience).Should(Equal(metav1.ConditionTrue))
	s.record("all backends unhealthy: measured by both proxies after %.1f s, reported after %.1f s; healthy again %.1f s after the recovery (a health status is written every 30 s at most)",
		measured.Seconds(), reported.Seconds(), time.Since(well).Seconds())
	s.finish()
}

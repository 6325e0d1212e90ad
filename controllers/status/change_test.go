// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/test/scenario"
)

var opposite = map[metav1.ConditionStatus]metav1.ConditionStatus{
	metav1.ConditionTrue: metav1.ConditionFalse, metav1.ConditionFalse: metav1.ConditionTrue,
}

// Each part of a status has a class of change, from which the status writer
// derives how long a write may wait.
func TestCompareRoute(t *testing.T) {
	t.Parallel()
	type routeStatus = callbackv1alpha1.CallbackRouteStatus
	change := func(kind string, f func(*metav1.Condition)) func(*routeStatus) {
		return func(s *routeStatus) {
			c := findCondition(s.Conditions, kind)
			if c == nil {
				t.Fatalf("no condition %s", kind)
			}
			f(c)
		}
	}
	both := func(fs ...func(*routeStatus)) func(*routeStatus) {
		return func(s *routeStatus) {
			for _, f := range fs {
				f(s)
			}
		}
	}
	flip := func(c *metav1.Condition) { c.Status, c.Reason = metav1.ConditionFalse, "Other" }
	turn := func(c *metav1.Condition) { c.Status = opposite[c.Status] }
	unknow := func(c *metav1.Condition) { c.Status = metav1.ConditionUnknown }
	later := func(c *metav1.Condition) {
		c.LastTransitionTime = metav1.NewTime(c.LastTransitionTime.Add(time.Second))
	}
	reword := func(c *metav1.Condition) { c.Message += "!" }
	count := func(s *routeStatus) { n := int64(99); s.Traffic.Callbacks, s.Backends[0].Callbacks = &n, &n }
	six := int32(6)

	for _, tc := range []struct {
		name   string
		change func(*routeStatus)
		want   status.Change
	}{
		{"nothing", func(*routeStatus) {}, status.Unchanged},
		{"the same instant elsewhere", change("Ready", func(c *metav1.Condition) {
			c.LastTransitionTime = metav1.NewTime(c.LastTransitionTime.In(time.FixedZone("", 3600)))
		}), status.Unchanged},
		{"a count", count, status.Counters},
		{"quiet", func(s *routeStatus) { s.Traffic.QuietSince = s.Traffic.LastCallbackTime }, status.Counters},
		{"a backend's last callback", func(s *routeStatus) { s.Backends[0].LastCallbackTime = s.Traffic.LastCallbackTime }, status.Counters},
		{"how many came after the sunset", both(count, change("SunsetPassed", reword), change("Ready", reword)), status.Counters},
		{"how many instances there are", func(s *routeStatus) { s.Instances.Total = &six }, status.Counters},
		{"how many instances there are, and a count", both(count, func(s *routeStatus) { s.Instances.Total = &six }), status.Counters},
		{"a backend's health", func(s *routeStatus) { s.Backends[0].Health = callbackv1alpha1.HealthHealthy }, status.Health},
		{"whether it is known", func(s *routeStatus) { s.Backends[0].Health = callbackv1alpha1.HealthUnknown }, status.Health},
		{"why it is unhealthy", func(s *routeStatus) { s.Backends[0].Reason = "Other" }, status.Counters},
		{"how many see it", change("BackendsHealthy", reword), status.Counters},
		{"the condition, and so Ready", both(change("BackendsHealthy", turn), change("Ready", flip), change("Ready", later)), status.Health},
		{"the condition is Unknown now", change("BackendsHealthy", unknow), status.Health},
		{"the condition and counts", both(count, change("BackendsHealthy", turn)), status.Health},
		{"a condition", change("Programmed", flip), status.Spec},
		{"a message", change("Accepted", reword), status.Spec},
		{"since when", change("Accepted", later), status.Spec},
		{"the generation", func(s *routeStatus) { s.ObservedGeneration++ }, status.Spec},
		{"the primary backend", func(s *routeStatus) { s.PrimaryBackend = "red" }, status.Spec},
		{"the sunset has passed", change("SunsetPassed", later), status.Spec},
		{"a condition less", func(s *routeStatus) { s.Conditions = s.Conditions[:len(s.Conditions)-1] }, status.Spec},
		{"everything", both(count, change("BackendsHealthy", flip), change("ResolvedRefs", flip)), status.Spec},
		{"there was no status", func(s *routeStatus) { *s = routeStatus{} }, status.Spec},
	} {
		s := scenario.Load(t, "testdata/sunset-traffic.in.yaml")
		v := find(t, s, "identity/a-reject")
		before := status.ComputeRoute(v, s.Observe(v.Route, s.ObserveFleet(t, nil)), s.Now)
		original := *before.DeepCopy()
		before.Backends[0].Health = callbackv1alpha1.HealthUnhealthy
		findCondition(before.Conditions, "BackendsHealthy").Status = metav1.ConditionFalse
		after := before.DeepCopy()
		tc.change(after)
		if got := status.CompareRoute(&before, after); got != tc.want {
			t.Errorf("%s changes: %d, want %d", tc.name, got, tc.want)
		}
		if got := status.CompareRoute(after, &before); got != tc.want {
			t.Errorf("%s changes back: %d, want %d", tc.name, got, tc.want)
		}
		if again := status.ComputeRoute(v, s.Observe(v.Route, s.ObserveFleet(t, nil)), s.Now); status.CompareRoute(&original, &again) != status.Unchanged {
			t.Errorf("%s: comparing changes what is compared", tc.name)
		}
	}
}

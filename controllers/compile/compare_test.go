// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

var opposite = map[metav1.ConditionStatus]metav1.ConditionStatus{
	metav1.ConditionTrue: metav1.ConditionFalse, metav1.ConditionFalse: metav1.ConditionTrue,
}

// What kind of news each part of a status is: that decides whether it is
// written at once, or at most twice a minute.
func TestCompare(t *testing.T) {
	t.Parallel()
	type status = callbackv1alpha1.CallbackRouteStatus
	change := func(kind string, f func(*metav1.Condition)) func(*status) {
		return func(s *status) {
			c := findCondition(s.Conditions, kind)
			if c == nil {
				t.Fatalf("no condition %s", kind)
			}
			f(c)
		}
	}
	both := func(fs ...func(*status)) func(*status) {
		return func(s *status) {
			for _, f := range fs {
				f(s)
			}
		}
	}
	flip := func(c *metav1.Condition) { c.Status, c.Reason = metav1.ConditionFalse, "Other" }
	turn := func(c *metav1.Condition) { c.Status = opposite[c.Status] }
	doubt := func(c *metav1.Condition) { c.Status = metav1.ConditionUnknown }
	later := func(c *metav1.Condition) {
		c.LastTransitionTime = metav1.NewTime(c.LastTransitionTime.Add(time.Second))
	}
	say := func(c *metav1.Condition) { c.Message += "!" }
	count := func(s *status) { n := int64(99); s.Traffic.Callbacks, s.Backends[0].Callbacks = &n, &n }
	six := int32(6)

	for _, tc := range []struct {
		name   string
		change func(*status)
		want   Change
	}{
		{"nothing", func(*status) {}, Same},
		{"the same instant elsewhere", change("Ready", func(c *metav1.Condition) {
			c.LastTransitionTime = metav1.NewTime(c.LastTransitionTime.In(time.FixedZone("", 3600)))
		}), Same},
		{"a count", count, Counted},
		{"quiet", func(s *status) { s.Traffic.QuietSince = s.Traffic.LastCallbackTime }, Counted},
		{"a backend's last callback", func(s *status) { s.Backends[0].LastCallbackTime = s.Traffic.LastCallbackTime }, Counted},
		{"how many came after the sunset", both(count, change("SunsetPassed", say), change("Ready", say)), Counted},
		{"how many instances there are", func(s *status) { s.Proxies.Total = &six }, Scaled},
		{"how many instances there are, and a count", both(count, func(s *status) { s.Proxies.Total = &six }), Counted},
		{"a backend's health", func(s *status) { s.Backends[0].Health = callbackv1alpha1.HealthHealthy }, Seen},
		{"whether it is known", func(s *status) { s.Backends[0].Health = callbackv1alpha1.HealthUnknown }, Seen},
		{"why it is unhealthy", func(s *status) { s.Backends[0].Reason = "Other" }, Counted},
		{"how many see it", change("BackendsHealthy", say), Counted},
		{"the condition, and so Ready", both(change("BackendsHealthy", turn), change("Ready", flip), change("Ready", later)), Seen},
		{"the condition, which says nothing now", change("BackendsHealthy", doubt), Seen},
		{"the condition and counts", both(count, change("BackendsHealthy", turn)), Seen},
		{"a condition", change("Programmed", flip), Declared},
		{"what a condition says", change("Accepted", say), Declared},
		{"since when", change("Accepted", later), Declared},
		{"the generation", func(s *status) { s.ObservedGeneration++ }, Declared},
		{"the active backend", func(s *status) { s.ActiveBackend = "red" }, Declared},
		{"the sunset has passed", change("SunsetPassed", later), Declared},
		{"a condition less", func(s *status) { s.Conditions = s.Conditions[:len(s.Conditions)-1] }, Declared},
		{"everything", both(count, change("BackendsHealthy", flip), change("ResolvedRefs", flip)), Declared},
		{"there was no status", func(s *status) { *s = status{} }, Declared},
	} {
		s := loadScenario(t, "testdata/sunset-traffic.in.yaml")
		v := s.find(t, "identity/a-reject")
		before := RouteStatus(v, s.observed(v.Route, s.fleet(t, nil)), s.Now)
		original := *before.DeepCopy()
		before.Backends[0].Health = callbackv1alpha1.HealthUnhealthy
		findCondition(before.Conditions, "BackendsHealthy").Status = metav1.ConditionFalse
		after := before.DeepCopy()
		tc.change(after)
		if got := Compare(&before, after); got != tc.want {
			t.Errorf("%s changes: %d, want %d", tc.name, got, tc.want)
		}
		if got := Compare(after, &before); got != tc.want {
			t.Errorf("%s changes back: %d, want %d", tc.name, got, tc.want)
		}
		if again := RouteStatus(v, s.observed(v.Route, s.fleet(t, nil)), s.Now); Compare(&original, &again) != Same {
			t.Errorf("%s: comparing changes what is compared", tc.name)
		}
	}
}

// That a healthy backend is known, or is not any more, is news of its own kind.
func TestFlips(t *testing.T) {
	t.Parallel()
	const healthy, unhealthy, unknown = callbackv1alpha1.HealthHealthy, callbackv1alpha1.HealthUnhealthy, callbackv1alpha1.HealthUnknown
	for _, tc := range []struct {
		before, after callbackv1alpha1.Health
		want          Change
	}{
		{healthy, healthy, Counted},
		{unknown, healthy, Measured},
		{healthy, unknown, Measured},
		{healthy, unhealthy, Seen},
		{unhealthy, healthy, Seen},
		{unhealthy, unknown, Seen},
		{unknown, unhealthy, Seen},
	} {
		before := map[string]callbackv1alpha1.Health{"": tc.before}
		if got := flips(before, map[string]callbackv1alpha1.Health{"": tc.after}); got != tc.want {
			t.Errorf("from %s to %s: %d, want %d", tc.before, tc.after, got, tc.want)
		}
	}
}

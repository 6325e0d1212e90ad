// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/test/scenario"
)

// ending is the minimal scenario with a deprecation, warnings in no order, and
// a policy that ends on 2027-01-30.
func ending(t testing.TB) (*scenario.Scenario, *callbackv1alpha1.CallbackRoute) {
	t.Helper()
	s := scenario.Load(t, "testdata/minimal.in.yaml")
	route := s.Snapshot.Routes[0].Object
	route.CreationTimestamp = metav1.NewTime(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	deprecation := metav1.NewTime(time.Date(2026, 12, 20, 6, 0, 0, 0, time.UTC))
	route.Spec.DeprecationTime = &deprecation
	s.Snapshot.Proxy.Spec.Policy.MaxLifetimeDays = 90
	s.Snapshot.Proxy.Spec.Policy.SunsetWarningDays = []int32{2, 31, 10}
	return s, route
}

// walk follows Next to the end and stores the status of each step. It returns each
// time of a change, and what is in the status from then on and was not one
// nanosecond before.
func walk(t testing.TB, s *scenario.Scenario) []string {
	t.Helper()
	summary := func(now time.Time) []string {
		plan := compile.Compile(&s.Snapshot, now)
		v := &plan.Verdicts[0]
		var all []string
		for _, c := range status.ComputeRoute(v, s.Observe(v.Route, s.ObserveFleet(t, plan.Table)), now).Conditions {
			all = append(all, c.Type+"="+string(c.Status)+" "+c.Reason)
			if c.Type == callbackv1alpha1.ConditionSunsetPassed && strings.Contains(c.Message, "allows no sunsetTime") {
				all = append(all, "the policy's end")
			}
		}
		return append(all, "phase "+v.Phase.String(), strings.Repeat("w", int(v.Warning)))
	}
	var steps []string
	now := s.Now
	for range 20 {
		plan := compile.Compile(&s.Snapshot, now)
		route := s.Snapshot.Routes[0].Object
		route.Status = status.ComputeRoute(&plan.Verdicts[0], s.Observe(route, s.ObserveFleet(t, plan.Table)), now)
		next := plan.Next
		if next.IsZero() {
			return steps
		}
		if !next.After(now) {
			t.Fatalf("after %v comes %v", now, next)
		}
		before, after := summary(next.Add(-time.Nanosecond)), summary(next)
		if !slices.Equal(summary(now), before) {
			t.Errorf("the status changes between %v and %v:\n%v\n%v", now, next, summary(now), before)
		}
		news := slices.DeleteFunc(after, func(text string) bool { return slices.Contains(before, text) })
		if len(news) == 0 {
			t.Errorf("nothing changes at %v", next)
		}
		for i, text := range news {
			if strings.HasPrefix(text, "w") {
				news[i] = fmt.Sprintf("warning %d days", len(text))
			}
		}
		steps = append(steps, next.Format("2006-01-02 15:04:05 ")+strings.Trim(strings.Join(news, ", "), ", "))
		now = next
	}
	t.Fatal("the changes never end")
	return nil
}

// Every stage of an end begins at its exact time, and nothing changes between two
// stages.
func TestCompile_NextVisitsEveryStage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(*scenario.Scenario, *callbackv1alpha1.CallbackRoute)
		want   []string
	}{
		{"rejected", func(*scenario.Scenario, *callbackv1alpha1.CallbackRoute) {}, []string{
			"2026-11-30 00:00:00 SunsetApproaching=True SunsetApproaching, warning 31 days",
			"2026-12-20 06:00:00 Deprecated=True Deprecated, phase Deprecated",
			"2026-12-21 00:00:00 warning 10 days",
			"2026-12-29 00:00:00 warning 2 days",
			"2026-12-31 00:00:00 BackendsHealthy=Unknown SunsetPassed, Ready=True SunsetPassed, SunsetPassed=True SunsetPassed, phase Passed",
			"2027-01-30 00:00:00 the policy's end",
		}},
		{"held", func(_ *scenario.Scenario, r *callbackv1alpha1.CallbackRoute) {
			r.Annotations = map[string]string{callbackv1alpha1.HoldAnnotation: "partner is late"}
		}, []string{
			"2026-11-30 00:00:00 SunsetApproaching=True SunsetApproaching, warning 31 days",
			"2026-12-20 06:00:00 Deprecated=True Deprecated, phase Deprecated",
			"2026-12-21 00:00:00 warning 10 days",
			"2026-12-29 00:00:00 warning 2 days",
			"2026-12-31 00:00:00 SunsetPassed=True SunsetPassed, phase Held",
			"2027-01-30 00:00:00 BackendsHealthy=Unknown SunsetPassed, Ready=True SunsetPassed, the policy's end, SunsetHeld=False HoldExpired, phase Passed",
		}},
		{"without warnings and deprecation", func(s *scenario.Scenario, r *callbackv1alpha1.CallbackRoute) {
			s.Snapshot.Proxy.Spec.Policy.SunsetWarningDays, r.Spec.DeprecationTime = nil, nil
		}, []string{
			"2026-12-31 00:00:00 BackendsHealthy=Unknown SunsetPassed, Ready=True SunsetPassed, SunsetPassed=True SunsetPassed, phase Passed",
			"2027-01-30 00:00:00 the policy's end",
		}},
		{"with Serve", func(s *scenario.Scenario, r *callbackv1alpha1.CallbackRoute) {
			s.Snapshot.Proxy.Spec.Policy.AllowedAfterSunset = []callbackv1alpha1.AfterSunset{"Serve"}
			s.Snapshot.Proxy.Spec.Policy.SunsetWarningDays, r.Spec.DeprecationTime = []int32{1}, nil
			r.Spec.AfterSunset = "Serve"
		}, []string{
			"2026-12-30 00:00:00 SunsetApproaching=True SunsetApproaching, warning 1 days",
			"2026-12-31 00:00:00 SunsetPassed=True SunsetPassed, phase Passed",
			"2027-01-30 00:00:00 the policy's end",
		}},
		{"not accepted", func(_ *scenario.Scenario, r *callbackv1alpha1.CallbackRoute) { r.Spec.Owner = "" }, nil},
	} {
		s, route := ending(t)
		tc.change(s, route)
		if got := walk(t, s); !slices.Equal(got, tc.want) {
			t.Errorf("%s:\n%s\nwant\n%s", tc.name, strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
		}
	}
}

// T16: a hold never outlives the policy: from the latest sunset that the policy
// allows on, the proxies reject callbacks.
func TestT16_AHoldNeverOutlivesThePolicy(t *testing.T) {
	t.Parallel()
	s, route := ending(t)
	route.Annotations = map[string]string{callbackv1alpha1.HoldAnnotation: "the partner never answers"}
	for _, days := range []int32{61, 90, 3650} { // the sunset is 60 days after the creation
		s.Snapshot.Proxy.Spec.Policy.MaxLifetimeDays = days
		limit := route.CreationTimestamp.AddDate(0, 0, int(days))
		v := find(t, s, "identity/acme-sso")
		if !v.Entry.HeldUntil.Equal(limit) {
			t.Errorf("with %d days it is held until %v, the policy ends at %v", days, v.Entry.HeldUntil, limit)
		}
		if v := (&compile.Compile(&s.Snapshot, limit).Verdicts[0]); !v.HasEnded() || isSunsetHeld(t, s, v, limit) {
			t.Errorf("with %d days, at the end of the policy: ended is %t", days, v.HasEnded())
		}
		if v := (&compile.Compile(&s.Snapshot, limit.Add(-time.Nanosecond)).Verdicts[0]); v.HasEnded() || !isSunsetHeld(t, s, v, limit.Add(-time.Nanosecond)) {
			t.Errorf("with %d days, before the end of the policy: ended is %t", days, v.HasEnded())
		}
	}
	s.Snapshot.Proxy.Spec.Policy.MaxLifetimeDays = 60
	if v := find(t, s, "identity/acme-sso"); !v.Entry.HeldUntil.IsZero() || isSunsetHeld(t, s, v, s.Now) {
		t.Errorf("at the limit: held until %v", v.Entry.HeldUntil)
	}
}

// An incomplete character is no valid reason, because a condition repeats it.
func TestCompile_AHoldsReasonIsText(t *testing.T) {
	t.Parallel()
	s, route := ending(t)
	for reason, want := range map[string]bool{"\xc3": false, "late \xc3\xbc": true, "late \xc3": false, "\ufffd": true} {
		route.Annotations = map[string]string{callbackv1alpha1.HoldAnnotation: reason}
		if v := find(t, s, "identity/acme-sso"); isSunsetHeld(t, s, v, s.Now) != want || v.Entry.HeldUntil.IsZero() == want {
			t.Errorf("a hold because of %q is valid: %t, until %v", reason, !want, v.Entry.HeldUntil)
		}
	}
}

// The conditions follow a sunset that is moved, both ways.
func TestComputeRoute_FollowsASunsetThatIsMoved(t *testing.T) {
	t.Parallel()
	s, route := ending(t)
	s.Now = time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		sunset string
		want   string
	}{
		{"2026-12-31T00:00:00Z", callbackv1alpha1.ConditionSunsetPassed},
		{"2027-01-01T00:00:00Z", callbackv1alpha1.ConditionSunsetApproaching},
		{"2026-12-30T00:00:00Z", callbackv1alpha1.ConditionSunsetPassed},
	} {
		at, err := time.Parse(time.RFC3339, tc.sunset)
		if err != nil {
			t.Fatal(err)
		}
		route.Spec.SunsetTime = metav1.NewTime(at)
		route.Generation++
		result := compile.Compile(&s.Snapshot, s.Now)
		route.Status = routeStatus(t, s, &result.Verdicts[0], s.ObserveFleet(t, result.Table))
		for _, kind := range []string{callbackv1alpha1.ConditionSunsetPassed, callbackv1alpha1.ConditionSunsetApproaching} {
			if found := findCondition(route.Status.Conditions, kind) != nil; found != (kind == tc.want) {
				t.Errorf("with sunset %s there is %s: %t", tc.sunset, kind, found)
			}
		}
	}
}

// isSunsetHeld reports whether the condition SunsetHeld of an annotated route is
// True.
func isSunsetHeld(t testing.TB, s *scenario.Scenario, v *compile.Verdict, now time.Time) bool {
	t.Helper()
	computed := status.ComputeRoute(v, s.Observe(v.Route, s.ObserveFleet(t, nil)), now)
	held := findCondition(computed.Conditions, callbackv1alpha1.ConditionSunsetHeld)
	if held == nil {
		t.Fatal("no condition SunsetHeld")
	}
	return held.Status == metav1.ConditionTrue
}

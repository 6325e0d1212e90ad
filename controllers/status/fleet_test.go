// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"testing"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// A report counts only for configs that were published.
func TestFleet_Runs(t *testing.T) {
	t.Parallel()
	since := routetable.Version{Epoch: 5, Generation: 10}
	fleet := &Fleet{Published: routetable.Version{Epoch: 6, Generation: 12}, Hash: "published"}
	for _, tc := range []struct {
		name     string
		instance Instance
		want     bool
	}{
		{"the published config", Instance{Reached: true, Report: report(6, 12, "published")}, true},
		{"the version that held it first", Instance{Reached: true, Report: report(5, 10, "older")}, true},
		{"a version between", Instance{Reached: true, Report: report(5, 99, "older")}, true},
		{"the version before", Instance{Reached: true, Report: report(5, 9, "older")}, false},
		{"an epoch before", Instance{Reached: true, Report: report(4, 99, "older")}, false},
		{"a version that was never published", Instance{Reached: true, Report: report(6, 13, "later")}, false},
		{"an epoch that was never published", Instance{Reached: true, Report: report(7, 1, "later")}, false},
		{"the published version of another content", Instance{Reached: true, Report: report(6, 12, "other")}, false},
		{"a version without a config", Instance{Reached: true, Report: report(6, 12, "")}, false},
		{"nothing", Instance{Reached: true}, false},
		{"its last report, unreachable since", Instance{Report: report(6, 12, "published")}, false},
	} {
		if got := fleet.runs(&tc.instance, since); got != tc.want {
			t.Errorf("an instance that runs %s: %t", tc.name, got)
		}
	}
}

func report(epoch, generation int64, hash string) routetable.Report {
	return routetable.Report{Version: routetable.Version{Epoch: epoch, Generation: generation}, Hash: hash, ListenerPort: 8080}
}

// A refusal counts while it is about the published config, unless the instance is
// ahead: then a later config ends it, and no edit is needed.
func TestFleet_Refused(t *testing.T) {
	t.Parallel()
	fleet := &Fleet{Published: routetable.Version{Epoch: 6, Generation: 12}, Hash: "published"}
	for _, tc := range []struct {
		name    string
		refusal *routetable.Refusal
		reached bool
		want    bool
	}{
		{"none", nil, true, false},
		{"invalid", &routetable.Refusal{Version: fleet.Published, Reason: routetable.RefusedInvalid, Message: "m"}, true, true},
		{"incomplete", &routetable.Refusal{Version: fleet.Published, Reason: routetable.RefusedIncomplete, Message: "m"}, true, true},
		{"older", &routetable.Refusal{Version: fleet.Published, Reason: routetable.RefusedOlder, Message: "m"}, true, false},
		{"of an earlier config", &routetable.Refusal{Version: routetable.Version{Epoch: 6, Generation: 11}, Reason: routetable.RefusedInvalid}, true, false},
		{"by an instance that is gone", &routetable.Refusal{Version: fleet.Published, Reason: routetable.RefusedInvalid}, false, false},
	} {
		i := Instance{Reached: tc.reached, Report: routetable.Report{Refused: tc.refusal}}
		if refusal := fleet.refused(&i); (refusal != nil) != tc.want || tc.want && refusal != tc.refusal {
			t.Errorf("%s: refused(...) = %+v", tc.name, refusal)
		}
	}
}

// A backend that is measured for the first time, or no more, is no failure.
func TestCompareHealth(t *testing.T) {
	t.Parallel()
	const healthy, unhealthy, unknown = callbackv1alpha1.HealthHealthy, callbackv1alpha1.HealthUnhealthy, callbackv1alpha1.HealthUnknown
	for _, tc := range []struct {
		before, after callbackv1alpha1.Health
		want          Change
	}{
		{healthy, healthy, Counters},
		{unknown, healthy, Spec},
		{healthy, unknown, Spec},
		{healthy, unhealthy, Health},
		{unhealthy, healthy, Health},
		{unhealthy, unknown, Health},
		{unknown, unhealthy, Health},
	} {
		before := map[string]callbackv1alpha1.Health{"": tc.before}
		if got := compareHealth(before, map[string]callbackv1alpha1.Health{"": tc.after}); got != tc.want {
			t.Errorf("from %s to %s: %d, want %d", tc.before, tc.after, got, tc.want)
		}
	}
}

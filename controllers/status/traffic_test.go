// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/test/scenario"
)

// used is a use that a status can hold: in whole seconds, of declared backends.
func used(s *scenario.Scenario) status.Traffic {
	return status.Traffic{
		Last: s.Now.Add(-2 * time.Hour), Callbacks: 40, AfterSunset: 4, Repeats: 5, Other: 3, Refused: 2,
		Backends: map[string]status.BackendTraffic{"blue": {Callbacks: 30, Last: s.Now.Add(-3 * time.Hour)}, "green": {}},
	}
}

// The counters of a stored status are those that it was computed from: the next
// leader continues from them.
func TestReadTraffic_ReturnsWhatWasStored(t *testing.T) {
	t.Parallel()
	s := scenario.Load(t, "testdata/blue-green.in.yaml")
	result := compile.Compile(&s.Snapshot, s.Now)
	v := &result.Verdicts[0]
	for name, use := range map[string]status.Traffic{
		"used": used(s), "never used": {Backends: map[string]status.BackendTraffic{"blue": {}, "green": {}}},
	} {
		computed := status.ComputeRoute(v, &status.Observation{Fleet: s.ObserveFleet(t, result.Table), Since: scenario.Published, Traffic: use}, s.Now)
		stored := callbackv1alpha1.CallbackRouteStatus{}
		if err := json.Unmarshal([]byte(asJSON(t, computed)), &stored); err != nil {
			t.Fatal(err)
		}
		got := status.ReadTraffic(&stored)
		if asJSON(t, got) != asJSON(t, use) { // instants, whatever their location
			t.Errorf("%s: stored is %+v, want %+v", name, got, use)
		}
	}
}

// A status of an older version, or an empty one, has no counters.
func TestReadTraffic_OfPartialStatuses(t *testing.T) {
	t.Parallel()
	for name, stored := range map[string]callbackv1alpha1.CallbackRouteStatus{
		"none":                  {},
		"empty traffic":         {Traffic: &callbackv1alpha1.Traffic{}},
		"backends without uses": {Backends: []callbackv1alpha1.BackendStatus{{Name: "blue", Health: callbackv1alpha1.HealthUnknown}}},
	} {
		if got := status.ReadTraffic(&stored); !reflect.DeepEqual(got, status.Traffic{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A route is quiet from an hour after the last callback on, or after its
// creation, to the second.
func TestQuietAt(t *testing.T) {
	t.Parallel()
	s, result, fleet := oneRoute(t)
	v := &result.Verdicts[0]
	created := v.Route.CreationTimestamp.Time
	last := s.Now.Add(-time.Minute)
	for _, tc := range []struct {
		name  string
		use   status.Traffic
		since time.Time
	}{
		{"called", status.Traffic{Last: last, Callbacks: 1}, last},
		{"never called", status.Traffic{}, created},
		{"only scanned", status.Traffic{Other: 5, Refused: 5}, created},
	} {
		at, since := status.QuietAt(v.Route, &tc.use)
		if !since.Equal(tc.since) || !at.Equal(tc.since.Add(time.Hour)) {
			t.Errorf("%s: quiet at %v, since %v", tc.name, at, since)
		}
		observed := &status.Observation{Fleet: fleet, Since: scenario.Published, Traffic: tc.use}
		if q := status.ComputeRoute(v, observed, at.Add(-time.Nanosecond)).Traffic.QuietSince; q != nil {
			t.Errorf("%s: quiet since %v before it is", tc.name, q)
		}
		if q := status.ComputeRoute(v, observed, at).Traffic.QuietSince; q == nil || !q.Time.Equal(tc.since) {
			t.Errorf("%s: quiet since %v, want %v", tc.name, q, tc.since)
		}
	}
}

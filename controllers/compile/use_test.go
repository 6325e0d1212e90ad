// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// used is a use that a status can hold: in whole seconds, of declared backends.
func used(s *scenario) Use {
	return Use{
		Last: s.Now.Add(-2 * time.Hour), Callbacks: 40, AfterSunset: 4, Other: 3, Refused: 2,
		Backends: map[string]BackendUse{"blue": {Callbacks: 30, Last: s.Now.Add(-3 * time.Hour)}, "green": {}},
	}
}

// What a status says is what the next leadership counts on from, to the last
// digit, also after it went through the API.
func TestStoredUse_IsWhatTheStatusWasMadeOf(t *testing.T) {
	t.Parallel()
	s := loadScenario(t, "testdata/blue-green.in.yaml")
	result := Compile(&s.snapshot, s.Now)
	v := &result.Verdicts[0]
	for name, use := range map[string]Use{
		"used": used(s), "never used": {Backends: map[string]BackendUse{"blue": {}, "green": {}}},
	} {
		status := RouteStatus(v, &Observed{Fleet: s.fleet(t, result.Table), Since: published, Use: use}, s.Now)
		stored := callbackv1alpha1.CallbackRouteStatus{}
		if err := json.Unmarshal([]byte(asJSON(t, status)), &stored); err != nil {
			t.Fatal(err)
		}
		got := StoredUse(&stored)
		if asJSON(t, got) != asJSON(t, use) { // instants, whatever their location
			t.Errorf("%s: stored is %+v, want %+v", name, got, use)
		}
	}
}

// A status of an older version, or none, holds nothing; and what a status does
// not count is not there.
func TestStoredUse_OfLess(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]callbackv1alpha1.CallbackRouteStatus{
		"none":                  {},
		"empty traffic":         {Traffic: &callbackv1alpha1.Traffic{}},
		"backends without uses": {Backends: []callbackv1alpha1.BackendStatus{{Name: "blue", Health: callbackv1alpha1.HealthUnknown}}},
	} {
		if got := StoredUse(&status); !reflect.DeepEqual(got, Use{}) {
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
		use   Use
		since time.Time
	}{
		{"called", Use{Last: last, Callbacks: 1}, last},
		{"never called", Use{}, created},
		{"only scanned", Use{Other: 5, Refused: 5}, created},
	} {
		at, since := QuietAt(v.Route, &tc.use)
		if !since.Equal(tc.since) || !at.Equal(tc.since.Add(time.Hour)) {
			t.Errorf("%s: quiet at %v, since %v", tc.name, at, since)
		}
		observed := &Observed{Fleet: fleet, Since: published, Use: tc.use}
		if q := RouteStatus(v, observed, at.Add(-time.Nanosecond)).Traffic.QuietSince; q != nil {
			t.Errorf("%s: quiet since %v before it is", tc.name, q)
		}
		if q := RouteStatus(v, observed, at).Traffic.QuietSince; q == nil || !q.Time.Equal(tc.since) {
			t.Errorf("%s: quiet since %v, want %v", tc.name, q, tc.since)
		}
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

import (
	"slices"
	"strings"
	"testing"
)

// withWeights returns a route with backends of these weights.
func withWeights(weights ...int32) *Route {
	route := plainRoute(1)
	route.Backends = nil
	for i, weight := range weights {
		route.Backends = append(route.Backends, Backend{Name: string(rune('a' + i)), Weight: weight})
	}
	return &route
}

// The highest weight gets the callbacks.
func TestActive(t *testing.T) {
	for _, tc := range []struct {
		weights []int32
		want    string
	}{
		{[]int32{1}, "a"},
		{[]int32{0, 100}, "b"},
		{[]int32{100, 0}, "a"},
		{[]int32{1, 3, 2}, "b"},
		{[]int32{7, 0, 9, 8}, "c"},
		{[]int32{5, 9, 5}, "b"},
		{[]int32{0, 0}, ""},
	} {
		route := withWeights(tc.weights...)
		got := ""
		if b := route.Active(); b != nil {
			got = b.Name
		}
		if got != tc.want {
			t.Errorf("weights %v: %s, want %s", tc.weights, got, tc.want)
		}
	}
}

// What is looked at in the same way has one name, whatever else differs, and
// what is looked at in another way has another.
func TestTargetID_NamesWhatIsLookedAt(t *testing.T) {
	plain := func() *HealthCheck {
		return &HealthCheck{Path: "/a", Host: "h", IntervalSeconds: 5, TimeoutSeconds: 2, UnhealthyThreshold: 3, HealthyThreshold: 4}
	}
	changed := func(change func(*HealthCheck)) string {
		check := plain()
		change(check)
		return TargetID("10.0.0.1:80", check)
	}
	ids := []string{
		TargetID("10.0.0.1:80", plain()), TargetID("10.0.0.1:81", plain()), TargetID("10.0.0.1:80", nil), TargetID("10.0.0.1:81", nil),
		changed(func(c *HealthCheck) { c.Path = "/b" }), changed(func(c *HealthCheck) { c.Host = "i" }),
		changed(func(c *HealthCheck) { c.Path, c.Host = "", "" }), changed(func(c *HealthCheck) { c.IntervalSeconds = 6 }),
		changed(func(c *HealthCheck) { c.TimeoutSeconds = 3 }), changed(func(c *HealthCheck) { c.UnhealthyThreshold = 4 }),
		changed(func(c *HealthCheck) { c.HealthyThreshold = 3 }), changed(func(c *HealthCheck) { c.IntervalSeconds, c.TimeoutSeconds = 2, 5 }),
	}
	wantDistinct(t, ids)
	if TargetID("10.0.0.1:80", plain()) != ids[0] {
		t.Error("the same has two names")
	}
}

func TestPreflightID_NamesWhatIsAsked(t *testing.T) {
	id := func(address string, change func(*Route)) string {
		route := plainRoute(1)
		route.Backends[0].Path, route.Backends[0].Host = "", ""
		change(&route)
		return PreflightID(address, &route, &route.Backends[0])
	}
	const address = "10.0.0.1:80"
	same := id(address, func(*Route) {})
	tenant := func(host string) func(*Route) {
		return func(r *Route) { r.Hostnames[0], r.Backends[0].Host = host, "idp.svc" }
	}
	wantDistinct(t, []string{id(address, tenant("a.example.com")), id(address, tenant("b.example.com"))})
	wantDistinct(t, []string{
		same, id("10.0.0.1:81", func(*Route) {}), TargetID(address, nil),
		id(address, func(r *Route) { r.Protocol = SAML }), id(address, func(r *Route) { r.Path = "/b" }),
		id(address, func(r *Route) { r.Hostnames[0] = "other.example.com" }),
		id(address, func(r *Route) { r.Backends[0].Path = "/c" }), id(address, func(r *Route) { r.Backends[0].Host = "idp.svc" }),
	})
	for name, change := range map[string]func(*Route){
		"another name":        func(r *Route) { r.Name, r.UID = "x", "y" },
		"the path as its own": func(r *Route) { r.Backends[0].Path = r.Path },
		"the host as its own": func(r *Route) { r.Backends[0].Host = r.Hostnames[0] },
		"another hostname":    func(r *Route) { r.Hostnames = r.Hostnames[:1] },
		"another weight":      func(r *Route) { r.Backends[0].Weight = 7 },
	} {
		if id(address, change) != same {
			t.Errorf("%s gives another name", name)
		}
	}
}

func wantDistinct(t *testing.T, ids []string) {
	t.Helper()
	for _, id := range ids {
		if len(id) != 20 || strings.Trim(id, "0123456789abcdef") != "" {
			t.Errorf("ID is %q", id)
		}
	}
	ids = slices.Clone(ids)
	slices.Sort(ids)
	if n := len(slices.Compact(ids)); n != len(ids) {
		t.Errorf("%d names for %d things", n, len(ids))
	}
}

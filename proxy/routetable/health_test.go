// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

import (
	"slices"
	"strings"
	"testing"
)

// The backend with a weight gets the callbacks.
func TestPrimary(t *testing.T) {
	for want, weights := range map[string][]int32{"a": {1}, "b": {0, 100}, "c": {0, 0, 7}, "": {0, 0}} {
		route := &Route{}
		for i, weight := range weights {
			route.Backends = append(route.Backends, Backend{Name: string(rune('a' + i)), Weight: weight})
		}
		got := ""
		if b := route.Primary(); b != nil {
			got = b.Name
		}
		if got != want {
			t.Errorf("weights %v: %s, want %s", weights, got, want)
		}
	}
}

// The same check of the same address has one name, and any other has another.
func TestTargetID_NamesTheCheck(t *testing.T) {
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

func TestPathProbeID_NamesTheRequest(t *testing.T) {
	id := func(address string, change func(*Route)) string {
		route := plainRoute(1)
		route.Backends[0].Paths, route.Backends[0].Host = nil, ""
		change(&route)
		return PathProbeID(address, "https", &route, &route.Callbacks[0], &route.Backends[0])
	}
	const address = "10.0.0.1:80"
	route := plainRoute(1)
	wantDistinct(t, []string{ // W1: a probe that says another scheme is another one
		PathProbeID(address, "https", &route, &route.Callbacks[0], &route.Backends[0]), PathProbeID(address, "http", &route, &route.Callbacks[0], &route.Backends[0]),
	})
	same := id(address, func(*Route) {})
	tenant := func(host string) func(*Route) {
		return func(r *Route) { r.Hostnames[0], r.Backends[0].Host = host, "idp.svc" }
	}
	wantDistinct(t, []string{id(address, tenant("a.example.com")), id(address, tenant("b.example.com"))})
	wantDistinct(t, []string{
		same, id("10.0.0.1:81", func(*Route) {}), TargetID(address, nil),
		id(address, func(r *Route) { r.Protocol = SAML }), id(address, func(r *Route) { r.Callbacks[0].Path = "/b" }),
		id(address, func(r *Route) { r.Hostnames[0] = "other.example.com" }),
		id(address, func(r *Route) { r.Backends[0].Paths = []BackendPath{{"login", "/c"}} }), id(address, func(r *Route) { r.Backends[0].Host = "idp.svc" }),
	})
	for name, change := range map[string]func(*Route){
		"another name":        func(r *Route) { r.Name, r.UID = "x", "y" },
		"the path as its own": func(r *Route) { r.Backends[0].Paths = []BackendPath{{"login", r.Callbacks[0].Path}} },
		"another callback":    func(r *Route) { r.Callbacks[1].Path = "/z" },
		"another callback's":  func(r *Route) { r.Backends[0].Paths = []BackendPath{{"logout", "/c"}} },
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

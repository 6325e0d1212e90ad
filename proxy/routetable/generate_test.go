// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// plainRoute returns a valid route; those of different numbers differ in
// everything that must not be shared.
func plainRoute(i int) Route {
	return Route{
		Namespace:  fmt.Sprintf("team-%d", i%7),
		Name:       fmt.Sprintf("route-%d", i),
		UID:        fmt.Sprintf("00000000-0000-0000-0000-%012d", i),
		Generation: 1,
		Hostnames:  []string{fmt.Sprintf("h%d.example.com", i), "login.example.com"},
		Protocol:   OIDC,
		PathType:   Exact,
		Path:       fmt.Sprintf("/oauth2/callback/%d", i),
		Backends: []Backend{
			{
				Name: "blue", Weight: 0, Addresses: []string{"10.96.0.10:8080"},
				Check: &HealthCheck{
					Path: "/healthz", Host: "legacy-idp.identity.svc:8080",
					IntervalSeconds: 5, TimeoutSeconds: 2, UnhealthyThreshold: 3, HealthyThreshold: 2,
				},
			},
			{
				Name: "green", Weight: 100, Addresses: []string{"10.96.0.11:8443", "10.96.0.12:8443"},
				Path: "/login/callback", Host: "new-idp.idp.svc:8443",
			},
		},
		TimeoutSeconds: 30,
		Deprecation:    time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		Sunset:         time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC),
		AfterSunset:    Reject,
		Preflight:      true,
		HeldUntil:      time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC),
		InfoURL:        "https://wiki.example.com/sso?page=1#top",
	}
}

// plainTable returns a valid table of n routes.
func plainTable(n int) *Table {
	table := &Table{Settings: Settings{ListenerPort: 8080, TrustedProxies: []string{"10.0.0.0/8", "fd00::/8"}}}
	for i := range n {
		table.Routes = append(table.Routes, plainRoute(i))
	}
	slices.SortFunc(table.Routes, compareRoutes)
	return table
}

// drawTable draws a valid table, near the edges of what Validate accepts.
func drawTable(t *rapid.T) *Table {
	table := &Table{Settings: Settings{ListenerPort: rapid.Int32Range(1, 65535).Draw(t, "port")}}
	claims := map[Claim]bool{}
	for i := range rapid.IntRange(0, 30).Draw(t, "routes") {
		route := drawRoute(t, i)
		route.Hostnames = slices.DeleteFunc(route.Hostnames, func(host string) bool {
			claim := Claim{Host: host, PathType: route.PathType, Path: route.Path}
			taken := claims[claim]
			claims[claim] = true
			return taken
		})
		if len(route.Hostnames) > 0 {
			table.Routes = append(table.Routes, route)
		}
	}
	return table
}

func drawRoute(t *rapid.T, i int) Route {
	label := rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?`)
	host := rapid.StringMatching(`([a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?[.]){0,3}[a-z][a-z0-9]{0,3}`)
	path := rapid.StringMatching(`(/[A-Za-z0-9~!$&()*+,=:@_-]{1,6}){1,5}`)
	route := Route{
		Namespace:      label.Draw(t, "namespace"),
		Name:           fmt.Sprintf("%s.%d", label.Draw(t, "name"), i),
		UID:            rapid.StringMatching(`[0-9a-f-]{0,36}`).Draw(t, "uid"),
		Generation:     rapid.Int64Range(0, 1<<62).Draw(t, "generation"),
		Hostnames:      rapid.SliceOfNDistinct(host, 1, MaxHostnames, rapid.ID).Draw(t, "hostnames"),
		Protocol:       rapid.SampledFrom([]Protocol{OAuth2, OIDC, SAML, Opaque}).Draw(t, "protocol"),
		PathType:       rapid.SampledFrom([]PathType{Exact, Prefix}).Draw(t, "pathType"),
		Path:           path.Draw(t, "path"),
		TimeoutSeconds: rapid.Int32Range(1, maxTimeoutSeconds).Draw(t, "timeout"),
		Sunset:         time.Unix(rapid.Int64Range(946684800, 32503679999).Draw(t, "sunset"), 0).UTC(),
		AfterSunset:    rapid.SampledFrom([]AfterSunset{Reject, Warn}).Draw(t, "afterSunset"),
		InfoURL:        rapid.StringMatching(`(https://[a-z0-9]{1,5}(/[A-Za-z0-9.?&=%#~!$'()*+,;:@_-]{0,9})?)?`).Draw(t, "infoURL"),
	}
	route.InfoURL = strings.ReplaceAll(route.InfoURL, "'", "")
	if rapid.Bool().Draw(t, "deprecated") {
		route.Deprecation = route.Sunset.Add(-time.Duration(rapid.IntRange(0, 1<<20).Draw(t, "before")) * time.Second)
	}
	if rapid.Bool().Draw(t, "held") {
		route.HeldUntil = route.Sunset.Add(time.Duration(rapid.IntRange(-1<<20, 1<<20).Draw(t, "held for")) * time.Second)
	}
	route.Preflight = route.Protocol != Opaque && route.PathType == Exact && rapid.Bool().Draw(t, "preflight")
	count := rapid.IntRange(1, MaxBackends).Draw(t, "backends")
	active := rapid.IntRange(0, count-1).Draw(t, "active")
	highest := rapid.Int32Range(1, maxWeight).Draw(t, "highest weight")
	for b := range count {
		backend := Backend{Name: fmt.Sprintf("b%d", b), Weight: highest}
		if b != active {
			backend.Weight = rapid.Int32Range(0, highest-1).Draw(t, "weight")
		}
		if rapid.Bool().Draw(t, "checked") {
			backend.Check = drawCheck(t, host, path)
		}
		if route.PathType == Exact && rapid.Bool().Draw(t, "replaces") {
			backend.Path = path.Draw(t, "backend path")
		}
		if rapid.Bool().Draw(t, "renames") {
			backend.Host = host.Draw(t, "backend host")
		}
		for range rapid.IntRange(0, 3).Draw(t, "addresses") {
			last := rapid.IntRange(1, 254).Draw(t, "last")
			backend.Addresses = append(backend.Addresses,
				rapid.SampledFrom([]string{
					fmt.Sprintf("10.96.0.%d:%d", last, last), fmt.Sprintf("[fd00::%x]:65535", last),
				}).Draw(t, "address"))
		}
		slices.Sort(backend.Addresses)
		route.Backends = append(route.Backends, backend)
	}
	return route
}

func drawCheck(t *rapid.T, host, path *rapid.Generator[string]) *HealthCheck {
	check := &HealthCheck{
		IntervalSeconds:    rapid.Int32Range(1, maxCheckInterval).Draw(t, "interval"),
		UnhealthyThreshold: rapid.Int32Range(1, maxCheckThreshold).Draw(t, "fall"),
		HealthyThreshold:   rapid.Int32Range(1, maxCheckThreshold).Draw(t, "rise"),
	}
	check.TimeoutSeconds = rapid.Int32Range(1, min(check.IntervalSeconds, maxCheckTimeout)).Draw(t, "check timeout")
	if rapid.Bool().Draw(t, "by HTTP") {
		check.Path, check.Host = path.Draw(t, "check path"), host.Draw(t, "check host")
	}
	return check
}

func shuffled(table *Table, random *rand.Rand) *Table {
	routes := slices.Clone(table.Routes)
	random.Shuffle(len(routes), func(i, j int) { routes[i], routes[j] = routes[j], routes[i] })
	return &Table{Settings: table.Settings, Routes: routes}
}

func mustEncode(t testing.TB, table *Table, shardBytes int) *Encoded {
	t.Helper()
	encoded, err := Encode(table, shardBytes)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	return encoded
}

// store is what a proxy finds shards in.
type store map[string]string

func storeOf(encoded *Encoded) store {
	s := store{}
	for _, shard := range encoded.Shards {
		s[shard.Hash] = shard.Data
	}
	return s
}

func (s store) lookup(hash string) (string, bool) {
	data, found := s[hash]
	return data, found
}

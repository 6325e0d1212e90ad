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

// plainRoute returns a valid route; routes of different numbers share nothing that
// must not be shared.
func plainRoute(i int) Route {
	route := Route{
		Namespace:  fmt.Sprintf("team-%d", i%7),
		Name:       fmt.Sprintf("route-%d", i),
		UID:        fmt.Sprintf("00000000-0000-0000-0000-%012d", i),
		Generation: 1,
		Hostnames:  []string{fmt.Sprintf("h%d.example.com", i), "login.example.com"},
		Protocol:   OIDC,
		Callbacks: []Callback{
			{Name: "login", PathType: Exact, Path: fmt.Sprintf("/oauth2/callback/%d", i), PathProbe: true},
			{Name: "logout", PathType: Exact, Path: fmt.Sprintf("/logout%%2F%d;v=1", i), Query: "action=out&t%20=+"},
		},
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
				Paths: []BackendPath{{Callback: "login", Path: "/login/callback"}}, Host: "new-idp.idp.svc:8443",
				Failover: &Failover{Backend: "blue"},
			},
		},
		TimeoutSeconds: 30,
		Deprecation:    time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		Sunset:         time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC),
		AfterSunset:    Reject,
		HeldUntil:      time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC),
		InfoURL:        "https://wiki.example.com/sso?page=1#top",
	}
	if i%8 < 2 { // the smallest tables have it
		route.Ownership = plainOwnership()
	}
	return route
}

func plainOwnership() *Ownership {
	return &Ownership{
		Rules: []OwnershipRule{
			{Type: RuleCookie, Backend: "green", Cookie: &CookieMatch{NamePrefix: "green_oidc_", ValuePrefix: "v1."}},
			{Type: RuleState, Backend: "green", State: &StateMatch{Source: SourceState, Prefix: "g~"}},
			{Type: RuleIssuer, Backend: "green", Value: "https://idp.example.com"},
			{Type: RuleConnection, Connection: &ConnectionMap{
				Parameter: "connection", Backends: []ConnectionBackend{{Name: "blue", Values: []string{"globex"}}, {Name: "green", Values: []string{"acme"}}},
			}},
		},
		Unowned: Unowned{Type: UnownedBackend, Backend: "blue"}, Observe: true,
	}
}

// plainTable returns a valid table of n routes.
func plainTable(n int) *Table {
	table := &Table{Settings: Settings{
		ListenerPort: 8080, HealthPath: "/healthz", ProxyProtocol: true,
		Forwarding: Forwarding{TrustedProxies: []string{"10.0.0.0/8", "fd00::/8"}, ExternalScheme: "https", HostFrom: FromForwardedHost},
		Limits:     Limits{HeaderKiB: 64, TargetKiB: 32, BodyKiB: 1024, Connections: 10_000, InFlightPerRoute: 256},
		Pages:      Pages{Product: "Acme Login", SupportURL: "mailto:help@acme.com"},
	}}
	for i := range n {
		table.Routes = append(table.Routes, plainRoute(i))
	}
	slices.SortFunc(table.Routes, compareRoutes)
	return table
}

// becomeOpaque makes a route of plainRoute one of protocol Opaque, whose first
// callback takes some methods.
func becomeOpaque(r *Route, methods ...string) {
	r.Protocol, r.Ownership = Opaque, nil
	r.Callbacks[0].PathProbe, r.Callbacks[0].Methods = false, methods
}

// plainHold returns a valid hold.
func plainHold(i int) Hold {
	return Hold{
		Namespace: fmt.Sprintf("team-%d", i%7), Name: fmt.Sprintf("held-%d", i), UID: fmt.Sprintf("11111111-0000-0000-0000-%012d", i),
		Claims: []Claim{
			{Host: "login.example.com", PathType: Exact, Path: fmt.Sprintf("/held/%d//%%2F;x", i), Query: "action=held"},
			{Host: "login.example.com", PathType: Prefix, Path: fmt.Sprintf("/held/%d", i)},
		},
		ReleaseTime: time.Date(2027, 1, 2, 0, 10, 0, 0, time.UTC),
	}
}

// withHolds adds n holds to a table.
func withHolds(table *Table, n int) *Table {
	for i := range n {
		table.Holds = append(table.Holds, plainHold(i))
	}
	slices.SortFunc(table.Holds, compareHolds)
	return table
}

// drawTable draws a valid table, near the edges of what Validate accepts.
func drawTable(t *rapid.T) *Table {
	table := &Table{Settings: drawSettings(t)}
	claims := map[Claim]bool{}
	isFree := func(wanted []Claim) bool {
		if slices.ContainsFunc(wanted, func(claim Claim) bool { return claims[claim] }) {
			return false
		}
		for _, claim := range wanted {
			claims[claim] = true
		}
		return true
	}
	for i := range rapid.IntRange(0, 20).Draw(t, "routes") {
		if route := drawRoute(t, i); isFree(route.Claims()) {
			table.Routes = append(table.Routes, route)
		}
	}
	for i := range rapid.IntRange(0, 5).Draw(t, "holds") {
		held := drawRoute(t, i)
		hold := Hold{Namespace: held.Namespace, Name: held.Name, UID: held.UID, Claims: held.Claims()}
		slices.SortFunc(hold.Claims, Claim.Compare)
		if rapid.Bool().Draw(t, "deleted") {
			hold.ReleaseTime = held.Sunset
		}
		if isFree(hold.Claims) {
			table.Holds = append(table.Holds, hold)
		}
	}
	return table
}

func drawSettings(t *rapid.T) Settings {
	return Settings{
		ListenerPort:  rapid.Int32Range(1, 65535).Draw(t, "port"),
		ProxyProtocol: rapid.Bool().Draw(t, "PROXY protocol"),
		HealthPath:    rapid.StringMatching(`(/[!-"$->@-~]{0,12})?`).Draw(t, "health path"),
		Forwarding: Forwarding{
			ExternalScheme: rapid.SampledFrom([]string{"", "http", "https"}).Draw(t, "scheme"),
			HostFrom:       rapid.SampledFrom([]HostFrom{"", FromHost, FromForwardedHost}).Draw(t, "host from"),
		},
		Limits: Limits{
			HeaderKiB: rapid.Int32Range(0, maxHeaderKiB).Draw(t, "header"),
			TargetKiB: rapid.Int32Range(0, maxTargetKiB).Draw(t, "target"),
			BodyKiB:   rapid.Int32Range(0, maxBodyKiB).Draw(t, "body"),

			Connections:      rapid.Int32Range(0, maxConnections).Draw(t, "connections"),
			InFlightPerRoute: rapid.Int32Range(0, maxInFlightPerRoute).Draw(t, "in flight"),
		},
		Pages: Pages{
			Product:    rapid.StringMatching(`([!-~ü]{1,9}( [!-~ü]{1,9}){0,3})?`).Draw(t, "product"),
			SupportURL: rapid.StringMatching(`((https://[a-z0-9]{1,5}(/[A-Za-z0-9.?&=%#-]{0,9})?)|(mailto:[a-z0-9._+-]{1,9}@[a-z0-9]{1,9}))?`).Draw(t, "support"),
		},
	}
}

// drawMethods draws the methods of a callback, none for most protocols.
func drawMethods(t *rapid.T, protocol Protocol) []string {
	if protocol != Opaque || rapid.Bool().Draw(t, "default methods") {
		return nil
	}
	method := rapid.StringMatching(`[A-Z]([A-Z-]{0,6}[A-Z])?`).Filter(func(s string) bool { return s != "TRACE" && s != "CONNECT" })
	methods := rapid.SliceOfNDistinct(method, 1, maxMethods, rapid.ID).Draw(t, "methods")
	slices.Sort(methods)
	return methods
}

// drawQuery draws the query of a callback, for some of them none.
func drawQuery(t *rapid.T) Query {
	name := rapid.StringMatching(`[!-"$%-:<>-~]{1,8}`).Filter(func(s string) bool { return Query(s+"=a").check() == nil })
	value := rapid.StringMatching(`[!-"$%-:<>-~]{1,8}`).Filter(func(s string) bool { return Query("a="+s).check() == nil })
	var parameters []Parameter
	for _, n := range rapid.SliceOfNDistinct(name, 0, MaxParameters, rapid.ID).Draw(t, "names") {
		parameters = append(parameters, Parameter{Name: n, Value: value.Draw(t, "value")})
	}
	return QueryOf(parameters)
}

// drawCallbacks draws callbacks with paths of their own.
func drawCallbacks(t *rapid.T, protocol Protocol, path *rapid.Generator[string]) []Callback {
	registered := rapid.StringMatching(`/[!-">-~$-=@]{0,12}`).Filter(func(s string) bool { return checkRegisteredPath(s) == nil })
	taken := map[string]bool{}
	var callbacks []Callback
	for i := range rapid.IntRange(1, 4).Draw(t, "callbacks") {
		c := Callback{Name: fmt.Sprintf("c%d", i), PathType: rapid.SampledFrom([]PathType{Exact, Prefix}).Draw(t, "pathType")}
		if c.PathType == Exact {
			c.Path = rapid.OneOf(path, registered).Draw(t, "path")
			c.PathProbe = protocol != Opaque && rapid.Bool().Draw(t, "pathProbe")
			c.Query = drawQuery(t)
		} else {
			c.Path = path.Draw(t, "path")
		}
		c.Methods = drawMethods(t, protocol)
		if !taken[string(c.PathType)+c.Path] {
			taken[string(c.PathType)+c.Path] = true
			callbacks = append(callbacks, c)
		}
	}
	return callbacks
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
		TimeoutSeconds: rapid.Int32Range(1, maxTimeoutSeconds).Draw(t, "timeout"),
		Sunset:         time.Unix(rapid.Int64Range(946684800, 32503679999).Draw(t, "sunset"), 0).UTC(),
		AfterSunset:    rapid.SampledFrom([]AfterSunset{Reject, Serve}).Draw(t, "afterSunset"),
		InfoURL:        rapid.StringMatching(`(https://[a-z0-9]{1,5}(/[A-Za-z0-9.?&=%#~!$'()*+,;:@_-]{0,9})?)?`).Draw(t, "infoURL"),
	}
	route.InfoURL = strings.ReplaceAll(route.InfoURL, "'", "")
	if rapid.Bool().Draw(t, "deprecated") {
		route.Deprecation = route.Sunset.Add(-time.Duration(rapid.IntRange(0, 1<<20).Draw(t, "before")) * time.Second)
	}
	if rapid.Bool().Draw(t, "held") {
		route.HeldUntil = route.Sunset.Add(time.Duration(rapid.IntRange(-1<<20, 1<<20).Draw(t, "held for")) * time.Second)
	}
	route.Callbacks = drawCallbacks(t, route.Protocol, path)
	count := rapid.IntRange(1, MaxBackends).Draw(t, "backends")
	primary := rapid.IntRange(0, count-1).Draw(t, "primary")
	for b := range count {
		backend := Backend{Name: fmt.Sprintf("b%d", b)}
		if b == primary {
			backend.Weight = rapid.Int32Range(1, maxWeight).Draw(t, "weight")
		}
		if other := rapid.IntRange(0, count-1).Draw(t, "failover"); other != b && other != primary {
			backend.Failover = &Failover{Backend: fmt.Sprintf("b%d", other)}
		}
		if rapid.Bool().Draw(t, "checked") {
			backend.Check = drawCheck(t, host, path)
		}
		for _, c := range route.Callbacks {
			if c.PathType == Exact && rapid.Bool().Draw(t, "replaces") {
				backend.Paths = append(backend.Paths, BackendPath{Callback: c.Name, Path: path.Draw(t, "backend path") + "%2F;//"})
			}
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
	holds := slices.Clone(table.Holds)
	random.Shuffle(len(holds), func(i, j int) { holds[i], holds[j] = holds[j], holds[i] })
	return &Table{Settings: table.Settings, Routes: routes, Holds: holds}
}

func mustEncode(t testing.TB, table *Table, shardBytes int) *Encoded {
	t.Helper()
	encoded, err := Encode(table, shardBytes)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	return encoded
}

// store holds the shards that a proxy has.
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

func manyValues(n int) []string {
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprintf("v%06d", i)
	}
	return values
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// randomTable returns a valid table of about n routes whose hosts and paths
// lie close together, so that every rule of precedence is needed.
func randomTable(random *rand.Rand, n int) *Table {
	table := &Table{Settings: Settings{ListenerPort: 8080}}
	taken := map[Claim][]Query{}
	hosts := max(1, n/40)
	for i := range n {
		route := plainRoute(i)
		route.Hostnames = []string{fmt.Sprintf("h%d.example.com", random.IntN(hosts))}
		if random.IntN(4) == 0 {
			route.Hostnames = append(route.Hostnames, fmt.Sprintf("x%d.example.com", random.IntN(hosts)))
		}
		route.Callbacks[0].Path = randomPath(random)
		if random.IntN(2) == 0 {
			becomePrefix(&route, route.Callbacks[0].Path)
		}
		if len(route.Callbacks) > 1 {
			route.Callbacks[1].Path = randomPath(random) + "%2F"
		}
		for c := range route.Callbacks {
			if route.Callbacks[c].PathType == Exact {
				route.Callbacks[c].Query = randomNeed(random)
			}
		}
		// The compiler accepts no two routes that one request can mean alike.
		free := true
		for _, claim := range route.Claims() {
			place := claim
			place.Query = ""
			for _, query := range taken[place] {
				free = free && (query.Len() != claim.Query.Len() || !query.Overlaps(claim.Query))
			}
		}
		if !free {
			continue
		}
		for _, claim := range route.Claims() {
			query := claim.Query
			claim.Query = ""
			taken[claim] = append(taken[claim], query)
		}
		if random.IntN(10) == 0 {
			table.Holds = append(table.Holds, Hold{Namespace: route.Namespace, Name: route.Name, UID: route.UID, Claims: route.Claims()})
			continue
		}
		table.Routes = append(table.Routes, route)
	}
	return table
}

var pathSegments = []string{"a", "b", "ab", "saml", "sam", "saml2", "oauth2", "callback", "A"}

func randomPath(random *rand.Rand) string {
	var path strings.Builder
	for range random.IntN(5) {
		path.WriteString("/" + pathSegments[random.IntN(len(pathSegments))])
	}
	if path.Len() == 0 {
		return "/"
	}
	return path.String()
}

// randomNeed returns the query of a callback, for most of them none.
func randomNeed(random *rand.Rand) Query {
	var parameters []Parameter
	for _, name := range []string{"action", "tenant", "x%20"} {
		if random.IntN(4) == 0 {
			parameters = append(parameters, Parameter{name, string("abc"[random.IntN(3)])})
		}
	}
	return QueryOf(parameters)
}

// randomQuery returns the query of a request: one that callbacks need, or one
// close to it.
func randomQuery(random *rand.Rand) string {
	query := string(randomNeed(random))
	for range random.IntN(3) {
		query += []string{"&", "&code=1", "&action=a", "&action", "=a", ";tenant=b", "&tenant=b&", "&x%20=c", "&x+=c", "&Action=a", "&%61ction=a", "b"}[random.IntN(12)]
	}
	return query
}

// randomRequest is for a declared callback, or for a path close to one.
func randomRequest(random *rand.Rand, table *Table) (host, path, query string) {
	host, path, query = "h0.example.com", randomPath(random), randomQuery(random)
	if len(table.Routes) > 0 {
		route := table.Routes[random.IntN(len(table.Routes))]
		host = route.Hostnames[random.IntN(len(route.Hostnames))]
		if random.IntN(3) > 0 {
			callback := &route.Callbacks[random.IntN(len(route.Callbacks))]
			path = callback.Path
			if random.IntN(3) > 0 {
				query = "code=1&" + string(callback.Query)
			}
		}
	}
	hosts := []string{
		host, host, host, host, strings.ToUpper(host), host + ".", host + ":8443", host + ".:1", host + ":", host + "..",
		host + ":x", host + ":123456", "x" + host, strings.Replace(host, ".", "..", 1), strings.Replace(host, "example", "examp\u212ae", 1), "",
	}
	paths := []string{
		path, path, path, path, path + "/", path + "/a", path + "x", path + "/a/b/c", path + "//", strings.ToUpper(path),
		strings.TrimPrefix(path, "/"), path[:len(path)-1], path[:strings.LastIndexByte(path, '/')+1], path + "%2f", path + "/..", "*", "",
	}
	return hosts[random.IntN(len(hosts))], paths[random.IntN(len(paths))], query
}

// B2, F21, W38: the index and a linear search agree, below and above every size at which
// an implementation may change its method.
func TestB2_F21_MatcherAgreesWithTheNaiveOne(t *testing.T) {
	for _, size := range []struct{ routes, requests int }{
		{0, 100}, {1, 50_000}, {100, 50_000}, {101, 50_000}, {10_000, 1000}, {50_000, 100},
	} {
		t.Run(fmt.Sprint(size.routes, " routes"), func(t *testing.T) {
			if size.routes > 10_000 && testing.Short() {
				t.Skip("large")
			}
			t.Parallel()
			random := rand.New(rand.NewPCG(21, uint64(size.routes)))
			table := randomTable(random, size.routes)
			matcher := NewMatcher(table)
			hits := 0
			for range size.requests {
				host, path, query := randomRequest(random, table)
				want := naiveMatch(table, host, path, query)
				got, found := matcher.Match(host, path, query)
				if found != (want != Match{}) || got != want {
					t.Fatalf("Match(%q, %q, %q) = %s, want %s", host, path, query, describe(got), describe(want))
				}
				if found {
					hits++
				}
			}
			if size.routes > 0 && (hits < size.requests/20 || hits > size.requests*9/10) {
				t.Errorf("%d hits in %d requests: the requests show too little", hits, size.requests)
			}
		})
	}
}

// The same with a new table for every few requests.
func TestB2_MatcherAgreesOnManySmallTables(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(2, 2))
	for range 5000 {
		table := randomTable(random, random.IntN(12))
		matcher := NewMatcher(table)
		for range 10 {
			host, path, query := randomRequest(random, table)
			want := naiveMatch(table, host, path, query)
			if got, _ := matcher.Match(host, path, query); got != want {
				t.Fatalf("Match(%q, %q, %q) = %s, want %s", host, path, query, describe(got), describe(want))
			}
		}
	}
}

func describe(match Match) string {
	switch {
	case match.Hold != nil:
		return fmt.Sprintf("hold of %s (%v)", match.Hold.ID(), match.Hold.Claims)
	case match.Route != nil:
		return fmt.Sprintf("%s (%s %s?%s on %v)", match.Route.ID(), match.Callback.PathType, match.Callback.Path, match.Callback.Query, match.Route.Hostnames)
	}
	return "none"
}

func TestMatch_Precedence(t *testing.T) {
	table := &Table{}
	for i, declared := range []struct {
		pathType PathType
		path     string
	}{
		{Exact, "/foo"}, {Prefix, "/foo"}, {Prefix, "/foo/bar"}, {Exact, "/foo/bar/baz"}, {Exact, "/only/"}, {Prefix, "/deep/er"}, {Exact, "/odd%2F;x//y"},
	} {
		route := plainRoute(i)
		route.Hostnames, route.Callbacks = []string{"a.example"}, []Callback{{PathType: declared.pathType, Path: declared.path}}
		table.Routes = append(table.Routes, route)
	}
	matcher := NewMatcher(table)
	for path, want := range map[string]string{
		"/foo":             "Exact /foo",
		"/foo/":            "Prefix /foo",
		"/foo/x":           "Prefix /foo",
		"/foobar":          "",
		"/fo":              "",
		"/FOO":             "",
		"/foo/bar":         "Prefix /foo/bar",
		"/foo/bar/":        "Prefix /foo/bar",
		"/foo/barbaz":      "Prefix /foo",
		"/foo/bar/baz":     "Exact /foo/bar/baz",
		"/foo/bar/baz/":    "Prefix /foo/bar",
		"/only/":           "Exact /only/",
		"/only":            "",
		"/only/x":          "",
		"/deep":            "",
		"/deep/":           "",
		"/deep/er/and/er":  "Prefix /deep/er",
		"/foo%2fbar":       "",
		"/foo;x":           "",
		"foo":              "",
		"/":                "",
		"":                 "",
		"/foo//bar":        "Prefix /foo",
		"/foo/bar/../none": "Prefix /foo/bar",
		"/odd%2F;x//y":     "Exact /odd%2F;x//y",
		"/odd%2f;x//y":     "",
		"/odd/;x/y":        "",
	} {
		got := ""
		match, found := matcher.Match("a.example", path, "")
		if found {
			got = string(match.Callback.PathType) + " " + match.Callback.Path
		}
		if got != want {
			t.Errorf("Match(%q) = %q, want %q", path, got, want)
		}
		exact, isExact := matcher.MatchExact("A.example:443", path, "a=b")
		if isExact != strings.HasPrefix(want, "Exact") || isExact && exact != match {
			t.Errorf("MatchExact(%q) = %v, %v", path, exact, isExact)
		}
	}
	if _, found := matcher.Match("b.example", "/foo", ""); found {
		t.Error("another host matches")
	}
}

// F70: a hold owns its claims as a route does, and beats a shorter Prefix of a route.
func TestF70_MatchesHolds(t *testing.T) {
	table := &Table{
		Routes: []Route{{Namespace: "a", Name: "r", Hostnames: []string{"a.example"}, Callbacks: []Callback{{Name: "c", PathType: Prefix, Path: "/x"}}}},
		Holds: []Hold{{Namespace: "b", Name: "h", Claims: []Claim{
			{Host: "a.example", PathType: Exact, Path: "/x/held"}, {Host: "a.example", PathType: Prefix, Path: "/held"},
		}}},
	}
	matcher := NewMatcher(table)
	for path, held := range map[string]bool{"/x/held": true, "/held/y": true, "/x/y": false, "/x/held/y": false} {
		match, found := matcher.Match("a.example", path, "")
		if !found || (match.Hold == &table.Holds[0]) != held || (match.Route == &table.Routes[0]) == held {
			t.Errorf("%s: %s", path, describe(match))
		}
	}
}

func TestCanonicalHost(t *testing.T) {
	long := strings.Repeat("a", 63)
	for raw, want := range map[string]string{
		"auth.acme.com":                       "auth.acme.com",
		"AUTH.Acme.COM":                       "auth.acme.com",
		"auth.acme.com.":                      "auth.acme.com",
		"auth.acme.com:443":                   "auth.acme.com",
		"auth.acme.com.:443":                  "auth.acme.com",
		"auth.acme.com:":                      "auth.acme.com",
		"Auth.acme.com.:1":                    "auth.acme.com",
		"localhost":                           "localhost",
		"xn--bcher-kva.de":                    "xn--bcher-kva.de",
		"XN--BCHER-KVA.de":                    "xn--bcher-kva.de",
		"a--b.c":                              "a--b.c",
		"1.2.3.example":                       "1.2.3.example",
		"4you.example":                        "4you.example",
		long + ".example":                     long + ".example",
		"a.1b":                                "a.1b",
		"":                                    "",
		".":                                   "",
		"..":                                  "",
		":443":                                "",
		"a..b":                                "",
		".a":                                  "",
		"auth.acme.com..":                     "",
		"auth.acme.com:443x":                  "",
		"auth.acme.com:-1":                    "",
		"auth.acme.com:1:2":                   "",
		"auth.acme.com:65536":                 "auth.acme.com", // the port is not judged here
		"auth.acme.com:99999":                 "auth.acme.com",
		"a.example:100000":                    "",
		"a.example:٣":                         "",
		"[::1]":                               "",
		"[::1]:443":                           "",
		"::1":                                 "",
		"fe80::1%eth0":                        "",
		"127.0.0.1":                           "",
		"127.0.0.1:80":                        "",
		"127.1":                               "",
		"2130706433":                          "",
		"a.1":                                 "",
		"a.b.42.":                             "",
		"under_score.example":                 "",
		"-a.example":                          "",
		"a-.example":                          "",
		"a.-":                                 "",
		"*.example":                           "",
		"bücher.de":                           "",
		"\u212aey.example":                    "", // KELVIN SIGN lower-cases to k in Unicode
		"a.exa\u017fmple":                     "", // LATIN SMALL LETTER LONG S upper-cases to S
		"a。example":                           "",
		"a.example\x00":                       "",
		"a.example ":                          "",
		" a.example":                          "",
		"a.example\t":                         "",
		"a.example/":                          "",
		"a.example/x":                         "",
		"user@a.example":                      "",
		"a.example,b.example":                 "",
		"a.example\r\nX: y":                   "",
		long + "a.example":                    "",
		strings.Repeat("a.", 127) + "example": "",
	} {
		got, ok := CanonicalHost(raw)
		if !ok {
			got = ""
		}
		if got != want {
			t.Errorf("CanonicalHost(%q) = %q, want %q", raw, got, want)
		}
		if again, ok := CanonicalHost(got); got != "" && (!ok || again != got) {
			t.Errorf("CanonicalHost(%q) = %q, not itself", got, again)
		}
	}
}

// 6.5: one lookup allocates nothing, or the lower-case host.
func TestMatch_AllocatesAtMostOnce(t *testing.T) {
	matcher := NewMatcher(plainTable(1000))
	for host, most := range map[string]float64{
		"h7.example.com": 0, "h7.example.com.:8443": 0, "H7.Example.COM": 1, "none.example": 0, "[::1]:80": 0,
	} {
		allocations := testing.AllocsPerRun(100, func() { matcher.Match(host, "/oauth2/callback/7", "action=a&tenant=b") })
		if allocations > most {
			t.Errorf("Match on %s: %v allocations, at most %v are allowed", host, allocations, most)
		}
	}
}

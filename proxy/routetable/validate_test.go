// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// invalidRoutes breaks one rule each.
var invalidRoutes = []struct {
	name   string
	change func(*Route)
	want   string
}{
	{"no namespace", func(r *Route) { r.Namespace = "" }, "namespace and name have"},
	{"no name", func(r *Route) { r.Name = "" }, "namespace and name have"},
	{"slash in the namespace", func(r *Route) { r.Namespace = "a/b" }, "namespace and name have"},
	{"slash in the name", func(r *Route) { r.Name = "a/b" }, "namespace and name have"},
	{"line in the name", func(r *Route) { r.Name = "a\nb" }, "namespace and name have"},
	{"name that is too long", func(r *Route) { r.Name = strings.Repeat("a", 254) }, "namespace and name have"},
	{"NUL in the uid", func(r *Route) { r.UID = "a\x00" }, "a uid has"},
	{"negative generation", func(r *Route) { r.Generation = -1 }, "generation must not be negative"},

	{"no hostnames", func(r *Route) { r.Hostnames = nil }, "0 hostnames, 1 to 16"},
	{"too many hostnames", func(r *Route) { r.Hostnames = manyHosts(17) }, "17 hostnames, 1 to 16"},
	{"the same hostname twice", func(r *Route) { r.Hostnames = []string{"a.b", "a.b"} }, "there twice"},
	{"hostname in capitals", func(r *Route) { r.Hostnames = []string{"A.b"} }, "not an exact DNS name"},
	{"hostname with a dot at its end", func(r *Route) { r.Hostnames = []string{"a.b."} }, "not an exact DNS name"},
	{"hostname with a port", func(r *Route) { r.Hostnames = []string{"a.b:80"} }, "not an exact DNS name"},
	{"hostname that is an address", func(r *Route) { r.Hostnames = []string{"10.0.0.1"} }, "not an exact DNS name"},
	{"hostname with a wildcard", func(r *Route) { r.Hostnames = []string{"*.b"} }, "not an exact DNS name"},

	{"no protocol", func(r *Route) { r.Protocol = "" }, "protocol \"\""},
	{"unknown protocol", func(r *Route) { r.Protocol = "oidc" }, "protocol \"oidc\""},
	{"no path type", func(r *Route) { r.Callbacks[0].PathType = "" }, "path type \"\""},
	{"unknown path type", func(r *Route) { r.Callbacks[0].PathType = "Regex" }, "path type \"Regex\""},
	{"no path", func(r *Route) { r.Callbacks[0].Path = "" }, "begins with /"},
	{"path without a slash", func(r *Route) { r.Callbacks[0].Path = "a" }, "begins with /"},
	{"path that is too long", func(r *Route) { r.Callbacks[0].Path = "/" + strings.Repeat("a", maxPathBytes) }, "at most 1024 bytes"},
	{"Prefix path with an escape", func(r *Route) { becomePrefix(r, "/a%2fb") }, "'%' is not allowed"},
	{"path with a query", func(r *Route) { r.Callbacks[0].Path = "/a?b" }, "'?' is not allowed"},
	{"path with a fragment", func(r *Route) { r.Callbacks[0].Path = "/a#b" }, "'#' is not allowed"},
	{"Prefix path with a semicolon", func(r *Route) { becomePrefix(r, "/a;b") }, "';' is not allowed"},
	{"Prefix path with a backslash", func(r *Route) { becomePrefix(r, `/a\b`) }, "is not allowed"},
	{"path with a space", func(r *Route) { r.Callbacks[0].Path = "/a b" }, "' ' is not allowed"},
	{"path with a newline", func(r *Route) { r.Callbacks[0].Path = "/a\n" }, "is not allowed"},
	{"path with NUL", func(r *Route) { r.Callbacks[0].Path = "/a\x00" }, "is not allowed"},
	{"path that is not ASCII", func(r *Route) { r.Callbacks[0].Path = "/ü" }, "is not allowed"},
	{"Prefix path with //", func(r *Route) { becomePrefix(r, "/a//b") }, "must not contain //"},
	{"Prefix path with a dot segment", func(r *Route) { becomePrefix(r, "/a/./b") }, ". or .. segment"},
	{"Prefix path with two dots", func(r *Route) { becomePrefix(r, "/a/../b") }, ". or .. segment"},
	{"Prefix path with a dot at its end", func(r *Route) { becomePrefix(r, "/a/.") }, ". or .. segment"},
	{"Prefix path with two dots at its end", func(r *Route) { becomePrefix(r, "/a/..") }, ". or .. segment"},
	{"no callbacks", func(r *Route) { r.Callbacks = nil }, "0 callbacks, 1 to 16"},
	{"too many callbacks", func(r *Route) { r.Callbacks = manyCallbacks(17) }, "17 callbacks, 1 to 16"},
	{"callback without a name", func(r *Route) { r.Callbacks[0].Name = "" }, "is no name or there twice"},
	{"two callbacks of one name", func(r *Route) { r.Callbacks[1].Name = "login" }, "is no name or there twice"},
	{"bad path of the second callback", func(r *Route) { r.Callbacks[1].Path = "x" }, "callback logout: a path begins with /"},
	{"Prefix with / at its end", func(r *Route) { becomePrefix(r, "/a/") }, "must not end with /"},

	{"two callbacks of one path", func(r *Route) { becomeAlike(r, "", "") }, "callbacks login and logout have the same path"},
	{"two callbacks of one path and query", func(r *Route) { becomeAlike(r, "a=b", "a=b") }, "and no query that distinguishes them"},
	{"two queries that one request can have", func(r *Route) { becomeAlike(r, "a=b", "c=d") }, "and no query that distinguishes them"},
	{"query on a Prefix", func(r *Route) { becomePrefix(r, "/a"); r.Callbacks[0].Query = "a=b" }, "a query needs path type Exact"},
	{"query that is not sorted", func(r *Route) { r.Callbacks[0].Query = "b=1&a=1" }, "not sorted"},
	{"query without a value", func(r *Route) { r.Callbacks[0].Query = "a" }, "not name=value"},
	{"query with an empty value", func(r *Route) { r.Callbacks[0].Query = "a=" }, "visible ASCII"},
	{"query without a name", func(r *Route) { r.Callbacks[0].Query = "=a" }, "visible ASCII"},
	{"query that ends with an ampersand", func(r *Route) { r.Callbacks[0].Query = "a=b&" }, "not name=value"},
	{"query with a parameter twice", func(r *Route) { r.Callbacks[0].Query = "a=b&a=c" }, "there twice"},
	{"query of five parameters", func(r *Route) { r.Callbacks[0].Query = "a=1&b=1&c=1&d=1&e=1" }, "5 query parameters, at most 4"},
	{"query with an equals sign in a value", func(r *Route) { r.Callbacks[0].Query = "a=b=c" }, "visible ASCII"},
	{"query with a semicolon", func(r *Route) { r.Callbacks[0].Query = "a=b;c" }, "visible ASCII"},
	{"query with a space", func(r *Route) { r.Callbacks[0].Query = "a=b c" }, "visible ASCII"},
	{"query with a line", func(r *Route) { r.Callbacks[0].Query = "a=b\n" }, "visible ASCII"},
	{"query that is not ASCII", func(r *Route) { r.Callbacks[0].Query = "a=ü" }, "visible ASCII"},
	{"query with a long name", func(r *Route) { r.Callbacks[0].Query = Query(strings.Repeat("a", 65) + "=b") }, "visible ASCII"},
	{"query with a long value", func(r *Route) { r.Callbacks[0].Query = Query("a=" + strings.Repeat("b", 257)) }, "visible ASCII"},
	{"query with a response's parameter", func(r *Route) { r.Callbacks[0].Query = "State=b" }, "query parameter State is a response's own"},

	{"no backends", func(r *Route) { r.Backends = nil }, "0 backends, 1 to 8"},
	{"too many backends", func(r *Route) { r.Backends = manyBackends(9) }, "9 backends, 1 to 8"},
	{"backend without a name", func(r *Route) { r.Backends[0].Name = "" }, "is no name or there twice"},
	{"backend with a line in its name", func(r *Route) { r.Backends[0].Name = "a\nb" }, "is no name or there twice"},
	{"two backends of one name", func(r *Route) { r.Backends[0].Name = "green" }, "is no name or there twice"},
	{"no primary backend", func(r *Route) { r.Backends[1].Weight, r.Backends[1].Failover = 0, nil }, "0 backends have a weight above 0"},
	{"two primary backends", func(r *Route) { r.Backends[0].Weight, r.Backends[1].Failover = 1, nil }, "2 backends have a weight above 0"},
	{"failover to none", func(r *Route) { r.Backends[1].Failover.Backend = "" }, "is not another backend of weight 0"},
	{"failover to an unknown backend", func(r *Route) { r.Backends[1].Failover.Backend = "red" }, "is not another backend of weight 0"},
	{"failover to itself", func(r *Route) { r.Backends[1].Failover.Backend = "green" }, "is not another backend of weight 0"},
	{"failover to the primary", func(r *Route) { r.Backends[0].Failover = &Failover{Backend: "green"} }, "is not another backend of weight 0"},
	{"ownership without rules", func(r *Route) { r.Ownership.Rules = nil }, "0 ownership rules, 1 to 16"},
	{"too many ownership rules", func(r *Route) { r.Ownership.Rules = slices.Repeat(r.Ownership.Rules[:1], 17) }, "17 ownership rules, 1 to 16"},
	{"ownership rule of no backend", func(r *Route) { r.Ownership.Rules[0].Backend = "red" }, "ownership rule 1 (Cookie): \"red\" is no backend"},
	{"ownership rule of another type", func(r *Route) { r.Ownership.Rules[0].Type = RuleState }, "member of its type"},
	{"ownership rule of an unknown type", func(r *Route) { r.Ownership.Rules[0].Type = "cookie" }, "member of its type"},
	{"ownership rule with two members", func(r *Route) { r.Ownership.Rules[0].Value = "x" }, "member of its type"},
	{"ownership rule without a member", func(r *Route) { r.Ownership.Rules[0].Cookie = nil }, "member of its type"},
	{"cookie without a name", func(r *Route) { r.Ownership.Rules[0].Cookie.NamePrefix = "" }, "either a name or a prefix"},
	{"cookie with a name and a prefix", func(r *Route) { r.Ownership.Rules[0].Cookie.Name = "a" }, "either a name or a prefix"},
	{"cookie with a quote", func(r *Route) { r.Ownership.Rules[0].Cookie.NamePrefix = `a"` }, "is not allowed"},
	{"state of another protocol", func(r *Route) { r.Ownership.Rules[1].State.Source = SourceRelayState }, "not one of protocol OIDC"},
	{"state without a source", func(r *Route) { r.Ownership.Rules[1].State.Source = "" }, "not one of protocol OIDC"},
	{"state with a prefix and a length", func(r *Route) { r.Ownership.Rules[1].State.Length = 1 }, "either a prefix"},
	{"state without a length", func(r *Route) { r.Ownership.Rules[1].State.Prefix = "" }, "length 0, 1 to 1024"},
	{"state with an unknown alphabet", func(r *Route) {
		r.Ownership.Rules[1].State = &StateMatch{Source: SourceState, Length: 1, Alphabet: "hex"}
	}, "alphabet \"hex\""},
	{"issuer that is too long", func(r *Route) { r.Ownership.Rules[2].Value = strings.Repeat("a", 1025) }, "1025 bytes, at most 1024"},
	{"connection with a backend", func(r *Route) { r.Ownership.Rules[3].Backend = "blue" }, "member of its type"},
	{"connection of no backend", func(r *Route) { r.Ownership.Rules[3].Connection.Backends[0].Name = "red" }, "is no backend"},
	{"connection without backends", func(r *Route) { r.Ownership.Rules[3].Connection.Backends = nil }, "0 backends, 1 to 8"},
	{"connection in both places", func(r *Route) { r.Ownership.Rules[3].Connection.PathSegment = 1 }, "either in a parameter"},
	{"segment without a Prefix", func(r *Route) {
		r.Ownership.Rules[3].Connection.Parameter, r.Ownership.Rules[3].Connection.PathSegment = "", 1
	}, "needs a callback of path type Prefix"},
	{"connection values out of order", func(r *Route) { r.Ownership.Rules[3].Connection.Backends[0].Values = []string{"b", "a"} }, "not sorted"},
	{"connection value of two backends", func(r *Route) { r.Ownership.Rules[3].Connection.Backends[0].Values = []string{"acme"} }, "belongs to backends"},
	{"empty connection value", func(r *Route) { r.Ownership.Rules[3].Connection.Backends[0].Values = []string{""} }, "must not be empty"},
	{"too many connection values", func(r *Route) { r.Ownership.Rules[3].Connection.Backends[0].Values = manyValues(10_001) }, "10002 connection values"},
	{"unowned to no backend", func(r *Route) { r.Ownership.Unowned.Backend = "red" }, "is no backend of the route"},
	{"unowned of an unknown type", func(r *Route) { r.Ownership.Unowned.Type = "" }, "type \"\" is not known"},
	{"observed and rejected", func(r *Route) { r.Ownership.Observe, r.Ownership.Unowned = true, Unowned{Type: UnownedReject} }, "cannot be observed only"},
	{"ownership of an Opaque route", func(r *Route) { r.Callbacks[0].PathProbe, r.Protocol = false, Opaque }, "has no such value"},
	{"negative weight", func(r *Route) { r.Backends[0].Weight = -1 }, "weight -1"},
	{"weight that is too large", func(r *Route) { r.Backends[1].Weight = maxWeight + 1 }, "weight 1000001"},
	{"backend path on a Prefix", func(r *Route) { r.Callbacks[0].PathType, r.Callbacks[0].PathProbe = Prefix, false }, "needs path type Exact"},
	{"backend path with a query", func(r *Route) { r.Backends[1].Paths[0].Path = "/a?b" }, "'?' is not allowed"},
	{"backend path with a line", func(r *Route) { r.Backends[1].Paths[0].Path = "/a\r\nX: y" }, "is not allowed"},
	{"backend path of no callback", func(r *Route) { r.Backends[1].Paths[0].Callback = "x" }, "not a callback of the route"},
	{"backend paths out of order", func(r *Route) {
		r.Backends[1].Paths = []BackendPath{{"logout", "/a"}, {"login", "/b"}}
	}, "not in their order"},
	{"two backend paths of one callback", func(r *Route) {
		r.Backends[1].Paths = []BackendPath{{"login", "/a"}, {"login", "/b"}}
	}, "not in their order"},
	{"backend host that is none", func(r *Route) { r.Backends[1].Host = "a_b" }, "is not a host"},
	{"backend host with a line", func(r *Route) { r.Backends[1].Host = "a\r\nX: y" }, "is not a host"},
	{"too many addresses", func(r *Route) { r.Backends[0].Addresses = manyAddresses(65) }, "65 addresses, at most 64"},
	{"addresses out of order", func(r *Route) { r.Backends[0].Addresses = []string{"10.0.0.2:1", "10.0.0.1:1"} }, "not sorted"},
	{"address without a port", func(r *Route) { r.Backends[0].Addresses = []string{"10.0.0.1"} }, "not IP:port"},
	{"address with port 0", func(r *Route) { r.Backends[0].Addresses = []string{"10.0.0.1:0"} }, "not IP:port"},
	{"address with a name", func(r *Route) { r.Backends[0].Addresses = []string{"idp.svc:80"} }, "not IP:port"},
	{"address in another spelling", func(r *Route) { r.Backends[0].Addresses = []string{"[fd00:0::1]:80"} }, "not IP:port"},
	{"address with a leading zero", func(r *Route) { r.Backends[0].Addresses = []string{"10.0.0.01:80"} }, "not IP:port"},
	{"address that is loopback", func(r *Route) { r.Backends[0].Addresses = []string{"127.0.0.1:80"} }, "is loopback"},
	{"check without an interval", func(r *Route) { r.Backends[0].Check.IntervalSeconds = 0 }, "comes every 1 to 300 s"},
	{"check that comes too seldom", func(r *Route) { r.Backends[0].Check.IntervalSeconds = 301 }, "comes every 1 to 300 s"},
	{"check without a timeout", func(r *Route) { r.Backends[0].Check.TimeoutSeconds = 0 }, "a check takes 1 to 60 s"},
	{"check that takes too long", func(r *Route) {
		r.Backends[0].Check.IntervalSeconds, r.Backends[0].Check.TimeoutSeconds = 300, 61
	}, "a check takes 1 to 60 s"},
	{"check that comes before the last is over", func(r *Route) { r.Backends[0].Check.TimeoutSeconds = 6 }, "not before the last is over"},
	{"check that never finds a backend unhealthy", func(r *Route) { r.Backends[0].Check.UnhealthyThreshold = 0 }, "thresholds are 1 to 10"},
	{"check that hardly ever does", func(r *Route) { r.Backends[0].Check.UnhealthyThreshold = 11 }, "thresholds are 1 to 10"},
	{"check that never finds a backend healthy", func(r *Route) { r.Backends[0].Check.HealthyThreshold = 0 }, "thresholds are 1 to 10"},
	{"check that hardly ever finds it healthy", func(r *Route) { r.Backends[0].Check.HealthyThreshold = 11 }, "thresholds are 1 to 10"},
	{"check with a path that is none", func(r *Route) { r.Backends[0].Check.Path = "/a b" }, "is not allowed in a path"},
	{"check without a host", func(r *Route) { r.Backends[0].Check.Host = "" }, "of the check is not a host"},
	{"check with a line in its host", func(r *Route) { r.Backends[0].Check.Host = "a\r\nX: y" }, "of the check is not a host"},
	{"check of a connection with a host", func(r *Route) { r.Backends[0].Check.Path = "" }, "without a path has no host"},
	{"path probe without a protocol", func(r *Route) { r.Protocol = Opaque }, "needs a protocol and path type Exact"},
	{"path probe of a Prefix", func(r *Route) {
		becomePrefix(r, "/a")
		r.Callbacks[0].PathProbe = true
	}, "needs a protocol and path type Exact"},
	{"methods of another protocol", func(r *Route) { r.Callbacks[0].Methods = []string{"PUT"} }, "methods are for protocol Opaque"},
	{"too many methods", func(r *Route) { becomeOpaque(r, manyMethods(17)...) }, "17 methods, at most 16"},
	{"methods out of order", func(r *Route) { becomeOpaque(r, "PUT", "GET") }, "methods are not sorted"},
	{"a method twice", func(r *Route) { becomeOpaque(r, "PUT", "PUT") }, "methods are not sorted"},
	{"method CONNECT", func(r *Route) { becomeOpaque(r, "CONNECT") }, `method "CONNECT" cannot be served`},
	{"method TRACE", func(r *Route) { becomeOpaque(r, "GET", "TRACE") }, `method "TRACE" cannot be served`},
	{"method in lower case", func(r *Route) { becomeOpaque(r, "put") }, `method "put" cannot be served`},
	{"method with a small letter", func(r *Route) { becomeOpaque(r, "PuT") }, `method "PuT" cannot be served`},
	{"method with a line", func(r *Route) { becomeOpaque(r, "PUT\r\nX") }, "cannot be served"},
	{"method with a space at its end", func(r *Route) { becomeOpaque(r, "PUT ") }, "cannot be served"},
	{"method without a letter", func(r *Route) { becomeOpaque(r, "") }, "cannot be served"},
	{"method that is too long", func(r *Route) { becomeOpaque(r, strings.Repeat("A", 33)) }, "cannot be served"},
	{"address of metadata", func(r *Route) { r.Backends[0].Addresses = []string{"169.254.169.254:80"} }, "is link-local"},

	{"no timeout", func(r *Route) { r.TimeoutSeconds = 0 }, "timeout of 0 s"},
	{"timeout that is too long", func(r *Route) { r.TimeoutSeconds = 301 }, "timeout of 301 s"},
	{"no afterSunset", func(r *Route) { r.AfterSunset = "" }, "after sunset \"\""},
	{"unknown afterSunset", func(r *Route) { r.AfterSunset = "Ignore" }, "after sunset \"Ignore\""},
	{"no sunset", func(r *Route) { r.Sunset, r.Deprecation = time.Time{}, time.Time{} }, "times must be set"},
	{"sunset with a fraction", func(r *Route) { r.Sunset = r.Sunset.Add(1) }, "in whole seconds"},
	{"sunset in another zone", func(r *Route) { r.Sunset = r.Sunset.In(time.FixedZone("", 3600)) }, "in UTC"},
	{"deprecation with a fraction", func(r *Route) { r.Deprecation = r.Deprecation.Add(1) }, "in whole seconds"},
	{"held until a fraction", func(r *Route) { r.HeldUntil = r.HeldUntil.Add(1) }, "in whole seconds"},
	{"held in another zone", func(r *Route) { r.HeldUntil = r.HeldUntil.In(time.FixedZone("", 3600)) }, "in UTC"},
	{"deprecation after sunset", func(r *Route) { r.Deprecation = r.Sunset.Add(time.Second) }, "deprecation is after sunset"},

	{"info URL without TLS", func(r *Route) { r.InfoURL = "http://a" }, "begins with https://"},
	{"info URL without a host", func(r *Route) { r.InfoURL = "https://" }, "begins with https://"},
	{"info URL with an empty host", func(r *Route) { r.InfoURL = "https:///a" }, "begins with https://"},
	{"info URL of a script", func(r *Route) { r.InfoURL = "javascript:alert(1)" }, "begins with https://"},
	{"info URL that is too long", func(r *Route) { r.InfoURL = "https://a/" + strings.Repeat("a", 2048) }, "at most 2048 bytes"},
	{"info URL with a quote", func(r *Route) { r.InfoURL = `https://a/"` }, "is not allowed in an info URL"},
	{"info URL with a bracket", func(r *Route) { r.InfoURL = "https://a/>" }, "is not allowed in an info URL"},
	{"info URL with a line", func(r *Route) { r.InfoURL = "https://a/\r\nX: y" }, "is not allowed in an info URL"},
}

func manyHosts(n int) (hosts []string) {
	for i := range n {
		hosts = append(hosts, fmt.Sprintf("h%d.example.com", i))
	}
	return hosts
}

func manyCallbacks(n int) (callbacks []Callback) {
	callbacks = plainRoute(1).Callbacks
	for i := len(callbacks); i < n; i++ {
		callbacks = append(callbacks, Callback{Name: fmt.Sprintf("c%d", i), PathType: Prefix, Path: fmt.Sprintf("/c%d", i)})
	}
	return callbacks
}

func manyMethods(n int) (methods []string) {
	for i := range n {
		methods = append(methods, strings.Repeat("A", i+1))
	}
	return methods
}

func manyBackends(n int) (backends []Backend) {
	for i := range n {
		backends = append(backends, Backend{Name: fmt.Sprintf("b%d", i), Weight: int32(max(0, 1-i))})
	}
	return backends
}

func manyAddresses(n int) (addresses []string) {
	for i := range n {
		addresses = append(addresses, fmt.Sprintf("10.0.0.%03d:80", 100+i))
	}
	return addresses
}

func becomeAlike(r *Route, first, second Query) {
	r.Callbacks[1].Path = r.Callbacks[0].Path
	r.Callbacks[0].Query, r.Callbacks[1].Query = first, second
}

func becomePrefix(r *Route, path string) {
	r.Callbacks = []Callback{{Name: "login", PathType: Prefix, Path: path}}
	for i := range r.Backends {
		r.Backends[i].Paths = nil
	}
}

func TestRouteValidate_RefusesEachBrokenRule(t *testing.T) {
	for _, tc := range invalidRoutes {
		t.Run(tc.name, func(t *testing.T) {
			route := plainRoute(1)
			if err := route.Validate(); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			tc.change(&route)
			if err := route.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Validate = %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestRouteValidate_AcceptsTheEdges(t *testing.T) {
	for name, change := range map[string]func(*Route){
		"most hostnames":   func(r *Route) { r.Hostnames = manyHosts(MaxHostnames) },
		"most backends":    func(r *Route) { r.Backends, r.Ownership = manyBackends(MaxBackends), nil },
		"most addresses":   func(r *Route) { r.Backends[0].Addresses = manyAddresses(MaxAddresses) },
		"no ownership":     func(r *Route) { r.Ownership = nil },
		"unowned rejected": func(r *Route) { r.Ownership.Unowned, r.Ownership.Observe = Unowned{Type: UnownedReject}, false },
		"state by length and alphabet": func(r *Route) {
			r.Ownership.Rules[1].State = &StateMatch{Source: SourceState, Length: 1024, Alphabet: AlphabetHex}
		},
		"connection in a segment": func(r *Route) {
			becomePrefix(r, "/a")
			r.Ownership.Rules[3].Connection.Parameter, r.Ownership.Rules[3].Connection.PathSegment = "", 16
		},
		"no address":                    func(r *Route) { r.Backends[1].Addresses = nil },
		"largest weight":                func(r *Route) { r.Backends[1].Weight = maxWeight },
		"longest path":                  func(r *Route) { r.Callbacks[0].Path = "/" + strings.Repeat("a", maxPathBytes-1) },
		"shortest path":                 func(r *Route) { r.Callbacks[0].Path = "/" },
		"every byte of a path":          func(r *Route) { r.Callbacks[0].Path = "/aZ09._~!$&()*+,=:@-" },
		"dots within segments":          func(r *Route) { r.Callbacks[0].Path = "/..a/.b/c../..." },
		"/ at the end of an Exact path": func(r *Route) { r.Callbacks[0].Path = "/a/" },
		"Prefix of everything":          func(r *Route) { becomePrefix(r, "/") },
		"longest timeout":               func(r *Route) { r.TimeoutSeconds = maxTimeoutSeconds },
		"shortest timeout":              func(r *Route) { r.TimeoutSeconds = 1 },
		"no deprecation":                func(r *Route) { r.Deprecation = time.Time{} },
		"deprecation at the sunset":     func(r *Route) { r.Deprecation = r.Sunset },
		"a sunset in the past":          func(r *Route) { r.Sunset, r.Deprecation = time.Unix(1, 0).UTC(), time.Time{} },
		"not held":                      func(r *Route) { r.HeldUntil = time.Time{} },
		"held until before the sunset":  func(r *Route) { r.HeldUntil = r.Sunset.Add(-time.Hour) },
		"no check":                      func(r *Route) { r.Backends[0].Check = nil },
		"check of a connection":         func(r *Route) { r.Backends[0].Check.Path, r.Backends[0].Check.Host = "", "" },
		"longest and most patient check": func(r *Route) {
			r.Backends[0].Check.IntervalSeconds, r.Backends[0].Check.TimeoutSeconds = 300, 60
			r.Backends[0].Check.UnhealthyThreshold, r.Backends[0].Check.HealthyThreshold = 10, 10
		},
		"shortest check": func(r *Route) {
			r.Backends[0].Check.IntervalSeconds, r.Backends[0].Check.TimeoutSeconds = 1, 1
			r.Backends[0].Check.UnhealthyThreshold, r.Backends[0].Check.HealthyThreshold = 1, 1
		},
		"no path probe":   func(r *Route) { r.Callbacks[0].PathProbe = false },
		"most callbacks":  func(r *Route) { r.Callbacks = manyCallbacks(MaxCallbacks) },
		"no failover":     func(r *Route) { r.Backends[1].Failover = nil },
		"both paths":      func(r *Route) { r.Backends[1].Paths = []BackendPath{{"login", "/a"}, {"logout", "/a"}} },
		"the second path": func(r *Route) { r.Backends[1].Paths = []BackendPath{{"logout", "/%41;//"}} },
		"W32 every byte of an Exact path": func(r *Route) {
			r.Callbacks[0].Path = "/"
			for c := byte('!'); c <= '~'; c++ {
				if c != '?' && c != '#' {
					r.Callbacks[0].Path += string(c)
				}
			}
		},
		"W32 escapes, //, dots and parameters": func(r *Route) { r.Callbacks[0].Path = "/a%2Fb//c/../d;e=f/./%zz" },
		"most methods":                         func(r *Route) { becomeOpaque(r, manyMethods(maxMethods)...) },
		"longest method":                       func(r *Route) { becomeOpaque(r, strings.Repeat("A", 32)) },
		"method with a hyphen":                 func(r *Route) { becomeOpaque(r, "GET", "M-SEARCH") },
		"no methods":                           func(r *Route) { becomeOpaque(r) },
		"no info URL":                          func(r *Route) { r.InfoURL = "" },
		"IPv6 address":                         func(r *Route) { r.Backends[0].Addresses = []string{"[fd00::1]:80"} },
		"longest hostname":                     func(r *Route) { r.Hostnames = []string{strings.Repeat(strings.Repeat("a", 62)+".", 4) + "a"} },
		"backend host without a port":          func(r *Route) { r.Backends[1].Host = "a.b.svc" },
		"no backend host and no path":          func(r *Route) { r.Backends[1].Host, r.Backends[1].Paths = "", nil },
		"a name as Kubernetes allows it":       func(r *Route) { r.Name = strings.Repeat("a.", 126) + "a" },
	} {
		t.Run(name, func(t *testing.T) {
			route := plainRoute(1)
			change(&route)
			if err := route.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTableValidate_RefusesEachBrokenRule(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Table)
		want   string
	}{
		{"an invalid route", func(t *Table) { t.Routes[1].Callbacks[0].Path = "" }, "route team-1/route-1: callback login: a path"},
		{"a route twice", func(t *Table) { t.Routes[1] = t.Routes[0] }, "route team-0/route-0 is there twice"},
		{"two routes of one name", func(t *Table) {
			t.Routes[1].Namespace, t.Routes[1].Name = t.Routes[0].Namespace, t.Routes[0].Name
		}, "there twice"},
		{"two owners of a callback", func(t *Table) { t.Routes[1].Callbacks[0].Path = t.Routes[0].Callbacks[0].Path }, "team-0/route-0 and team-1/route-1 claim the same callback"},
		{"two owners of a callback with a query", func(t *Table) { t.Routes[1].Callbacks[1].Path = t.Routes[0].Callbacks[1].Path }, "team-0/route-0 and team-1/route-1 claim the same callback"},
		{"one callback twice in a route", func(t *Table) { becomeAlike(&t.Routes[0], "", "") }, "have the same path"},
		{"a hold of a route's claim", func(t *Table) {
			t.Holds[0].Claims = []Claim{{"login.example.com", Exact, t.Routes[0].Callbacks[0].Path, ""}}
		}, "have the same claim"},
		{"two holds of a claim", func(t *Table) { t.Holds[1].Claims = t.Holds[0].Claims }, "have the same claim"},
		{"one hold twice", func(t *Table) {
			t.Holds[1] = t.Holds[0]
		}, "is there twice"},
		{"hold without claims", func(t *Table) { t.Holds[0].Claims = nil }, "0 claims, 1 to 256"},
		{"hold with claims out of order", func(t *Table) { slices.Reverse(t.Holds[0].Claims) }, "not sorted"},
		{"hold of a host in capitals", func(t *Table) { t.Holds[0].Claims[0].Host = "Login.example.com" }, "not an exact DNS name"},
		{"hold of a bad path", func(t *Table) { t.Holds[0].Claims[0].Path = "/a?b" }, "is not allowed"},
		{"hold of an unknown path type", func(t *Table) { t.Holds[0].Claims[0].PathType = "Regex" }, `path type "Regex"`},
		{"hold without a name", func(t *Table) { t.Holds[0].Name = "" }, "namespace and name have"},
		{"hold with a fraction of a second", func(t *Table) { t.Holds[0].ReleaseTime = t.Holds[0].ReleaseTime.Add(1) }, "in whole seconds"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			table := withHolds(plainTable(3), 2)
			if err := table.Validate(); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			tc.change(table)
			if err := table.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Validate = %v, want %q in it", err, tc.want)
			}
		})
	}
}

// An Exact and a Prefix route may share a path: the one owns its bytes, the
// other what is below.
func TestTableValidate_AllowsExactAndPrefixOnOnePath(t *testing.T) {
	table := plainTable(2)
	table.Routes[1].Hostnames = table.Routes[0].Hostnames
	becomePrefix(&table.Routes[1], table.Routes[0].Callbacks[0].Path)
	if err := table.Validate(); err != nil {
		t.Error(err)
	}
}

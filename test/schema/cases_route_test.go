// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"fmt"
	"slices"
	"strings"
)

// ruleCase is one rule (by its message) or keyword, with patches of a kind's
// base that it accepts and that it refuses.
type ruleCase struct {
	kind, at, rule string
	accept, reject []string
}

var cases = slices.Concat(routeCases(), proxyCases(), fleetCases(), configCases())

const (
	wantHostname  = "must be one exact DNS name in lower case, such as auth.acme.com: no scheme, port, path, wildcard or trailing dot; write international names as xn-- labels"
	wantNoIP      = "must be a DNS name, not an IP address"
	wantPath      = "must begin with / and hold visible ASCII characters without ? and #: write the path as it is registered, with its percent escapes, without scheme, host, query and fragment"
	wantProbePath = "must begin with / and hold only letters, digits and / . _ ~ ! $ & ( ) * + , = : @ -"
	wantLabel     = "must be a DNS label: lower case letters, digits and -, with a letter or digit at both ends"
	wantName      = "must be the name of an object: lower case letters, digits, - and ., with a letter or digit at both ends"
	wantTimeOfDay = "a date needs a time of day, such as 2026-12-31T00:00:00Z"
	wantTime      = "must be a time that exists, in RFC 3339 with whole seconds: a capital T, and Z or an offset below 14 hours, such as 2026-12-31T00:00:00Z"
	wantURL       = "must be an absolute https:// URL without user information, quotes, spaces or angle brackets"
)

// each formats a patch once for each value.
func each(format string, values ...any) []string {
	patches := make([]string, len(values))
	for i, value := range values {
		patches[i] = fmt.Sprintf(format, value)
	}
	return patches
}

func long(n int) string { return strings.Repeat("a", n) }

// list is a YAML list of n elements.
func list(n int, format string) string {
	elements := make([]string, n)
	for i := range elements {
		elements[i] = fmt.Sprintf(format, i)
	}
	return "[" + strings.Join(elements, ", ") + "]"
}

func routeCases() []ruleCase {
	var all []ruleCase
	add := func(at, rule string, accept, reject []string) {
		all = append(all, ruleCase{"CallbackRoute", at, rule, accept, reject})
	}
	base := []string{"{}"}

	add("spec", "required", base, []string{"{spec: null}"})
	for _, required := range []string{"proxyRef", "hostnames", "protocol", "callbacks", "backends", "sunsetTime"} {
		add("spec."+required, "required", base, each("{spec: {%s: null}}", required))
	}
	add("spec.proxyRef.name", "required", base, []string{"{spec: {proxyRef: {name: null}}}"})
	all = append(all, nameCases("CallbackRoute", "spec.proxyRef.name", "{spec: {proxyRef: {name: %q}}}", 253)...)
	all = append(all, nameCases("CallbackRoute", "spec.proxyRef.namespace", "{spec: {proxyRef: {namespace: %q}}}", 63)...)

	hostname := "{spec: {hostnames: [%q]}}"
	all = append(all, hostnameCases("CallbackRoute", "spec.hostnames[]", hostname)...)
	add("spec.hostnames", "minItems", base, []string{"{spec: {hostnames: []}}"})
	add("spec.hostnames", "maxItems", each("{spec: {hostnames: %s}}", list(16, "h%d.example")), each("{spec: {hostnames: %s}}", list(17, "h%d.example")))
	add("spec.hostnames", "list-type", []string{"{spec: {hostnames: [a.b, b.b]}}"}, []string{"{spec: {hostnames: [a.b, a.b]}}"})

	add("spec.protocol", "enum", each("{spec: {protocol: %s}}", "OAuth2", "OIDC", "SAML", "Opaque"), each("{spec: {protocol: %s}}", "oidc", "SAML2", `""`))

	all = append(all, callbackCases()...)
	all = append(all, backendCases()...)
	all = append(all, checkCases()...)
	all = append(all, ownershipCases()...)

	add("spec.timeouts.requestSeconds", "minimum", each("{spec: {timeouts: {requestSeconds: %d}}}", 1), each("{spec: {timeouts: {requestSeconds: %d}}}", 0, -1))
	add("spec.timeouts.requestSeconds", "maximum", each("{spec: {timeouts: {requestSeconds: %d}}}", 300), each("{spec: {timeouts: {requestSeconds: %d}}}", 301, 4294967297))

	all = append(all, timeCases("sunsetTime", "{spec: {sunsetTime: %s}}")...)
	all = append(all, timeCases("deprecationTime", `{spec: {sunsetTime: "2999-12-31T00:00:00Z", deprecationTime: %s}}`)...)
	add("spec", "deprecationTime must not be after sunsetTime (RFC 9745)",
		each("{spec: {deprecationTime: %q}}", "2026-12-31T00:00:00Z", "2026-11-01T00:00:00Z", "2026-12-31T01:00:00+01:00"),
		each("{spec: {deprecationTime: %q}}", "2026-12-31T00:00:01Z", "2027-01-01T00:00:00Z", "2026-12-30T23:59:59-01:00"))

	add("spec.afterSunset", "enum", each("{spec: {afterSunset: %s}}", "Reject", "Serve"), each("{spec: {afterSunset: %s}}", "Warn", "reject"))

	url := "{spec: {infoURL: %q}}"
	add("spec.infoURL", wantURL,
		each(url, "https://a", "https://wiki.acme.com/sso-migration", "https://wiki.acme.com:8443/a/b?q=1&r=%20#top", "https://a?q", "https://a#f"),
		each(url, "http://wiki.acme.com", "https://", "https:///a", "https://user:secret@wiki.acme.com/", "https://a/\"", "https://a/'", "https://a/<b>", "https://a/ b",
			"https://a/\r\nX: y", "javascript:alert(1)", "//a", "https://wiki_acme.com", "https://a/#b#c", "https://[::1]/", "https://ä.example"))
	add("spec.infoURL", "minLength", each(url, "https://a"), each(url, ""))
	add("spec.infoURL", "maxLength", each(url, "https://a/"+long(2038)), each(url, "https://a/"+long(2039)))

	owner := "{spec: {owner: %q}}"
	add("spec.owner", "minLength", each(owner, "a"), each(owner, ""))
	add("spec.owner", "maxLength", each(owner, long(256), strings.Repeat("ü", 256)), each(owner, long(257)))
	return all
}

func callbackCases() []ruleCase {
	var all []ruleCase
	add := func(at, rule string, accept, reject []string) {
		all = append(all, ruleCase{"CallbackRoute", at, rule, accept, reject})
	}
	one := "{spec: {callbacks: [%s]}}"
	some := "{spec: {callbacks: %s}}"
	good := []string{"{}"}
	add("spec.callbacks", "minItems", good, each(some, "[]"))
	add("spec.callbacks", "maxItems", each(some, list(16, "{name: c%[1]d, path: /c%[1]d}")), each(some, list(17, "{name: c%[1]d, path: /c%[1]d}")))
	add("spec.callbacks", "list-type", each(one, "{name: a, path: /a}, {name: b, path: /b}"), each(one, "{name: a, path: /a}, {name: a, path: /b}"))
	add("spec.callbacks[].name", "required", good, each(one, "{path: /cb}"))
	add("spec.callbacks[].path", "required", good, each(one, "{name: login}"))
	all = append(all, nameCases("CallbackRoute", "spec.callbacks[].name", "{spec: {callbacks: [{name: %q, path: /cb}]}}", 63)...)
	all = append(all, pathCases("spec.callbacks[].path", "{spec: {callbacks: [{name: login, path: %q}]}}")...)
	add("spec.callbacks[].pathType", "enum", each(one, "{name: login, path: /cb, pathType: Exact}", "{name: login, path: /cb, pathType: Prefix}"),
		each(one, "{name: login, path: /cb, pathType: Regex}", "{name: login, path: /cb, pathType: prefix}"))
	pair := "{spec: {callbacks: [{name: a, path: /a, query: %s}, {name: b, path: /a, query: %s}]}}"
	add("spec", "two callbacks of a route have the same path: remove one of them, or give both a query with different values of one parameter",
		append(each(one, "{name: a, path: /a}, {name: b, path: /a, pathType: Prefix}", "{name: a, path: /a}, {name: b, path: /a/}", "{name: a, path: /a}, {name: b, path: /a, query: [{name: x, value: '1'}]}"),
			fmt.Sprintf(pair, "[{name: x, value: '1'}]", "[{name: x, value: '2'}]"),
			fmt.Sprintf(pair, "[{name: x, value: '1'}]", "[{name: x, value: '1'}, {name: w, value: '1'}]"),
			fmt.Sprintf(pair, "[{name: w, value: '1'}, {name: x, value: '1'}]", "[{name: x, value: '2'}, {name: z, value: '1'}]")),
		append(each(one, "{name: a, path: /a}, {name: b, path: /a}", "{name: a, path: /a}, {name: b, path: /a, pathType: Exact}", "{name: a, path: /a, pathType: Prefix}, {name: b, path: /a, pathType: Prefix}"),
			fmt.Sprintf(pair, "[{name: x, value: '1'}]", "[{name: x, value: '1'}]"),
			fmt.Sprintf(pair, "[{name: x, value: '1'}]", "[{name: w, value: '2'}]"),
			fmt.Sprintf(pair, "[{name: x, value: '1'}, {name: w, value: '1'}]", "[{name: w, value: '1'}, {name: z, value: '1'}]")))
	all = append(all, queryCases()...)
	prefix := strings.Replace(one, "%s", "{name: saml, path: %q, pathType: Prefix}", 1)
	add("spec.callbacks[]", "a Prefix path must not end with /: /saml already covers /saml/ and everything below it",
		slices.Concat(each(prefix, "/", "/saml"), each(one, "{name: saml, path: /saml/, pathType: Exact}", "{name: saml, path: /saml/}")),
		each(prefix, "/saml/", "/a/b/"))
	add("spec.callbacks[]", "a Prefix path must be in its canonical spelling: only letters, digits and / . _ ~ ! $ & ( ) * + , = : @ -, no //, no . or .. segment; use pathType: Exact for a path with escapes",
		each(prefix, "/", "/aZ09._~!$&()*+,=:@-", "/..a/b..", "/a/...", "/.well-known/x"),
		each(prefix, "/a%2fb", "/%41", "/a;b", "/a//b", "//a", "/.", "/..", "/a/.", "/a/..", "/./a", "/a/../b", "/<a>"))

	probe := "{spec: {protocol: %s, callbacks: [{name: login, path: /cb, pathType: %s, pathProbe: %s}]}}"
	probed := func(protocol, pathType, value string) string { return fmt.Sprintf(probe, protocol, pathType, value) }
	add("spec.callbacks[].pathProbe", "enum", []string{probed("OIDC", "Exact", "Enabled"), probed("OIDC", "Exact", "Disabled")},
		[]string{probed("OIDC", "Exact", "enabled"), probed("OIDC", "Exact", `""`), probed("OIDC", "Exact", "true")})
	add("spec.callbacks[]", "pathProbe requests one path and needs pathType: Exact",
		[]string{probed("SAML", "Exact", "Enabled"), probed("OIDC", "Prefix", "Disabled"), "{spec: {callbacks: [{name: login, path: /cb, pathProbe: Enabled}]}}"},
		[]string{probed("OIDC", "Prefix", "Enabled")})
	add("spec", "pathProbe sends an error response of the protocol, and protocol Opaque has none: remove pathProbe",
		[]string{probed("OAuth2", "Exact", "Enabled"), probed("Opaque", "Exact", "Disabled"), "{spec: {protocol: Opaque}}"},
		[]string{probed("Opaque", "Exact", "Enabled")})
	return append(all, methodCases()...)
}

func methodCases() []ruleCase {
	const at = "spec.callbacks[].methods"
	var all []ruleCase
	add := func(at, rule string, accept, reject []string) {
		all = append(all, ruleCase{"CallbackRoute", at, rule, accept, reject})
	}
	methods := "{spec: {protocol: Opaque, callbacks: [{name: hook, path: /hook, methods: %s}]}}"
	add(at, "minItems", each(methods, "[PUT]"), each(methods, "[]"))
	var many []string
	for i := range 17 {
		many = append(many, strings.Repeat("A", i+1))
	}
	add(at, "maxItems", each(methods, "["+strings.Join(many[:16], ", ")+"]"), each(methods, "["+strings.Join(many, ", ")+"]"))
	add(at, "list-type", each(methods, "[PUT, DELETE]"), each(methods, "[PUT, DELETE, PUT]"))
	one := fmt.Sprintf(methods, "[%q]")
	add(at+"[]", "must be an HTTP method in upper case, such as PUT; CONNECT and TRACE are never served",
		each(one, "GET", "HEAD", "OPTIONS", "M-SEARCH", "VERSION-CONTROL", "A", "CONNECTED"),
		each(one, "CONNECT", "TRACE", "put", "Put", "PUT ", " PUT", "PUT\n", "PUT\r\nX: y", "P T", "-PUT", "PUT-", "-", "PUT2", "P_T", "*", "ÄPUT"))
	add(at+"[]", "minLength", each(one, "A"), each(one, ""))
	add(at+"[]", "maxLength", each(one, strings.Repeat("A", 32)), each(one, strings.Repeat("A", 33)))
	protocol := "{spec: {protocol: %s, callbacks: [{name: a, path: /a}, {name: hook, path: /hook, methods: [PUT]}]}}"
	add("spec", "callbacks[].methods is for protocol Opaque: remove methods",
		slices.Concat(each(protocol, "Opaque"), []string{"{spec: {protocol: OIDC}}"}), each(protocol, "OIDC", "OAuth2", "SAML"))
	return all
}

func backendCases() []ruleCase {
	var all []ruleCase
	add := func(at, rule string, accept, reject []string) {
		all = append(all, ruleCase{"CallbackRoute", at, rule, accept, reject})
	}
	backend := "{spec: {backends: [{name: blue, service: {name: legacy-idp, port: 8080}, %s}]}}"
	service := "{spec: {backends: [{name: blue, service: {%s}}]}}"
	second := "{spec: {backends: [{name: blue, service: {name: a, port: 1}, weight: 1}, {name: green, service: {name: a, port: 1}, %s}]}}"

	add("spec.backends[].name", "required", []string{"{}"}, []string{"{spec: {backends: [{service: {name: a, port: 1}}]}}"})
	add("spec.backends[].service", "required", []string{"{}"}, []string{"{spec: {backends: [{name: blue}]}}"})
	add("spec.backends[].service.name", "required", []string{"{}"}, each(service, "port: 1"))
	add("spec.backends[].service.port", "required", []string{"{}"}, each(service, "name: a"))
	all = append(all, nameCases("CallbackRoute", "spec.backends[].name", "{spec: {backends: [{name: %q, service: {name: a, port: 1}}]}}", 63)...)
	all = append(all, nameCases("CallbackRoute", "spec.backends[].service.name", "{spec: {backends: [{name: blue, service: {name: %q, port: 1}}]}}", 253)...)
	all = append(all, nameCases("CallbackRoute", "spec.backends[].service.namespace", "{spec: {backends: [{name: blue, service: {name: a, port: 1, namespace: %q}}]}}", 63)...)
	add("spec.backends[].service.port", "minimum", each(service, "name: a, port: 1"), each(service, "name: a, port: 0", "name: a, port: -1"))
	add("spec.backends[].service.port", "maximum", each(service, "name: a, port: 65535"), each(service, "name: a, port: 65536", "name: a, port: 4294967377"))

	add("spec.backends", "minItems", []string{"{}"}, []string{"{spec: {backends: []}}"})
	many := "{name: b%[1]d, weight: 0, service: {name: a, port: 1}}"
	one := "[{name: primary, weight: 1, service: {name: a, port: 1}}, "
	add("spec.backends", "maxItems",
		each("{spec: {backends: %s}}", one+list(7, many)[1:]), each("{spec: {backends: %s}}", one+list(8, many)[1:]))
	add("spec.backends", "list-type", each(second, "weight: 0"),
		[]string{"{spec: {backends: [{name: a, weight: 1, service: {name: a, port: 1}}, {name: a, weight: 0, service: {name: b, port: 1}}]}}"})

	add("spec.backends[].weight", "minimum", each(second, "weight: 0"), each(second, "weight: -1"))
	add("spec.backends[].weight", "maximum", each(backend, "weight: 1000000"), each(backend, "weight: 1000001"))
	third := "{spec: {backends: [{name: a, service: {name: a, port: 1}, weight: %d}, {name: b, service: {name: a, port: 1}, weight: %d}, {name: c, service: {name: a, port: 1}, weight: %d}]}}"
	add("spec", "with several backends each needs a weight: the primary backend has one above 0, every other one has weight: 0",
		slices.Concat([]string{"{}"}, each(second, "weight: 0")),
		slices.Concat(each(second, "hostHeader: Preserve"), []string{"{spec: {backends: [{name: a, service: {name: a, port: 1}}, {name: b, service: {name: a, port: 1}}]}}"}))
	add("spec", "exactly one backend must have a weight above 0: weight is the proportion of new logins, and logins start outside the proxy, so no share can be kept; give the others weight: 0",
		slices.Concat([]string{"{}"}, each(backend, "weight: 1", "weight: 1000000"), each(second, "weight: 0"),
			[]string{fmt.Sprintf(third, 0, 1000000, 0), fmt.Sprintf(third, 0, 0, 1)}),
		slices.Concat(each(backend, "weight: 0"), each(second, "weight: 1", "weight: 2"),
			[]string{fmt.Sprintf(third, 90, 10, 0), fmt.Sprintf(third, 0, 0, 0), fmt.Sprintf(third, 7, 7, 7)}))

	add("spec.backends[].hostHeader", "enum", each(backend, "hostHeader: Preserve", "hostHeader: Backend"), each(backend, "hostHeader: Service", `hostHeader: ""`))
	return slices.Concat(all, failoverCases(), backendPathCases())
}

func failoverCases() []ruleCase {
	const at = "spec.backends[].failover"
	failover := "{spec: {backends: [{name: blue, service: {name: a, port: 1}, weight: 1, failover: %s}, {name: dr, service: {name: b, port: 1}, weight: 0}, {name: dr2, service: {name: c, port: 1}, weight: 0}]}}"
	good := each(failover, "{backend: dr, loginState: Shared}", "{backend: dr2, loginState: Shared}")
	return []ruleCase{
		{"CallbackRoute", at + ".backend", "required", good, each(failover, "{loginState: Shared}")},
		{"CallbackRoute", at + ".loginState", "required", good, each(failover, "{backend: dr}")},
		{"CallbackRoute", at + ".loginState", "enum", good, each(failover, "{backend: dr, loginState: Separate}", "{backend: dr, loginState: shared}")},
		{"CallbackRoute", at + ".backend", "minLength", good, each(failover, `{backend: "", loginState: Shared}`)},
		{"CallbackRoute", at + ".backend", "maxLength", good, each(failover, "{backend: "+long(64)+", loginState: Shared}")},
		{
			"CallbackRoute", "spec", "failover.backend must name another backend of this route, one with weight: 0", good,
			slices.Concat(each(failover, "{backend: blue, loginState: Shared}", "{backend: absent, loginState: Shared}"), []string{
				"{spec: {backends: [{name: blue, service: {name: a, port: 1}, failover: {backend: blue, loginState: Shared}}]}}",
				"{spec: {backends: [{name: blue, service: {name: a, port: 1}, weight: 0, failover: {backend: dr, loginState: Shared}}, {name: dr, service: {name: b, port: 1}, weight: 1}]}}",
			}),
		},
	}
}

func backendPathCases() []ruleCase {
	const at = "spec.backends[].paths"
	paths := "{spec: {callbacks: [{name: login, path: /cb}, {name: saml, path: /saml, pathType: Prefix}], backends: [{name: blue, service: {name: a, port: 1}, paths: %s}]}}"
	good := each(paths, "[{callback: login, path: /x}]")
	callbacks, entries := list(16, "{name: c%[1]d, path: /c%[1]d}"), list(17, "{callback: c%[1]d, path: /x}")
	many := "{spec: {callbacks: " + callbacks + ", backends: [{name: blue, service: {name: a, port: 1}, paths: %s}]}}"
	all := []ruleCase{
		{"CallbackRoute", at, "minItems", good, each(paths, "[]")},
		{"CallbackRoute", at, "maxItems", each(many, list(16, "{callback: c%[1]d, path: /x}")), each(many, entries)},
		{"CallbackRoute", at, "list-type", good, each(paths, "[{callback: login, path: /x}, {callback: login, path: /y}]")},
		{"CallbackRoute", at + "[].callback", "required", good, each(paths, "[{path: /x}]")},
		{"CallbackRoute", at + "[].path", "required", good, each(paths, "[{callback: login}]")},
		{"CallbackRoute", at + "[].callback", "minLength", good, each(paths, `[{callback: "", path: /x}]`)},
		{"CallbackRoute", at + "[].callback", "maxLength", good, each(paths, "[{callback: "+long(64)+", path: /x}]")},
		{
			"CallbackRoute", "spec", "backends[].paths replaces the whole path: each entry must name a callback of this route with pathType: Exact", good,
			each(paths, "[{callback: saml, path: /x}]", "[{callback: absent, path: /x}]", "[{callback: login, path: /x}, {callback: absent, path: /x}]"),
		},
	}
	return append(all, pathCases(at+"[].path", strings.Replace(paths, "%s", "[{callback: login, path: %q}]", 1))...)
}

func checkCases() []ruleCase {
	const at = "spec.backends[].healthCheck"
	var all []ruleCase
	add := func(field, rule string, accept, reject []string) {
		all = append(all, ruleCase{"CallbackRoute", at + field, rule, accept, reject})
	}
	check := "{spec: {backends: [{name: blue, service: {name: a, port: 1}, healthCheck: %s}]}}"
	add("", "minProperties", each(check, "{path: /}", "{type: TCP}"), each(check, "{}"))
	add("", "an HTTP check needs a path; a TCP check (type: TCP) has none",
		each(check, "{path: /healthz}", "{type: HTTP, path: /}", "{type: TCP}", "{type: TCP, intervalSeconds: 1, timeoutSeconds: 1}"),
		each(check, "{type: HTTP}", "{intervalSeconds: 5}", "{type: TCP, path: /healthz}"))
	add("", "timeoutSeconds (2 when absent) must not be longer than intervalSeconds (5 when absent)",
		each(check, "{path: /, timeoutSeconds: 5}", "{path: /, intervalSeconds: 2}", "{path: /, intervalSeconds: 60, timeoutSeconds: 60}"),
		each(check, "{path: /, timeoutSeconds: 6}", "{path: /, intervalSeconds: 1}", "{type: TCP, intervalSeconds: 59, timeoutSeconds: 60}"))
	add(".type", "enum", each(check, "{type: HTTP, path: /}", "{type: TCP}"), each(check, "{type: GRPC, path: /}", "{type: tcp}", `{type: "", path: /}`))
	all = append(all, probePathCases(at+".path", "{spec: {backends: [{name: blue, service: {name: a, port: 1}, healthCheck: {path: %q}}]}}")...)
	for _, bound := range []struct {
		field, others string
		most          int
	}{
		{"intervalSeconds", "timeoutSeconds: 1", 300},
		{"timeoutSeconds", "intervalSeconds: 300", 60},
		{"unhealthyThreshold", "path: /", 10},
		{"healthyThreshold", "path: /", 10},
	} {
		value := strings.Replace(check, "%s", "{path: /, "+bound.others+", "+bound.field+": %d}", 1)
		value = strings.Replace(value, "path: /, path: /", "path: /", 1)
		add("."+bound.field, "minimum", each(value, 1), each(value, 0, -1))
		add("."+bound.field, "maximum", each(value, bound.most), each(value, bound.most+1, 4294967297))
	}
	return all
}

// nameCases hold for the names of objects (253) and for labels (63).
func nameCases(kind, at, patch string, most int) []ruleCase {
	rule, good, bad := wantName, []any{"a", "0", "a-b", long(63)}, []any{"A", "a_b", "-a", "a-", "a/b", "a b", "ü", "a\n"}
	if most > 63 {
		good = append(good, "a.b")
	} else {
		rule, bad = wantLabel, append(bad, "a.b")
	}
	return []ruleCase{
		{kind, at, rule, each(patch, good...), each(patch, bad...)},
		{kind, at, "minLength", each(patch, "a"), each(patch, "")},
		{kind, at, "maxLength", each(patch, long(most)), each(patch, long(most+1))},
	}
}

func hostnameCases(kind, at, patch string) []ruleCase {
	return []ruleCase{
		{
			kind, at, wantHostname,
			each(patch, "auth.acme.com", "localhost", "xn--bcher-kva.example", "1.2.3.example", "a--b.c", long(63)+".example"),
			each(patch, "Auth.acme.com", "auth.acme.com.", "auth.acme.com:443", "https://auth.acme.com", "auth.acme.com/cb", "*.acme.com", "auth..com", "-a.com", "a-.com",
				"a_b.com", "bücher.example", "::1", "a b", "a\n", long(64)+".example"),
		},
		{kind, at, wantNoIP, each(patch, "1.2.3.4a", "10.example"), each(patch, "10.0.0.1", "127.1", "2130706433", "a.1")},
		{kind, at, "minLength", each(patch, "a"), each(patch, "")},
		{kind, at, "maxLength", each(patch, strings.Repeat("a.", 126)+"a"), each(patch, strings.Repeat("a.", 127)+"a")},
	}
}

// pathCases hold for paths as they are registered: their bytes are compared, so
// escapes stay as they are.
func pathCases(at, patch string) []ruleCase {
	return []ruleCase{
		{
			"CallbackRoute", at, wantPath,
			each(patch, "/", "/cb", "/a/b/", "/aZ09._~!$&()*+,=:@-", "/a%2fb", "/%41", "/a;b", "//a//b", "/./a/..", `/a\\b`, "/'", "/<a>", "/{a}", "/a|b^"),
			each(patch, "cb", "/a?b", "/a#b", "/a b", "/a\n", "/a\r\nX: y", "/ü", "/a\tb", "*", "https://auth.acme.com/cb", "/a\x7f"),
		},
		{"CallbackRoute", at, "minLength", each(patch, "/"), each(patch, "")},
		{"CallbackRoute", at, "maxLength", each(patch, "/"+long(1023)), each(patch, "/"+long(1024))},
	}
}

func probePathCases(at, patch string) []ruleCase {
	return []ruleCase{
		{
			"CallbackRoute", at, wantProbePath,
			each(patch, "/", "/healthz", "/a/b/", "/aZ09._~!$&()*+,=:@-", "/..a/b..", "/a/...", "/.well-known/x"),
			each(patch, "healthz", "/a%2fb", "/a?b", "/a#b", "/a;b", "/a b", "/a\n", "/ü", "/'", "/<a>"),
		},
		{"CallbackRoute", at, "must not contain //", each(patch, "/a/b"), each(patch, "//", "/a//b", "/a//", "//a")},
		{"CallbackRoute", at, "must not contain a . or .. segment", each(patch, "/.a", "/a.", "/..a", "/a..", "/a.b/c"), each(patch, "/.", "/..", "/a/.", "/a/..", "/./a", "/a/../b")},
		{"CallbackRoute", at, "minLength", each(patch, "/"), each(patch, "")},
		{"CallbackRoute", at, "maxLength", each(patch, "/"+long(1023)), each(patch, "/"+long(1024))},
	}
}

// timeCases: B11 and W58. The rules accept what Go decodes, and a user reads what
// to write.
func timeCases(name, patch string) []ruleCase {
	at := "spec." + name
	quoted := strings.Replace(patch, "%s", "%q", 1)
	return []ruleCase{
		{"CallbackRoute", at, wantTimeOfDay, each(quoted, "2027-01-28T00:00:00Z"), each(quoted, "2027-01-28")},
		{
			"CallbackRoute", at, wantTime,
			each(quoted, "2026-12-31T00:00:00Z", "2000-01-01T00:00:00Z", "2999-12-31T00:00:00Z", "2026-12-31T23:59:59+13:59", "2026-12-31T00:00:00-00:00", "2028-02-29T00:00:00Z",
				"2000-02-29T00:00:00Z", "2400-02-29T00:00:00Z", "2000-01-01T00:00:00+13:59"),
			each(quoted, "2026-12-31t00:00:00Z", "2026-12-31T00:00:00z", "2026-12-31T00:00:00-25:99", "2026-12-31T00:00:00+14:00", "2026-12-31T00:00:00.5Z", "2026-12-31T23:59:60Z",
				"2026-12-31T24:00:00Z", "1999-12-31T00:00:00Z", "3000-01-01T00:00:00Z", "2026-12-31 00:00:00Z", "2026-12-31T00:00:00", "2026-12-31T00:00Z", "2026-13-01T00:00:00Z",
				"2026-12-32T00:00:00Z", "2026-00-01T00:00:00Z", "tomorrow", "30d", "", "2026-12-31T00:00:00Z\n", "2026-02-30T00:00:00Z", "2027-02-29T00:00:00Z",
				"2026-04-31T00:00:00Z", "2100-02-29T00:00:00Z", "2026-12-31T25:00:00Z"),
		},
		{"CallbackRoute", at, "maxLength", each(quoted, "2000-01-01T00:00:00+13:59"), each(quoted, long(65))},
		// B11: a list would stop Go from decoding any route.
		{"CallbackRoute", at, "type", each(quoted, "2026-12-31T00:00:00Z"), each(patch, "20261231", "true", "{a: b}", "[]", `["2026-12-31T00:00:00Z"]`, "[null]", "[1]")},
	}
}

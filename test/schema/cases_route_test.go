// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"fmt"
	"slices"
	"strings"
)

// ruleCase is what one rule (by its message) or keyword says about patches of
// a kind's base.
type ruleCase struct {
	kind, at, rule string
	accept, reject []string
}

var cases = slices.Concat(routeCases(), proxyCases(), fleetCases(), configCases())

const (
	wantHostname = "must be one exact DNS name in lower case, such as auth.acme.com: no scheme, port, path, wildcard or trailing dot; write international names as xn-- labels"
	wantNoIP     = "must be a DNS name, not an IP address"
	wantPath     = "must begin with / and hold only letters, digits and / . _ ~ ! $ & ( ) * + , = : @ -; percent escapes, queries and fragments are not part of a callback path"
	wantNoDouble = "must not contain //"
	wantNoDots   = "must not contain a . or .. segment"
	wantOneTime  = "must be one time, such as 2026-12-31T00:00:00Z"
	wantURL      = "must be an absolute https:// URL without user information, quotes, spaces or angle brackets"
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
	for _, required := range []string{"proxyRef", "hostnames", "protocol", "callback", "backends", "sunsetTime"} {
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

	add("spec.callback.path", "required", base, []string{"{spec: {callback: {path: null}}}"})
	all = append(all, pathCases("spec.callback.path", "{spec: {callback: {path: %q}}}")...)
	add("spec.callback.pathType", "enum", each("{spec: {callback: {pathType: %s}}}", "Exact", "Prefix"), each("{spec: {callback: {pathType: %s}}}", "Regex", "prefix"))
	add("spec.callback", "a Prefix path must not end with /: /saml already covers /saml/ and everything below it",
		each("{spec: {callback: %s}}", "{path: /, pathType: Prefix}", "{path: /saml, pathType: Prefix}", "{path: /saml/, pathType: Exact}", "{path: /saml/}"),
		each("{spec: {callback: %s}}", "{path: /saml/, pathType: Prefix}", "{path: /a/b/, pathType: Prefix}"))

	preflight := "{spec: {protocol: %s, callback: {path: /cb, pathType: %s, preflight: %s}}}"
	asked := func(protocol, pathType, value string) string {
		return fmt.Sprintf(preflight, protocol, pathType, value)
	}
	add("spec.callback.preflight", "enum", []string{asked("OIDC", "Exact", "Enabled"), asked("OIDC", "Exact", "Disabled")},
		[]string{asked("OIDC", "Exact", "enabled"), asked("OIDC", "Exact", `""`), asked("OIDC", "Exact", "true")})
	add("spec.callback", "preflight asks for one path and needs pathType: Exact",
		[]string{asked("SAML", "Exact", "Enabled"), asked("OIDC", "Prefix", "Disabled"), "{spec: {callback: {path: /cb, preflight: Enabled}}}"},
		[]string{asked("OIDC", "Prefix", "Enabled")})
	add("spec", "preflight sends an error response of the protocol, and protocol Opaque has none",
		[]string{asked("OAuth2", "Exact", "Enabled"), asked("Opaque", "Exact", "Disabled"), "{spec: {protocol: Opaque}}"},
		[]string{asked("Opaque", "Exact", "Enabled")})

	all = append(all, backendCases()...)
	all = append(all, checkCases()...)

	add("spec.timeouts.requestSeconds", "minimum", each("{spec: {timeouts: {requestSeconds: %d}}}", 1), each("{spec: {timeouts: {requestSeconds: %d}}}", 0, -1))
	add("spec.timeouts.requestSeconds", "maximum", each("{spec: {timeouts: {requestSeconds: %d}}}", 300), each("{spec: {timeouts: {requestSeconds: %d}}}", 301, 4294967297))

	all = append(all, timeCases("sunsetTime", "{spec: {sunsetTime: %s}}")...)
	all = append(all, timeCases("deprecationTime", `{spec: {sunsetTime: "2999-12-31T00:00:00Z", deprecationTime: %s}}`)...)
	add("spec", "deprecationTime must not be after sunsetTime (RFC 9745)",
		each("{spec: {deprecationTime: %q}}", "2026-12-31T00:00:00Z", "2026-11-01T00:00:00Z", "2026-12-31T01:00:00+01:00"),
		each("{spec: {deprecationTime: %q}}", "2026-12-31T00:00:01Z", "2027-01-01T00:00:00Z", "2026-12-30T23:59:59-01:00"))

	add("spec.afterSunset", "enum", each("{spec: {afterSunset: %s}}", "Reject", "Warn"), each("{spec: {afterSunset: %s}}", "Ignore", "reject"))

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

func backendCases() []ruleCase {
	var all []ruleCase
	add := func(at, rule string, accept, reject []string) {
		all = append(all, ruleCase{"CallbackRoute", at, rule, accept, reject})
	}
	backend := "{spec: {backends: [{name: blue, service: {name: legacy-idp, port: 8080}, %s}]}}"
	service := "{spec: {backends: [{name: blue, service: {%s}}]}}"
	second := "{spec: {backends: [{name: blue, service: {name: a, port: 1}}, {name: green, service: {name: a, port: 1}, %s}]}}"

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
	one := "[{name: active, service: {name: a, port: 1}}, "
	add("spec.backends", "maxItems",
		each("{spec: {backends: %s}}", one+list(7, many)[1:]), each("{spec: {backends: %s}}", one+list(8, many)[1:]))
	add("spec.backends", "list-type", each(second, "weight: 0"),
		[]string{"{spec: {backends: [{name: a, service: {name: a, port: 1}}, {name: a, weight: 0, service: {name: b, port: 1}}]}}"})

	add("spec.backends[].weight", "minimum", each(second, "weight: 0"), each(second, "weight: -1"))
	add("spec.backends[].weight", "maximum", each(backend, "weight: 1000000"), each(backend, "weight: 1000001"))
	third := "{spec: {backends: [{name: a, service: {name: a, port: 1}, weight: %d}, {name: b, service: {name: a, port: 1}, weight: %d}, {name: c, service: {name: a, port: 1}, weight: %d}]}}"
	add("spec", "exactly one backend must have the highest weight, above 0: it gets the callbacks; others above 0 stand by for it, and weight: 0 keeps a backend idle",
		slices.Concat([]string{"{}"}, each(backend, "weight: 1"), each(second, "weight: 0", "weight: 2"),
			[]string{fmt.Sprintf(third, 5, 5, 6), fmt.Sprintf(third, 0, 1000000, 999999), fmt.Sprintf(third, 0, 0, 1)}),
		slices.Concat(each(backend, "weight: 0"), each(second, "weight: 1", "hostHeader: Preserve"),
			[]string{fmt.Sprintf(third, 6, 5, 6), fmt.Sprintf(third, 0, 0, 0), fmt.Sprintf(third, 7, 7, 7)}))

	add("spec.backends[].hostHeader", "enum", each(backend, "hostHeader: Preserve", "hostHeader: Backend"), each(backend, "hostHeader: Service", `hostHeader: ""`))
	all = append(all, pathCases("spec.backends[].path", "{spec: {backends: [{name: blue, service: {name: a, port: 1}, path: %q}]}}")...)
	add("spec", "a backend's path replaces the whole path and needs callback.pathType: Exact",
		slices.Concat(each(backend, "path: /x"), []string{"{spec: {callback: {pathType: Prefix}}}"}),
		[]string{"{spec: {callback: {pathType: Prefix}, backends: [{name: blue, service: {name: a, port: 1}, path: /x}]}}"})
	return all
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
	all = append(all, pathCases(at+".path", "{spec: {backends: [{name: blue, service: {name: a, port: 1}, healthCheck: {path: %q}}]}}")...)
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
	good, bad := []any{"a", "0", "a-b", long(63)}, []any{"A", "a_b", "-a", "a-", "a/b", "a b", "ü", "a\n"}
	if most > 63 {
		good = append(good, "a.b")
	} else {
		bad = append(bad, "a.b")
	}
	return []ruleCase{
		{kind, at, "pattern", each(patch, good...), each(patch, bad...)},
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

func pathCases(at, patch string) []ruleCase {
	return []ruleCase{
		{
			"CallbackRoute", at, wantPath,
			each(patch, "/", "/cb", "/a/b/", "/aZ09._~!$&()*+,=:@-", "/..a/b..", "/a/...", "/.well-known/x"),
			each(patch, "cb", "/a%2fb", "/%41", "/a?b", "/a#b", "/a;b", `/a\b`, "/a b", "/a\n", "/a\r\nX: y", "/ü", "/'", `/"`, "/<a>", "/{a}", "/a\tb", "*"),
		},
		{"CallbackRoute", at, wantNoDouble, each(patch, "/a/b"), each(patch, "//", "/a//b", "/a//", "//a")},
		{"CallbackRoute", at, wantNoDots, each(patch, "/.a", "/a.", "/..a", "/a..", "/a.b/c"), each(patch, "/.", "/..", "/a/.", "/a/..", "/./a", "/a/../b")},
		{"CallbackRoute", at, "minLength", each(patch, "/"), each(patch, "")},
		{"CallbackRoute", at, "maxLength", each(patch, "/"+long(1023)), each(patch, "/"+long(1024))},
	}
}

// timeCases: B11. What passes is what Go reads; what API servers let pass as a
// date-time and Go does not read is among the refused.
func timeCases(name, patch string) []ruleCase {
	at := "spec." + name
	quoted := strings.Replace(patch, "%s", "%q", 1)
	return []ruleCase{
		{
			"CallbackRoute", at, "pattern",
			each(quoted, "2026-12-31T00:00:00Z", "2000-01-01T00:00:00Z", "2999-12-31T00:00:00Z", "2026-12-31T23:59:59+13:59", "2026-12-31T00:00:00-00:00", "2028-02-29T00:00:00Z"),
			each(quoted, "2026-12-31t00:00:00Z", "2026-12-31T00:00:00z", "2026-12-31T00:00:00-25:99", "2026-12-31T00:00:00+14:00", "2026-12-31T00:00:00.5Z", "2026-12-31T23:59:60Z",
				"2026-12-31T24:00:00Z", "1999-12-31T00:00:00Z", "3000-01-01T00:00:00Z", "2026-12-31", "2026-12-31 00:00:00Z", "2026-12-31T00:00:00", "2026-12-31T00:00Z", "2026-13-01T00:00:00Z",
				"2026-12-32T00:00:00Z", "2026-00-01T00:00:00Z", "tomorrow", "30d", "", "2026-12-31T00:00:00Z\n"),
		},
		{"CallbackRoute", at, "format", each(quoted, "2028-02-29T00:00:00Z"), each(quoted, "2026-02-30T00:00:00Z", "2027-02-29T00:00:00Z", "2026-04-31T00:00:00Z")},
		{"CallbackRoute", at, wantOneTime, each(quoted, "2000-01-01T00:00:00+13:59"), each(patch, "[]", `["2026-12-31T00:00:00Z"]`, "[null]", "[1]")},
		{"CallbackRoute", at, "type", each(quoted, "2026-12-31T00:00:00Z"), each(patch, "20261231", "true", "{a: b}")},
	}
}

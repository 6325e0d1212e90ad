// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"slices"
	"strings"
)

const (
	wantProxyName = "the name of a CallbackProxy is also a label value and a name prefix: at most 63 characters, no dots"
	wantSelector  = "selector is set exactly when from is Selector"
	wantNetwork   = "must be a network in CIDR notation without host bits, such as 10.0.0.0/8"
	wantHealth    = "must be a path that begins with / and holds neither ? nor #, such as /healthz"
	wantNoHealth  = "listener.healthPath is for load balancers in front of a fleet: in mode Sidecar the application responds to health checks"
	wantNoPROXY   = "listener.proxyProtocol is for load balancers in front of a fleet: in mode Sidecar leave it out, or set Disabled"
	wantProduct   = "must be words with single spaces between them, without line breaks and invisible characters, such as Acme Login"
	wantSupport   = "must be an absolute https:// URL without user information, quotes, spaces or angle brackets, or one address such as mailto:help@acme.com"
	wantIndex     = "epoch, generation and reportKey are set on the Index and on nothing else"
)

func proxyCases() []ruleCase {
	var all []ruleCase
	add := func(at, rule string, accept, reject []string) {
		all = append(all, ruleCase{"CallbackProxy", at, rule, accept, reject})
	}
	base := []string{"{}"}
	add("", wantProxyName, each("{metadata: {name: %s}}", "edge", long(63)), each("{metadata: {name: %s}}", long(64), "edge.v1"))
	add("spec", "required", base, []string{"{spec: null}"})
	add("spec.hosts", "required", base, []string{"{spec: {hosts: null}}"})
	add("spec.hosts", "minItems", base, []string{"{spec: {hosts: []}}"})
	add("spec.hosts", "maxItems", each("{spec: {hosts: %s}}", list(256, "{hostname: h%d}")), each("{spec: {hosts: %s}}", list(257, "{hostname: h%d}")))
	add("spec.hosts", "list-type", []string{"{spec: {hosts: [{hostname: a}, {hostname: b}]}}"},
		[]string{"{spec: {hosts: [{hostname: a}, {hostname: a, namespaces: {from: All}}]}}"})
	add("spec.hosts[].hostname", "required", base, []string{"{spec: {hosts: [{namespaces: {from: All}}]}}"})
	all = append(all, hostnameCases("CallbackProxy", "spec.hosts[].hostname", "{spec: {hosts: [{hostname: %q}]}}")...)

	namespaces := "{spec: {hosts: [{hostname: a, namespaces: %s}]}}"
	add("spec.hosts[].namespaces", wantSelector,
		each(namespaces, "{from: Same}", "{from: All}", "{from: Selector, selector: {}}", "{from: Selector, selector: {matchLabels: {a: b}}}"),
		each(namespaces, "{from: Selector}", "{selector: {}}", "{from: All, selector: {matchLabels: {a: b}}}", "{from: Same, selector: {}}"))
	add("spec.hosts[].namespaces", "minProperties", append(each(namespaces, "{from: Same}"), base...), each(namespaces, "{}"))
	add("spec.hosts[].namespaces.from", "enum", each(namespaces, "{from: Same}", "{from: All}"), each(namespaces, "{from: None}", "{from: all}"))

	add("spec.listener.port", "minimum", each("{spec: {listener: {port: %d}}}", 1), each("{spec: {listener: {port: %d}}}", 0, -1))
	add("spec.listener.port", "maximum", each("{spec: {listener: {port: %d}}}", 65535), each("{spec: {listener: {port: %d}}}", 65536))

	all = append(all, requestCases()...)
	network := "{spec: {forwarding: {trustedProxies: [%q]}}}"
	add("spec.forwarding.trustedProxies[]", wantNetwork,
		each(network, "10.0.0.0/8", "0.0.0.0/0", "192.0.2.1/32", "fd00::/8", "::/0", "FD00::/8", "fd00:0::/8"),
		each(network, "10.0.0.1", "10.0.0.1/8", "10.0.0.0/33", "10.0.0/8", "010.0.0.0/8", "fd00::1/8", "::ffff:10.0.0.0/104", "fe80::%eth0/64", "all", "10.0.0.0/8 "))
	add("spec.forwarding.trustedProxies[]", "minLength", each(network, "::/0"), each(network, ""))
	add("spec.forwarding.trustedProxies[]", "maxLength", each(network, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"), each(network, strings.Repeat("0", 44)))
	add("spec.forwarding.trustedProxies", "maxItems", each("{spec: {forwarding: {trustedProxies: %s}}}", list(64, "10.%d.0.0/16")), each("{spec: {forwarding: {trustedProxies: %s}}}", list(65, "10.%d.0.0/16")))
	add("spec.forwarding.trustedProxies", "list-type", []string{"{spec: {forwarding: {trustedProxies: [10.0.0.0/8, 10.0.0.0/9]}}}"}, []string{"{spec: {forwarding: {trustedProxies: [10.0.0.0/8, 10.0.0.0/8]}}}"})

	add("spec.forwarding.trustedProxies", "minItems", each(network, "::/0"), []string{"{spec: {forwarding: {trustedProxies: []}}}"})

	days := "{spec: {policy: {maxLifetimeDays: %d}}}"
	add("spec.policy.maxLifetimeDays", "minimum", each(days, 1), each(days, 0, -1))
	add("spec.policy.maxLifetimeDays", "maximum", each(days, 3650), each(days, 3651))
	after := "{spec: {policy: {allowedAfterSunset: %s}}}"
	add("spec.policy.allowedAfterSunset", "minItems", each(after, "[Serve]"), each(after, "[]"))
	add("spec.policy.allowedAfterSunset", "maxItems", each(after, "[Serve, Reject]"), each(after, "[Serve, Reject, Serve]"))
	add("spec.policy.allowedAfterSunset", "list-type", each(after, "[Serve, Reject]"), each(after, "[Serve, Serve]"))
	warnings := "{spec: {policy: {sunsetWarningDays: %s}}}"
	add("spec.policy.sunsetWarningDays", "maxItems", each(warnings, "[]", list(10, "1%d")), each(warnings, list(11, "1%d")))
	add("spec.policy.sunsetWarningDays", "list-type", each(warnings, "[1, 2]"), each(warnings, "[7, 7]"))
	add("spec.policy.sunsetWarningDays[]", "minimum", each(warnings, "[1]"), each(warnings, "[0]", "[7, -1]"))
	add("spec.policy.sunsetWarningDays[]", "maximum", each(warnings, "[365]"), each(warnings, "[366]", "[1, 4294967297]"))
	quota := "{spec: {policy: {maxRoutesPerNamespace: %d}}}"
	add("spec.policy.maxRoutesPerNamespace", "minimum", each(quota, 1), each(quota, 0, -1))
	add("spec.policy.maxRoutesPerNamespace", "maximum", each(quota, 20000), each(quota, 20001, 4294967297))
	add("spec.policy.allowedAfterSunset[]", "enum", each(after, "[Serve]", "[Reject]"), each(after, "[Ignore]", "[reject]"))
	return all
}

// requestCases are about what the proxies take from a request, and how much.
func requestCases() []ruleCase {
	var all []ruleCase
	add := func(at, rule string, accept, reject []string) {
		all = append(all, ruleCase{"CallbackProxy", at, rule, accept, reject})
	}
	health := "{spec: {listener: {healthPath: %q}}}"
	add("spec.listener.healthPath", wantHealth, each(health, "/", "/healthz", "/a%2fb//c/../;d=e", `/a\\b'"<>{}|^`),
		each(health, "healthz", "*", "/a?b", "/?", "/a#b", "/a b", "/a\n", "/a\r\nX: y", "/ü", "/a\x7f", "http://a/healthz"))
	add("spec.listener.healthPath", "minLength", each(health, "/"), each(health, ""))
	add("spec.listener.healthPath", "maxLength", each(health, "/"+long(255)), each(health, "/"+long(256)))
	add("spec", wantNoHealth,
		append(each("{spec: {mode: %s, listener: {healthPath: /healthz}}}", "External", "Deployment"), "{spec: {mode: Sidecar, sidecar: {appPort: 1}, listener: {port: 8000}}}"),
		[]string{"{spec: {mode: Sidecar, sidecar: {appPort: 1}, listener: {healthPath: /healthz}}}"})
	protocol := "{spec: {listener: {proxyProtocol: %s}}}"
	add("spec.listener.proxyProtocol", "enum", append(each(protocol, "Disabled", "Required"), "{spec: {listener: {port: 1}}}"), each(protocol, "Optional", "required", `""`))
	add("spec", wantNoPROXY,
		append(each("{spec: {mode: %s, listener: {proxyProtocol: Required}}}", "External", "Deployment"), "{spec: {mode: Sidecar, sidecar: {appPort: 1}, listener: {proxyProtocol: Disabled}}}"),
		[]string{"{spec: {mode: Sidecar, sidecar: {appPort: 1}, listener: {proxyProtocol: Required}}}"})

	scheme, from := "{spec: {forwarding: {externalScheme: %s}}}", "{spec: {forwarding: {hostFrom: %s}}}"
	add("spec.forwarding.externalScheme", "enum", append(each(scheme, "https", "http"), "{spec: {forwarding: {}}}"), each(scheme, "HTTPS", "ws", `""`))
	add("spec.forwarding.hostFrom", "enum", append(each(from, "Host", "XForwardedHost"), "{spec: {forwarding: {}}}"), each(from, "X-Forwarded-Host", "Forwarded", "host", `""`))
	for name, bounds := range map[string][2]int{
		"headerKiB": {1, 1024}, "targetKiB": {1, 256}, "bodyKiB": {1, 16384}, "connections": {16, 100_000}, "inFlightPerRoute": {1, 10_000},
	} {
		limit := "{spec: {limits: {" + name + ": %d}}}"
		add("spec.limits."+name, "minimum", append(each(limit, bounds[0]), "{spec: {limits: {}}}"), each(limit, bounds[0]-1, 0, -1))
		add("spec.limits."+name, "maximum", each(limit, bounds[1]), each(limit, bounds[1]+1, 4294967297))
	}
	return append(all, pageCases()...)
}

// pageCases are about the proxies' own pages.
func pageCases() []ruleCase {
	var all []ruleCase
	add := func(at, rule string, accept, reject []string) {
		all = append(all, ruleCase{"CallbackProxy", at, rule, accept, reject})
	}
	add("spec.pages", "minProperties", each("{spec: {pages: %s}}", "{product: Acme}", "{supportURL: 'https://a'}"), each("{spec: {pages: %s}}", "{}"))
	product, support := "{spec: {pages: {product: %q}}}", "{spec: {pages: {supportURL: %q}}}"
	add("spec.pages.product", wantProduct, each(product, "Acme Login", "a", "Zürich 登录", "می\u200cخواهم", "<b>&amp;\"'", strings.Repeat("ü", 64)),
		each(product, " ", " Acme", "Acme ", "Acme  Login", "Acme\nLogin", "Acme\tLogin", "Acme\u00a0Login", "Acme\u202elogin", "Acme\u2028Login", "\ufeffAcme"))
	add("spec.pages.product", "minLength", each(product, "a"), each(product, ""))
	add("spec.pages.product", "maxLength", each(product, long(64)), each(product, long(65), strings.Repeat("ü", 65)))
	add("spec.pages.supportURL", wantSupport,
		each(support, "https://help.acme.com", "https://help.acme.com:8443/sso?a=1&b=2#c", "mailto:help@acme.com", "mailto:sso_help+x.y-z@a"),
		each(support, "http://a", "javascript:alert(1)", "mailto:", "mailto:help", "mailto:help@", "mailto:@a", "mailto:a@b?cc=c@d", "mailto:a@b,c@d", "mailto:a@-b", "mailto:a@b\n",
			"MAILTO:a@b", "tel:112", "help@acme.com", "https://u:p@a/", "https://a/\"", "https://a/ b"))
	add("spec.pages.supportURL", "minLength", each(support, "https://a"), each(support, ""))
	add("spec.pages.supportURL", "maxLength", each(support, "https://a/"+long(502)), each(support, "https://a/"+long(503)))
	return all
}

func configCases() []ruleCase {
	var all []ruleCase
	add := func(at, rule string, accept, reject []string) {
		all = append(all, ruleCase{"CallbackProxyConfig", at, rule, accept, reject})
	}
	base := []string{"{}"}
	shard := "{spec: {part: Shard, epoch: null, generation: null, reportKey: null}}"
	add("spec", "required", base, []string{"{spec: null}"})
	for _, required := range []string{"part", "hash", "payload"} {
		add("spec."+required, "required", base, each("{spec: {%s: null}}", required))
	}
	add("spec", wantIndex, []string{"{}", shard}, slices.Concat(
		each("{spec: {%s: null}}", "epoch", "generation", "reportKey"),
		each("{spec: {part: Shard, %s}}", "epoch: null, generation: null", "epoch: null, reportKey: null", "generation: null, reportKey: null")))
	add("spec.part", "enum", []string{"{}", shard}, each("{spec: {part: %s}}", "index", `""`))
	add("spec.epoch", "minimum", each("{spec: {epoch: %s}}", "1"), each("{spec: {epoch: %s}}", "0", "-1"))
	add("spec.epoch", "maximum", each("{spec: {epoch: %s}}", "1795262400", "32503679999"), each("{spec: {epoch: %s}}", "32503680000", "9223372036854775807"))
	add("spec.generation", "minimum", each("{spec: {generation: %s}}", "1", "9223372036854775807"), each("{spec: {generation: %s}}", "0", "-1"))
	add("spec.hash", "pattern", base, each("{spec: {hash: %q}}", strings.ToUpper(hash64), "g"+hash64[1:]))
	add("spec.hash", "minLength", base, each("{spec: {hash: %q}}", hash64[1:], ""))
	add("spec.hash", "maxLength", base, each("{spec: {hash: %q}}", hash64+"0"))
	add("spec.reportKey", "pattern", base, each("{spec: {reportKey: %q}}", key44[:43]+"A", "-"+key44[1:]))
	add("spec.reportKey", "minLength", base, each("{spec: {reportKey: %q}}", key44[1:]))
	add("spec.reportKey", "maxLength", base, each("{spec: {reportKey: %q}}", "A"+key44))
	add("spec.payload", "minLength", base, each("{spec: {payload: %q}}", "", "x"))
	add("spec.payload", "maxLength", each("{spec: {payload: %q}}", long(1000000)), each("{spec: {payload: %q}}", long(1000001)))
	return all
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package specimen

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// disturbRoute puts an odd value into one field of a route's spec.
func disturbRoute(r *rand.Rand, spec Object) { //nolint:gocyclo // a flat list of fields, nothing is nested
	callbacks, _ := spec["callbacks"].([]any)
	var callback Object
	if len(callbacks) > 0 {
		callback, _ = callbacks[r.IntN(len(callbacks))].(Object)
	}
	backends, _ := spec["backends"].([]any)
	var backend Object
	if len(backends) > 0 {
		backend, _ = backends[r.IntN(len(backends))].(Object)
	}
	service, _ := backend["service"].(Object)
	reference, _ := spec["proxyRef"].(Object)
	check, _ := backend["healthCheck"].(Object)
	switch r.IntN(29) {
	case 0, 1, 2:
		spec["sunsetTime"] = oddTime(r)
	case 3, 4, 5:
		spec["deprecationTime"] = oddTime(r)
	case 6, 7:
		spec["hostnames"] = oddHosts(r)
	case 8:
		spec["protocol"] = oddWord(r, "OIDC")
	case 9:
		set(callback, "path", oddPath(r))
	case 10:
		set(callback, "pathType", oddWord(r, "Prefix"))
	case 11:
		set(backend, pick(r, "weight", "weight", "name", "paths", "failover", "hostHeader", "service"), oddValue(r))
	case 12:
		set(backend, "weight", oddInteger(r, 0, 1_000_000))
	case 13:
		set(service, "port", oddInteger(r, 1, 65535))
	case 14:
		set(service, pick(r, "name", "namespace"), oddName(r))
	case 15:
		spec["timeouts"] = pick[any](r, Object{"requestSeconds": oddInteger(r, 1, 300)}, Object{}, oddValue(r))
	case 16:
		spec["infoURL"] = oddURL(r)
	case 17:
		spec["owner"] = pick[any](r, oddText(r), strings.Repeat("ü", 256), strings.Repeat("o", 257), "")
	case 18:
		set(reference, pick(r, "name", "namespace"), oddName(r))
	case 19:
		disturbAnything(r, spec)
	case 20:
		set(callback, "pathProbe", oddWord(r, "Enabled"))
	case 21:
		set(backend, "healthCheck", oddCheck(r))
	case 22:
		disturbCheck(r, check)
	case 23:
		set(backend, "failover", pick[any](r, Object{"backend": oddName(r), "loginState": oddWord(r, "Shared")}, Object{"backend": "b0", "loginState": "Shared"}, Object{}, oddValue(r)))
	case 24:
		set(backend, "paths", pick[any](r, []any{Object{"callback": oddName(r), "path": oddPath(r)}}, []any{Object{"callback": "login0", "path": "/x"}}, []any{}, oddValue(r)))
	case 25:
		spec["callbacks"] = pick[any](r, append(callbacks, callbacks...), []any{Object{"name": oddName(r), "path": oddPath(r)}}, []any{}, oddValue(r))
	case 28:
		ownership, _ := spec["ownership"].(Object)
		set(ownership, pick(r, "rules", "unowned", "enforcement"), pick[any](r,
			[]any{Object{"type": oddWord(r, "Cookie"), "backend": oddName(r), "cookie": Object{"name": oddText(r)}}},
			[]any{Object{"type": "Connection", "connection": Object{"parameter": "a", "backends": []any{Object{"name": "b0", "values": []any{"x"}}, Object{"name": "b1", "values": []any{"x"}}}}}},
			Object{"type": oddWord(r, "Reject")}, Object{"type": "Backend", "backend": oddName(r)}, oddWord(r, "Observe"), oddValue(r)))
	case 26:
		set(callback, "query", pick[any](r, []any{Object{"name": oddName(r), "value": oddPath(r)}}, []any{Object{"name": "State", "value": "x"}}, []any{Object{"name": "a", "value": "b=c"}},
			[]any{Object{"name": "a", "value": "b"}, Object{"name": "a", "value": "c"}}, []any{Object{"name": "a"}}, []any{}, oddValue(r)))
	case 27:
		set(callback, "methods", pick[any](r, []any{oddMethod(r)}, []any{"PUT", oddMethod(r)}, []any{"PUT", "GET", "PUT"}, []any{}, oddValue(r)))
	}
}

// disturbCheck puts an odd value into one field of a health check.
func disturbCheck(r *rand.Rand, check Object) {
	switch r.IntN(4) {
	case 0:
		set(check, "type", oddWord(r, "TCP"))
	case 1:
		set(check, "path", oddPath(r))
	case 2:
		set(check, "intervalSeconds", oddInteger(r, 1, 300))
		set(check, "timeoutSeconds", oddInteger(r, 1, 60))
	case 3:
		set(check, pick(r, "unhealthyThreshold", "healthyThreshold"), oddInteger(r, 1, 10))
	}
}

func disturbProxy(r *rand.Rand, spec Object) {
	hosts, _ := spec["hosts"].([]any)
	var host Object
	if len(hosts) > 0 {
		host, _ = hosts[r.IntN(len(hosts))].(Object)
	}
	switch r.IntN(13) {
	case 0:
		set(host, "hostname", pick(r, append(oddHosts(r), "")...))
	case 1:
		set(host, "namespaces", pick[any](r, Object{}, Object{"from": "Selector"}, Object{"from": oddWord(r, "All")},
			Object{"selector": Object{}}, Object{"from": "Selector", "selector": oddSelector(r)}, oddValue(r)))
	case 2:
		spec["listener"] = pick[any](r, Object{"port": oddInteger(r, 1, 65535)}, Object{"healthPath": oddPath(r)}, Object{"proxyProtocol": oddWord(r, "Required")}, Object{}, oddValue(r))
	case 3, 4, 5:
		spec["forwarding"] = pick[any](r, Object{"trustedProxies": []any{oddNetwork(r), oddNetwork(r)}}, Object{"trustedProxies": []any{}}, Object{},
			Object{"externalScheme": oddWord(r, "https")}, Object{"hostFrom": oddWord(r, "XForwardedHost")}, oddValue(r))
	case 6:
		spec["policy"] = pick[any](r, Object{}, Object{"maxLifetimeDays": oddInteger(r, 1, 3650)}, Object{"requireOwner": oddValue(r)},
			Object{"allowedAfterSunset": []any{oddWord(r, "Serve"), "Reject"}}, Object{"allowedAfterSunset": []any{}},
			Object{"sunsetWarningDays": []any{oddInteger(r, 1, 365), 30}}, Object{"sunsetWarningDays": oddValue(r)},
			Object{"maxRoutesPerNamespace": oddInteger(r, 1, 20_000)}, oddValue(r))
	case 7:
		spec["hosts"] = pick[any](r, []any{}, append(hosts, hosts...), oddValue(r))
	case 8:
		disturbAnything(r, spec)
	case 9:
		spec["mode"], spec["deployment"] = "Deployment", pick[any](r, Object{}, Object{"replicas": oddInteger(r, 1, 256)}, oddValue(r),
			Object{"resources": Object{pick(r, "requests", "limits"): Object{pick(r, "cpu", "memory"): oddAmount(r)}}},
			Object{"nodeSelector": Object{"a": oddText(r)}}, Object{"nodeSelector": Object{"a": oddValue(r)}},
			Object{"tolerations": []any{Object{"key": oddText(r), "effect": oddWord(r, "NoExecute"), "tolerationSeconds": oddInteger(r, 0, 86_400)}}},
			Object{"service": Object{"type": oddWord(r, "NodePort"), "annotations": Object{"a": oddText(r)}}})
		delete(spec, "sidecar")
	case 10:
		spec["mode"], spec["sidecar"] = "Sidecar", pick[any](r, Object{"appPort": oddInteger(r, 1, 65_535)}, oddValue(r),
			Object{"appPort": 1, "resources": Object{"limits": Object{"cpu": oddAmount(r)}}})
		delete(spec, "deployment")
	case 11:
		spec["limits"] = pick[any](r, Object{"headerKiB": oddInteger(r, 1, 1024)}, Object{"targetKiB": oddInteger(r, 1, 256)},
			Object{"bodyKiB": oddInteger(r, 1, 16_384)}, Object{"connections": oddInteger(r, 16, 100_000)}, Object{"inFlightPerRoute": oddInteger(r, 1, 10_000)}, Object{}, oddValue(r))
	case 12:
		spec["pages"] = pick[any](r, Object{"product": oddText(r)}, Object{"product": pick(r, "a b", "a  b", " a", "\u200d", "a\u00a0b", strings.Repeat("ü", 64), strings.Repeat("ü", 65))},
			Object{"supportURL": oddURL(r)}, Object{"supportURL": pick(r, "mailto:a@b", "mailto:a@b.", "mailto:@b", "mailto:a@b\n", "mailto:a@b@c", "mailto:.@0")}, Object{}, oddValue(r))
	}
}

// oddAmount draws a text near Kubernetes' own pattern of a quantity.
func oddAmount(r *rand.Rand) any {
	return pick[any](r, "1e1.5", "1e.5", "1.e5", "+1", ".5", "1.", "1E", "1Ei", "1n", "0.0000000000001", strings.Repeat("9", 30), "-1",
		"1e3", "m", "", "999999999999999E", oddInteger(r, 0, 9_007_199_254_740_992), oddValue(r))
}

func disturbConfig(r *rand.Rand, spec Object) {
	switch r.IntN(5) {
	case 0:
		spec[pick(r, "epoch", "generation")] = oddInteger(r, 1, 9223372036854775807)
	case 1:
		spec[pick(r, "hash", "reportKey", "payload", "part")] = oddText(r)
	case 2:
		delete(spec, pick(r, "epoch", "generation", "reportKey", "hash", "payload", "part"))
	case 3:
		spec["part"] = oddWord(r, "Index")
	case 4:
		disturbAnything(r, spec)
	}
}

func disturbAnything(r *rand.Rand, spec Object) {
	// Sorted, so that the source of randomness alone decides.
	keys := slices.Sorted(maps.Keys(spec))
	if len(keys) == 0 {
		return
	}
	key := keys[r.IntN(len(keys))]
	switch r.IntN(4) {
	case 0:
		delete(spec, key)
	case 1:
		spec[strings.ToUpper(key)] = spec[key]
	case 2:
		spec["unknown"] = oddValue(r)
	default:
		spec[key] = oddValue(r)
	}
}

func set(object Object, key string, value any) {
	if object != nil {
		object[key] = value
	}
}

// oddTime draws a time near RFC 3339, each part of it near its limits.
func oddTime(r *rand.Rand) any {
	if oneIn(r, 30) {
		return oddValue(r)
	}
	year := pick(r, "2026", "2026", "2027", "2000", "2999", "1999", "3000", "0000", "9999", "10000", "-2026", "+2026", "202", "２０２６")
	month := pick(r, "01", "02", "06", "11", "12", "12", "00", "13", "1", "99")
	day := pick(r, "01", "15", "28", "28", "29", "30", "31", "00", "32", "1")
	hour := pick(r, "00", "12", "23", "23", "24", "25", "-1", "1")
	minute := pick(r, "00", "30", "59", "59", "60", "99", "5")
	second := pick(r, "00", "30", "59", "59", "60", "61", "99", "")
	fraction := pick(r, "", "", "", "", "", ".0", ".5", ".999999999", ".0000000001", ",5", ".")
	zone := pick(r, "Z", "Z", "Z", "z", "+00:00", "-00:00", "+13:59", "-13:59", "+14:00", "-12:00", "-25:99", "+99:99", "+24:00", "+0100", "+01", "", " UTC", "[UTC]")
	middle := pick(r, "T", "T", "T", "T", "t", " ", "_", "")
	separator := pick(r, ":", ":", ":", ":", ".", "")
	text := year + "-" + month + "-" + day + middle + hour + separator + minute + separator + second + fraction + zone
	return pick(r, text, text, text, text, text, text, text, text, " "+text, text+" ", text+"\n", text+"\x00", "\ufeff"+text, strings.ToLower(text))
}

func oddHosts(r *rand.Rand) []any {
	host := pick[any](r,
		"Auth.acme.com", "auth.acme.com.", "auth.acme.com:443", "https://auth.acme.com", "*.acme.com", "auth..com", "-a.com", "a-.com", "a_b.com",
		"127.0.0.1", "1", "a.1", "1.a", "::1", "[::1]", "bücher.example", "auth.acme.com\n", "auth.acme.com\x00", " a", "", ".", strings.Repeat("a", 63),
		strings.Repeat("a", 64), strings.Repeat("a.", 126)+"a", strings.Repeat("a.", 127)+"a", "\u212a.example", "a\u00ad.example", "auth.acme.com/x", oddValue(r))
	many := make([]any, pick(r, 16, 17))
	for i := range many {
		many[i] = fmt.Sprintf("h%d.example", i)
	}
	return pick(r, []any{host}, []any{host}, []any{host}, []any{"auth.acme.com", host}, []any{"a", "a"}, []any{}, many)
}

func oddPath(r *rand.Rand) any {
	return pick[any](r,
		"", "cb", "//", "/a//b", "/.", "/..", "/a/./b", "/a/../b", "/a/..", "/a/.", "/a.", "/.a", "/a/", "/%41", "/a%2fb", "/a?b", "/a#b", "/a;b", `/a\b`, "/a b", "/a\tb",
		"/a\n", "/a\r\nX: y", "/a\x00", "/ü", "/\u2025", "/\u202e", "/"+strings.Repeat("p", 1024), "/"+strings.Repeat("ü", 512), "/'", `/"`, "/<", "/{a}", "/^", "/|", "/`",
		oddValue(r))
}

func oddURL(r *rand.Rand) any {
	return pick[any](r,
		"", "http://a", "https://", "https:///a", "https://a/\"", "https://a/'", "https://a/<x>", "https://a/ b", "https://a/\r\n", "https://u:p@a/", "https://a:1",
		"https://a:123456", "https://a?q", "https://a#f", "https://a?q#f", "https://a/?a=%zz;b", "HTTPS://a", "https://a.", "https://-a", "https://[::1]/", "https://ä",
		"//a", "javascript:alert(1)", "https://a/"+strings.Repeat("x", 2038), "https://a/"+strings.Repeat("x", 2039), "https://a/#a#b", "https://a/?a?b", `https://a\b`, "https://a/\x00", oddValue(r))
}

func oddName(r *rand.Rand) any {
	return pick[any](r,
		"", "A", "a_b", "-a", "a-", ".a", "a.", "a..b", "a/b", "../x", "a\n", "a\x00", "ü", strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a", 253),
		strings.Repeat("a", 254), "0", "a.b", oddValue(r))
}

func oddNetwork(r *rand.Rand) any {
	return pick[any](r,
		"10.0.0.0/8", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0", "010.0.0.0/8", "10.0.0/8", "0.0.0.0/0", "255.255.255.255/32", "fd00::/8", "FD00::/8",
		"fd00:0::/8", "fd00:0:0:0:0:0:0:0/8", "fd00::1/8", "::/0", "::ffff:10.0.0.0/104", "::ffff:0:0/96", "::10.0.0.0/104", "fe80::%eth0/64", "fd00::/129", "1::0.0.0.0/16", "2001:DB8::/32",
		"2001:db8:0:0::/64", "", "/8", "a/8", "10.0.0.0/8 ", " 10.0.0.0/8", "10.0.0.0/8\n", "10.0.0.0/255.0.0.0", "١٠.0.0.0/8", oddValue(r))
}

func oddMethod(r *rand.Rand) any {
	return pick[any](r, "CONNECT", "TRACE", "get", "GET ", "GET\n", "GET\x00", "G T", "-", "A-", "A-B", "G3T", "GËT", "", strings.Repeat("A", 32), strings.Repeat("A", 33), "PUT", oddValue(r))
}

func oddCheck(r *rand.Rand) any {
	return pick[any](r, Object{}, Object{"type": "TCP"}, Object{"type": "TCP", "path": "/x"}, Object{"type": "HTTP"}, Object{"path": oddPath(r)},
		Object{"path": "/x", "timeoutSeconds": 6}, Object{"path": "/x", "intervalSeconds": 1}, Object{"path": "/x", "intervalSeconds": 60, "timeoutSeconds": 60},
		Object{"timeoutSeconds": 1}, oddValue(r))
}

func oddSelector(r *rand.Rand) any {
	return pick[any](r, Object{}, Object{"matchLabels": Object{"a b": "c"}}, Object{"matchLabels": Object{"a": strings.Repeat("x", 64)}},
		Object{"matchExpressions": []any{Object{"key": "a", "operator": oddWord(r, "In"), "values": []any{"b"}}}},
		Object{"matchExpressions": []any{Object{"key": "a", "operator": "Exists", "values": []any{"b"}}}},
		Object{"matchExpressions": []any{Object{"key": "", "operator": "In", "values": []any{}}}}, Object{"matchExpressions": oddValue(r)}, oddValue(r))
}

// oddInteger draws a number near the limits of a field or of a number type.
func oddInteger(r *rand.Rand, least, most int64) any {
	near := func(n int64) json.Number { return json.Number(fmt.Sprint(n + int64(r.IntN(5)) - 2)) }
	if most > 1<<62 {
		near = func(n int64) json.Number { return json.Number(fmt.Sprint(n)) }
	}
	return pick[any](r, near(least), near(most), json.Number(fmt.Sprint(least)), json.Number(fmt.Sprint(most)),
		json.Number(fmt.Sprint(least)+".0"), json.Number(fmt.Sprint(least)+".5"), json.Number("1e0"), json.Number("1E2"), json.Number("1e-1"), json.Number("1e400"),
		json.Number("-0"), json.Number("-0.0"), json.Number("0"), json.Number("-1"), json.Number("2147483647"), json.Number("2147483648"), json.Number("4294967296"), json.Number("4294967297"),
		json.Number("9223372036854775807"), json.Number("9223372036854775808"), json.Number("18446744073709551617"), json.Number("1e18"), json.Number("1e19"), json.Number("100000000000000000000"),
		json.Number("-9223372036854775809"), fmt.Sprint(least), oddValue(r))
}

func oddWord(r *rand.Rand, word string) any {
	return pick[any](r, strings.ToLower(word), strings.ToUpper(word), word+" ", "", word, word+"\x00", oddValue(r))
}

func oddText(r *rand.Rand) any {
	return pick[any](r, "a\x00b", "\u0000", "\ufffd", "\u202e\u2066", "e\u0301", "\U0001f468\u200d\U0001f469", "\u2028", "</script>", "${jndi:x}", "{{.}}", "\r\n", "\xff\xfe",
		json.RawMessage(`"\ud800"`), json.RawMessage(`"\udc00\ud800"`), json.RawMessage(`"\u0041"`), strings.Repeat("x", 3000), oddValue(r))
}

// oddValue draws a value of any type.
func oddValue(r *rand.Rand) any {
	return pick[any](r, nil, nil, true, json.Number("0"), json.Number("1.5"), "", "x", []any{}, []any{nil}, []any{"x"}, Object{}, Object{"x": nil}, Object{"name": "x"}, []any{Object{}})
}

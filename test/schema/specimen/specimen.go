// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package specimen draws random objects of our kinds as a user might send them:
// valid ones, and ones that are a step away from it at the edges of each field.
// Input: a source of randomness; output: JSON. Pure.
package specimen

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Object is an object as it is sent. Values are of the kinds that encoding/json
// writes; json.Number and json.RawMessage hold odd spellings.
type Object = map[string]any

// JSON returns the object's text.
func JSON(object Object) []byte {
	data, err := json.Marshal(object)
	if err != nil {
		panic(fmt.Sprintf("a specimen cannot be encoded: %v", err))
	}
	return data
}

// Route draws a CallbackRoute in which edges of the fields of the spec are odd.
// With 0 it is valid.
func Route(r *rand.Rand, namespace, name string, edges int) Object {
	spec := validRoute(r)
	for range edges {
		disturbRoute(r, spec)
	}
	return object("CallbackRoute", namespace, name, spec)
}

// Proxy draws a CallbackProxy in the same way.
func Proxy(r *rand.Rand, namespace, name string, edges int) Object {
	spec := validProxy(r)
	for range edges {
		disturbProxy(r, spec)
	}
	return object("CallbackProxy", namespace, name, spec)
}

// Config draws a CallbackProxyConfig in the same way.
func Config(r *rand.Rand, namespace, name string, edges int) Object {
	spec := validConfig(r)
	for range edges {
		disturbConfig(r, spec)
	}
	return object("CallbackProxyConfig", namespace, name, spec)
}

func object(kind, namespace, name string, spec Object) Object {
	return Object{
		"apiVersion": "callbackproxy.io/v1alpha1",
		"kind":       kind,
		"metadata":   Object{"namespace": namespace, "name": name},
		"spec":       spec,
	}
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// one in n.
func oneIn(r *rand.Rand, n int) bool { return r.IntN(n) == 0 }

func validRoute(r *rand.Rand) Object {
	count := r.IntN(3) + 1
	protocol := pick(r, "OAuth2", "OIDC", "SAML", "Opaque")
	callbacks := validCallbacks(r, protocol)
	backends := validBackends(r, count, r.IntN(count))
	for _, backend := range backends {
		if paths := validBackendPaths(r, callbacks); len(paths) > 0 && oneIn(r, 3) {
			backend.(Object)["paths"] = paths
		}
	}
	spec := Object{
		"proxyRef":   Object{"name": "edge", "namespace": "edge"},
		"hostnames":  validHosts(r),
		"protocol":   protocol,
		"callbacks":  callbacks,
		"backends":   backends,
		"sunsetTime": pick(r, "2026-12-31T00:00:00Z", "2027-02-28T23:59:59+13:59", "2026-11-21T12:00:00-11:30"),
	}
	if oneIn(r, 3) {
		spec["deprecationTime"] = pick(r, "2026-11-01T00:00:00Z", "2026-11-20T23:59:59+13:59")
	}
	if oneIn(r, 3) {
		spec["afterSunset"] = pick(r, "Reject", "Serve")
	}
	if oneIn(r, 3) {
		spec["timeouts"] = Object{"requestSeconds": pick(r, 1, 30, 300)}
	}
	if oneIn(r, 3) {
		spec["infoURL"] = pick(r, "https://wiki.acme.com/sso", "https://a", "https://a.b:8443/?q=%20#f", "https://x/(a)~!$&")
	}
	if oneIn(r, 3) {
		spec["ownership"] = validOwnership(r, protocol, callbacks, backends)
	}
	if !oneIn(r, 4) {
		spec["owner"] = pick(r, "team@acme.com", "Identität ☎ 4711", "\u202eevil")
	}
	return spec
}

// validOwnership draws one to three rules that fit the protocol.
func validOwnership(r *rand.Rand, protocol string, callbacks, backends []any) Object {
	backend := func() any { return backends[r.IntN(len(backends))].(Object)["name"] }
	types := []string{"Cookie", "Connection"}
	if protocol != "Opaque" {
		types = append(types, "State", "Issuer", "Audience")
	}
	var rules []any
	for range 1 + r.IntN(3) {
		rule := Object{"type": pick(r, types...), "backend": backend()}
		switch rule["type"] {
		case "Cookie":
			rule["cookie"] = pick(r, Object{"name": "__Host-sid"}, Object{"namePrefix": "green_", "valuePrefix": "g."})
		case "State":
			state := pick(r, Object{"prefix": "g~"}, Object{"length": 43, "alphabet": pick(r, "Digits", "Hex", "Alphanumeric", "Base64", "Base64URL")})
			if protocol == "SAML" && oneIn(r, 2) {
				state["source"] = pick(r, "RelayState", "InResponseTo")
			}
			rule["state"] = state
		case "Issuer":
			rule["issuer"] = Object{"value": pick(r, "https://idp.example", "urn:a")}
		case "Audience":
			rule["audience"] = Object{"value": "client"}
		case "Connection":
			delete(rule, "backend")
			connection := Object{"parameter": "connection", "backends": []any{Object{"name": backend(), "values": []any{"globex", "acme", "acme"}}}}
			if slices.ContainsFunc(callbacks, func(c any) bool { return c.(Object)["pathType"] == "Prefix" }) && oneIn(r, 2) {
				delete(connection, "parameter")
				connection["pathSegment"] = 1 + r.IntN(16)
			}
			rule["connection"] = connection
		}
		rules = append(rules, rule)
	}
	ownership := Object{"rules": rules, "unowned": pick(r, Object{"type": "Reject"}, Object{"type": "Backend", "backend": backend()})}
	if _, has := ownership["unowned"].(Object)["backend"]; has && oneIn(r, 2) {
		ownership["enforcement"] = pick(r, "Observe", "Enforce")
	}
	return ownership
}

// validCallbacks draws one to three callbacks with different paths.
func validCallbacks(r *rand.Rand, protocol string) []any {
	var callbacks []any
	for i := range 1 + r.IntN(3) {
		callback := Object{"name": pick(r, "login", "logout", "a", "0") + fmt.Sprint(i), "path": validPath(r) + fmt.Sprint(i)}
		prefix := oneIn(r, 2)
		switch {
		case prefix:
			callback["pathType"] = "Prefix"
		case oneIn(r, 2):
			callback["pathType"] = "Exact"
		}
		if !prefix && oneIn(r, 3) {
			callback["path"] = callback["path"].(string) + pick(r, "%2Fx", "//x", "/./x", "/../", ";v=1", `/"<>{}|^`)
		}
		if oneIn(r, 3) {
			callback["pathProbe"] = "Disabled"
			if !prefix && protocol != "Opaque" {
				callback["pathProbe"] = pick(r, "Enabled", "Enabled", "Disabled")
			}
		}
		if !prefix && oneIn(r, 4) {
			callback["query"] = pick(r, []any{Object{"name": "action", "value": "openid-callback"}},
				[]any{Object{"name": "b", "value": "%20"}, Object{"name": "a", "value": "+"}}, []any{Object{"name": strings.Repeat("n", 64), "value": strings.Repeat("v", 256)}})
		}
		if protocol == "Opaque" && oneIn(r, 3) {
			callback["methods"] = pick(r, []any{"PUT"}, []any{"POST", "GET", "DELETE"}, []any{"M-SEARCH", strings.Repeat("A", 32)})
		}
		callbacks = append(callbacks, callback)
	}
	return callbacks
}

// validBackendPaths draws a path for each callback that may have one.
func validBackendPaths(r *rand.Rand, callbacks []any) []any {
	var paths []any
	for _, c := range callbacks {
		if callback := c.(Object); callback["pathType"] != "Prefix" {
			paths = append(paths, Object{"callback": callback["name"], "path": validPath(r)})
		}
	}
	return paths
}

func validBackends(r *rand.Rand, count, primary int) []any {
	var backends []any
	for i := range count {
		backend := Object{"name": fmt.Sprintf("b%d", i), "service": validService(r)}
		switch {
		case i != primary:
			backend["weight"] = 0
		case count > 1 || oneIn(r, 2):
			backend["weight"] = pick(r, 1, 100, 1_000_000)
		}
		if count > 1 && oneIn(r, 4) {
			backend["failover"] = Object{"backend": fmt.Sprintf("b%d", otherThan(r, i, primary, count)), "loginState": "Shared"}
			if count == 2 && i != primary {
				delete(backend, "failover")
			}
		}
		if oneIn(r, 3) {
			backend["hostHeader"] = pick(r, "Preserve", "Backend")
		}
		if oneIn(r, 3) {
			backend["healthCheck"] = validCheck(r)
		}
		backends = append(backends, backend)
	}
	return backends
}

// otherThan draws a backend that is neither of two, where there is one.
func otherThan(r *rand.Rand, i, primary, count int) int {
	for n := r.IntN(count); ; n = (n + 1) % count {
		if n != primary && (n != i || count == 2) {
			return n
		}
	}
}

func validCheck(r *rand.Rand) Object {
	check := Object{"path": validPath(r)}
	if oneIn(r, 3) {
		check = Object{"type": "TCP"}
	} else if oneIn(r, 3) {
		check["type"] = "HTTP"
	}
	if oneIn(r, 2) {
		check["intervalSeconds"] = pick(r, 2, 5, 300)
		check["timeoutSeconds"] = pick(r, 1, 2)
	}
	if oneIn(r, 2) {
		check[pick(r, "unhealthyThreshold", "healthyThreshold")] = pick(r, 1, 10)
	}
	return check
}

func validService(r *rand.Rand) Object {
	service := Object{"name": pick(r, "blue", "green", "headless", "external", "absent", "a.b"), "port": pick(r, 80, 8080, 8443, 65535)}
	if oneIn(r, 3) {
		service["namespace"] = pick(r, "identity", "partners", "elsewhere")
	}
	return service
}

func validHosts(r *rand.Rand) []any {
	hosts := []any{"auth.acme.com", "login.acme.com", "xn--bcher-kva.example", "a", strings.Repeat("a", 63) + ".example", "1.2.3.example"}
	r.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	return hosts[:1+r.IntN(3)]
}

func validPath(r *rand.Rand) string {
	if oneIn(r, 100) {
		return "/" + strings.Repeat("p", 1000)
	}
	return pick(r, "/", "/cb", "/oauth2/callback", "/saml", "/saml/acs", "/saml/acs/x", "/saml2", "/a.b~c!$&()*+,=:@-_", "/..a/...")
}

func validProxy(r *rand.Rand) Object {
	var hosts []any
	for _, host := range validHosts(r) {
		given := Object{"hostname": host}
		switch r.IntN(4) {
		case 0:
			given["namespaces"] = Object{"from": "All"}
		case 1:
			given["namespaces"] = Object{"from": "Selector", "selector": Object{"matchLabels": Object{"kubernetes.io/metadata.name": "identity"}}}
		case 2:
			given["namespaces"] = Object{"from": "Same"}
		}
		hosts = append(hosts, given)
	}
	spec := Object{"hosts": hosts, "mode": "External"}
	if oneIn(r, 2) {
		spec["listener"] = Object{"port": pick(r, 1, 8080, 65535)}
	}
	validRequests(r, spec)
	if oneIn(r, 2) {
		policy := Object{"maxLifetimeDays": pick(r, 1, 180, 3650), "allowedAfterSunset": pick(r, []any{"Reject"}, []any{"Serve", "Reject"})}
		if oneIn(r, 2) {
			policy["sunsetWarningDays"] = pick(r, []any{}, []any{1, 365}, []any{90, 7, 30, 1})
		}
		if oneIn(r, 2) {
			policy["maxRoutesPerNamespace"] = pick(r, 1, 5, 20_000)
		}
		spec["policy"] = policy
	}
	validFleet(r, spec)
	if listener, declared := spec["listener"].(Object); declared && spec["mode"] != "Sidecar" && oneIn(r, 2) {
		listener["healthPath"] = pick(r, "/", "/healthz", "/a%2Fb//c/../;d", `/"<>{}|^\`, "/"+strings.Repeat("h", 255))
	}
	if listener, declared := spec["listener"].(Object); declared && spec["mode"] != "Sidecar" && oneIn(r, 2) {
		listener["proxyProtocol"] = pick(r, "Disabled", "Required")
	}
	return spec
}

// validRequests draws what the proxies take from a request, and how much.
func validRequests(r *rand.Rand, spec Object) {
	if oneIn(r, 2) {
		forwarding := Object{"trustedProxies": []any{pick(r, "10.0.0.0/8", "0.0.0.0/0"), pick(r, "fd00::/8", "FD00::/8", "fd00:0::/8", "::/0")}}
		if oneIn(r, 2) {
			forwarding["externalScheme"] = pick(r, "https", "http")
		}
		if oneIn(r, 2) {
			forwarding["hostFrom"] = pick(r, "Host", "XForwardedHost")
		}
		spec["forwarding"] = forwarding
	}
	if oneIn(r, 3) {
		spec["limits"] = pick(r, Object{"headerKiB": pick(r, 1, 64, 1024)}, Object{"targetKiB": pick(r, 1, 256), "bodyKiB": pick(r, 1, 16384)},
			Object{"connections": pick(r, 16, 100_000), "inFlightPerRoute": pick(r, 1, 10_000)}, Object{})
	}
	if oneIn(r, 3) {
		spec["pages"] = pick(r, Object{"product": pick(r, "Acme Login", "می\u200cخواهم", "<b>", strings.Repeat("\U0001f468", 64))},
			Object{"supportURL": pick(r, "https://help.acme.com/?a=1#b", "mailto:a.b+c_d-e@f-g.h", "https://a/"+strings.Repeat("s", 502))})
	}
}

// validFleet draws the way the proxies are run: by the user, as a Deployment, or
// as sidecars.
func validFleet(r *rand.Rand, spec Object) {
	resources := Object{
		"requests": Object{"cpu": pick[any](r, 1, "100m", "1.5"), "memory": pick[any](r, 67_108_864, "64Mi", "0.5G")},
		"limits":   Object{"memory": pick[any](r, "1Gi", "1234567890.12345")},
	}
	switch r.IntN(3) {
	case 0:
		spec["mode"] = "Deployment"
		spec["deployment"] = Object{
			"replicas": pick(r, 1, 2, 256), "resources": resources, "nodeSelector": Object{"pool": pick(r, "", "edge")},
			"tolerations": []any{Object{"key": "pool", "operator": pick(r, "Equal", "Exists"), "tolerationSeconds": pick(r, 0, 86_400)}},
			"service":     Object{"type": pick(r, "ClusterIP", "NodePort", "LoadBalancer"), "annotations": Object{"a": "b"}},
		}
	case 1:
		spec["mode"], spec["sidecar"] = "Sidecar", Object{"appPort": pick(r, 2, 9090, 65_534), "resources": resources}
	}
}

func validConfig(r *rand.Rand) Object {
	spec := Object{"part": "Shard", "hash": strings.Repeat("0af9", 16), "payload": "{}"}
	if oneIn(r, 2) {
		spec["part"] = "Index"
		spec["epoch"] = pick(r, json.Number("1"), json.Number("1795262400"), json.Number("32503679999"))
		spec["generation"] = pick(r, json.Number("1"), json.Number("9223372036854775807"))
		spec["reportKey"] = strings.Repeat("Ab+/", 10) + "Abc="
	}
	return spec
}

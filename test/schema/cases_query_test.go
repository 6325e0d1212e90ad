// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema_test

func queryCases() []ruleCase {
	const at = "spec.callbacks[].query"
	var all []ruleCase
	add := func(at, rule string, accept, reject []string) {
		all = append(all, ruleCase{"CallbackRoute", at, rule, accept, reject})
	}
	query := "{spec: {callbacks: [{name: login, path: /cb, query: %s}]}}"
	good := each(query, "[{name: action, value: openid-callback}]")
	add(at, "minItems", good, each(query, "[]"))
	add(at, "maxItems", each(query, list(4, "{name: n%d, value: v}")), each(query, list(5, "{name: n%d, value: v}")))
	add(at, "list-type", each(query, "[{name: a, value: v}, {name: A, value: v}]"), each(query, "[{name: a, value: v}, {name: a, value: w}]"))
	add(at+"[].name", "required", good, each(query, "[{value: v}]"))
	add(at+"[].value", "required", good, each(query, "[{name: a}]"))
	add("spec.callbacks[]", "query needs pathType: Exact",
		append(good, "{spec: {callbacks: [{name: login, path: /cb, pathType: Exact, query: [{name: a, value: b}]}]}}"),
		[]string{"{spec: {callbacks: [{name: login, path: /cb, pathType: Prefix, query: [{name: a, value: b}]}]}}"})
	for field, most := range map[string]int{"name": 64, "value": 256} {
		other := map[string]string{"name": "value", "value": "name"}[field]
		one := "{spec: {callbacks: [{name: login, path: /cb, query: [{" + other + ": a, " + field + ": %q}]}]}}"
		add(at+"[]."+field, "minLength", each(one, "x"), each(one, ""))
		add(at+"[]."+field, "maxLength", each(one, long(most)), each(one, long(most+1)))
		add(at+"[]."+field, "must hold visible ASCII characters without & = # and ;: write it as it is registered, with its percent escapes",
			each(one, "!x~", "a%20b", "a+b", "a[b]", "?", "a.b/c:d"), each(one, "a b", "a&b", "a=b", "a#b", "a;b", "ü", "a\n", "\u007f", " "))
	}
	name := "{spec: {callbacks: [{name: login, path: /cb, query: [{name: %q, value: v}]}]}}"
	add(at+"[].name", "must not be a parameter of a response, such as code or state: name one that the registered URL has",
		each(name, "action", "codes", "x_state", "option"), each(name, "code", "state", "State", "SAMLResponse", "samlart", "logout_token", "error_uri", "ticket"))
	return all
}

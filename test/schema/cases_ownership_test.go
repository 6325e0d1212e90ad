// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"fmt"
	"slices"
	"strings"
)

// ownershipCases are the rules of spec.ownership.
func ownershipCases() []ruleCase {
	var all []ruleCase
	add := func(at, rule string, accept, reject []string) {
		all = append(all, ruleCase{"CallbackRoute", at, rule, accept, reject})
	}
	const (
		at       = "spec.ownership"
		ruleAt   = at + ".rules[]"
		backends = "backends: [{name: blue, service: {name: a, port: 1}, weight: 1}, {name: green, service: {name: b, port: 1}, weight: 0}]"
		toBlue   = "unowned: {type: Backend, backend: blue}"
		cookie   = "{type: Cookie, backend: green, cookie: {name: a}}"
	)
	owned := func(protocol, callbacks, ownership string) string {
		return fmt.Sprintf("{spec: {protocol: %s, callbacks: [%s], %s, ownership: {%s}}}", protocol, callbacks, backends, ownership)
	}
	plain := func(ownership string) string { return owned("OIDC", "{name: login, path: /cb}", ownership) }
	rules := func(list ...string) []string {
		patches := make([]string, len(list))
		for i, rule := range list {
			patches[i] = plain("rules: [" + rule + "], " + toBlue)
		}
		return patches
	}
	good := rules(cookie)

	add(at+".rules", "required", good, []string{plain(toBlue)})
	add(at+".rules", "minItems", good, []string{plain("rules: [], " + toBlue)})
	many := func(n int) string {
		return plain("rules: [" + strings.TrimSuffix(strings.Repeat(cookie+", ", n), ", ") + "], " + toBlue)
	}
	add(at+".rules", "maxItems", []string{many(16)}, []string{many(17)})
	add(at+".unowned", "required", good, []string{plain("rules: [" + cookie + "]")})
	add(at+".enforcement", "enum", []string{plain("enforcement: Enforce, rules: [" + cookie + "], " + toBlue), plain("enforcement: Observe, rules: [" + cookie + "], " + toBlue)},
		[]string{plain("enforcement: observe, rules: [" + cookie + "], " + toBlue)})
	add(at, "enforcement: Observe delivers every callback to the unowned backend: set unowned to {type: Backend, backend: <name>}",
		[]string{plain("enforcement: Enforce, rules: [" + cookie + "], unowned: {type: Reject}")},
		[]string{plain("enforcement: Observe, rules: [" + cookie + "], unowned: {type: Reject}")})

	unowned := func(values ...string) []string {
		return each(plain("rules: ["+cookie+"], unowned: {%s}"), anys(values)...)
	}
	add(at+".unowned.type", "required", good, unowned("backend: blue"))
	add(at+".unowned.type", "enum", unowned("type: Reject", "type: Backend, backend: green"), unowned("type: reject", "type: Restart"))
	add(at+".unowned.backend", "minLength", good, unowned(`type: Backend, backend: ""`))
	add(at+".unowned.backend", "maxLength", good, unowned("type: Backend, backend: "+long(64)))
	add(at+".unowned", "type Backend needs backend, the name of the backend that gets them; type Reject has none",
		unowned("type: Reject"), unowned("type: Backend", "type: Reject, backend: blue"))

	add(ruleAt+".type", "required", good, rules("{backend: green, cookie: {name: a}}"))
	add(ruleAt+".type", "enum", good, rules("{type: cookie, backend: green, cookie: {name: a}}"))
	add(ruleAt+".backend", "minLength", good, rules(`{type: Cookie, backend: "", cookie: {name: a}}`))
	add(ruleAt+".backend", "maxLength", good, rules("{type: Cookie, backend: "+long(64)+", cookie: {name: a}}"))
	all = append(all, memberCases(rules, ruleAt, good)...)
	add(ruleAt, "a rule needs the member of its type and no other: type Cookie needs cookie, State needs state, Issuer needs issuer, Audience needs audience, Connection needs connection",
		rules(cookie, "{type: State, backend: green, state: {prefix: g}}", "{type: Issuer, backend: green, issuer: {value: g}}", "{type: Audience, backend: green, audience: {value: g}}",
			"{type: Connection, connection: {parameter: c, backends: [{name: green, values: [a]}]}}"),
		rules("{type: Cookie, backend: green}", "{type: State, backend: green, cookie: {name: a}}", "{type: Issuer, backend: green, audience: {value: g}}",
			"{type: Cookie, backend: green, cookie: {name: a}, state: {prefix: g}}"))
	add(ruleAt, "a rule needs backend, the name of the backend that owns what it matches; a rule of type Connection names backends in connection.backends instead",
		good, rules("{type: Cookie, cookie: {name: a}}", "{type: Connection, backend: green, connection: {parameter: c, backends: [{name: green, values: [a]}]}}"))

	add("spec", "ownership must name backends of this route: correct the backend of a rule, or of unowned", good,
		slices.Concat(rules("{type: Cookie, backend: teal, cookie: {name: a}}", "{type: Connection, connection: {parameter: c, backends: [{name: teal, values: [a]}]}}"),
			unowned("type: Backend, backend: teal")))
	state := "rules: [{type: State, backend: green, state: {%s}}], " + toBlue
	add("spec", "protocol Opaque has no state, issuer or audience: use ownership rules of type Cookie or Connection",
		[]string{owned("Opaque", "{name: login, path: /cb}", "rules: ["+cookie+"], "+toBlue)},
		[]string{owned("Opaque", "{name: login, path: /cb}", fmt.Sprintf(state, "prefix: g"))})
	saml := func(source string) string {
		return owned("SAML", "{name: login, path: /cb}", fmt.Sprintf(state, "prefix: g"+source))
	}
	add("spec", "state.source is State for OAuth2 and OIDC, RelayState or InResponseTo for SAML",
		[]string{saml(""), saml(", source: RelayState"), saml(", source: InResponseTo"), plain(fmt.Sprintf(state, "prefix: g, source: State"))},
		[]string{saml(", source: State"), plain(fmt.Sprintf(state, "prefix: g, source: RelayState"))})
	segment := "rules: [{type: Connection, connection: {pathSegment: 1, backends: [{name: green, values: [a]}]}}], " + toBlue
	add("spec", "connection.pathSegment counts segments behind the path of a Prefix callback: add a callback with pathType: Prefix, or use connection.parameter",
		[]string{owned("SAML", "{name: login, path: /cb}, {name: all, path: /saml, pathType: Prefix}", segment)},
		[]string{owned("SAML", "{name: login, path: /cb}", segment)})
	return all
}

// memberCases are the rules of the members of an ownership rule.
func memberCases(rules func(...string) []string, at string, good []string) []ruleCase {
	var all []ruleCase
	add := func(at, rule string, accept, reject []string) {
		all = append(all, ruleCase{"CallbackRoute", at, rule, accept, reject})
	}
	of := func(format string, values ...string) []string { return rules(each(format, anys(values)...)...) }
	texts := func(at, format string, most int) {
		for _, c := range []struct {
			rule           string
			accept, reject []string
		}{
			{"minLength", of(format, "a"), of(format, `""`)},
			{"maxLength", of(format, long(most)), of(format, long(most+1))},
			{"must be visible ASCII without quotes and backslashes", of(format, `"!#$%&'()*+,-./:;<=>?@[]^_{|}~"`), of(format, `"a b"`, `"a\tb"`, `'a"b'`, `'a\b'`, `"ü"`)},
		} {
			add(at, c.rule, c.accept, c.reject)
		}
	}
	cookie, state := "{type: Cookie, backend: green, cookie: {%s}}", "{type: State, backend: green, state: {%s}}"
	texts(at+".cookie.name", "{type: Cookie, backend: green, cookie: {name: %s}}", 128)
	texts(at+".cookie.namePrefix", "{type: Cookie, backend: green, cookie: {namePrefix: %s}}", 128)
	texts(at+".cookie.valuePrefix", "{type: Cookie, backend: green, cookie: {name: a, valuePrefix: %s}}", 128)
	add(at+".cookie", "set either name, or namePrefix where the name ends with a value of its own",
		of(cookie, "name: a", "namePrefix: a"), of(cookie, "valuePrefix: a", "name: a, namePrefix: a"))
	texts(at+".state.prefix", "{type: State, backend: green, state: {prefix: %s}}", 64)
	add(at+".state.source", "enum", good, of(state, "prefix: a, source: state"))
	add(at+".state.length", "minimum", of(state, "length: 1, alphabet: Hex"), of(state, "length: 0, alphabet: Hex"))
	add(at+".state.length", "maximum", of(state, "length: 1024, alphabet: Hex"), of(state, "length: 1025, alphabet: Hex"))
	add(at+".state.alphabet", "enum", of(state, "length: 9, alphabet: Digits", "length: 9, alphabet: Alphanumeric", "length: 9, alphabet: Base64", "length: 9, alphabet: Base64URL"),
		of(state, "length: 9, alphabet: hex"))
	add(at+".state", "set either prefix, or both length and alphabet",
		of(state, "prefix: a", "length: 9, alphabet: Hex"), of(state, "source: State", "length: 9", "alphabet: Hex", "prefix: a, length: 9, alphabet: Hex"))
	for _, member := range []string{"issuer", "audience"} {
		name := strings.ToUpper(member[:1]) + member[1:]
		add(at+"."+member+".value", "required", good, rules("{type: "+name+", backend: green, "+member+": {}}"))
		texts(at+"."+member+".value", "{type: "+name+", backend: green, "+member+": {value: %s}}", 1024)
	}
	connection := "{type: Connection, connection: {%s}}"
	backend := "{type: Connection, connection: {parameter: c, backends: [%s]}}"
	texts(at+".connection.parameter", "{type: Connection, connection: {parameter: %s, backends: [{name: green, values: [a]}]}}", 64)
	add(at+".connection", "set either parameter or pathSegment", of(backend, "{name: green, values: [a]}"),
		of(connection, "backends: [{name: green, values: [a]}]", "parameter: c, pathSegment: 1, backends: [{name: green, values: [a]}]"))
	segment := func(n int) string {
		return fmt.Sprintf("{spec: {callbacks: [{name: all, path: /saml, pathType: Prefix}], ownership: {rules: [{type: Connection, connection: {pathSegment: %d, backends: [{name: blue, values: [a]}]}}], unowned: {type: Reject}}}}", n)
	}
	add(at+".connection.pathSegment", "minimum", []string{segment(1)}, []string{segment(0)})
	add(at+".connection.pathSegment", "maximum", []string{segment(16)}, []string{segment(17)})
	add(at+".connection.backends", "required", good, of(connection, "parameter: c"))
	add(at+".connection.backends", "minItems", good, of(connection, "parameter: c, backends: []"))
	add(at+".connection.backends", "maxItems", good, of(connection, "parameter: c, backends: "+list(9, "{name: b%d, values: [a]}")))
	add(at+".connection.backends", "list-type", of(backend, "{name: green, values: [a]}, {name: blue, values: [b]}"), of(backend, "{name: green, values: [a]}, {name: green, values: [b]}"))
	add(at+".connection.backends[].name", "required", good, of(backend, "{values: [a]}"))
	add(at+".connection.backends[].name", "minLength", good, of(backend, `{name: "", values: [a]}`))
	add(at+".connection.backends[].name", "maxLength", good, of(backend, "{name: "+long(64)+", values: [a]}"))
	add(at+".connection.backends[].values", "required", good, of(backend, "{name: green}"))
	add(at+".connection.backends[].values", "minItems", good, of(backend, "{name: green, values: []}"))
	add(at+".connection.backends[].values", "maxItems", of(backend, "{name: green, values: "+list(10000, "v%d")+"}"), of(backend, "{name: green, values: "+list(10001, "v%d")+"}"))
	add(at+".connection.backends[].values[]", "minLength", good, of(backend, `{name: green, values: [""]}`))
	add(at+".connection.backends[].values[]", "maxLength", of(backend, "{name: green, values: ["+long(64)+"]}"), of(backend, "{name: green, values: ["+long(65)+"]}"))
	add(at+".connection.backends[].values[]", "pattern", of(backend, `{name: green, values: ["a:b"]}`), of(backend, `{name: green, values: ["a b"]}`, `{name: green, values: ['a"']}`))
	return all
}

// anys converts values for each.
func anys(values []string) []any {
	converted := make([]any, len(values))
	for i, value := range values {
		converted[i] = value
	}
	return converted
}

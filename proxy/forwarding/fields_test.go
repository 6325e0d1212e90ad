// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package forwarding

// fields_test.go: what becomes of each field, by peer and by spelling.

import (
	"slices"
	"strings"
	"testing"
)

// outcome is which lines are relayed: of a callback and of a request for an
// application, from any peer and from a trusted one.
type outcome struct{ callback, callbackTrusted, passed, passedTrusted bool }

var (
	never     = outcome{}
	always    = outcome{true, true, true, true}
	byTrusted = outcome{callbackTrusted: true, passedTrusted: true}
	byPassing = outcome{passed: true, passedTrusted: true}
)

// relays returns the outcome of a field.
func relays(name string) outcome {
	line := name + ":\tFORGED "
	is := func(lines []string) bool { return slices.Contains(lines, line) }
	callback, _ := callbackLines(false, line)
	callbackTrusted, _ := callbackLines(true, line)
	return outcome{is(callback), is(callbackTrusted), is(passedLines(false, line)), is(passedLines(true, line))}
}

// table returns the outcome that is wanted of each field name.
func table() map[string]outcome {
	all := map[string]outcome{}
	for wanted, names := range map[outcome][]string{
		never: append(slices.Clone(oursNames), envoyNames...), byTrusted: claims(), byPassing: append(slices.Clone(tracedNames), expectNames...),
		always: relayedNames,
	} {
		for _, name := range names {
			all[name] = wanted
		}
	}
	return all
}

// T7: a field that only a proxy may set is relayed only from a trusted one, and
// those that steer a mesh from none.
func TestT7_EachFieldByItsPeer(t *testing.T) {
	for name, want := range table() {
		for _, spelling := range spellings(name) {
			if got := relays(spelling); got != want {
				t.Errorf("%s: relayed is %+v, want %+v", spelling, got, want)
			}
		}
	}
}

// W9: an underscore may be read as a hyphen. A callback's field with one is
// dropped, unless a trusted peer sends it and its hyphenated name would pass.
func TestT7_EachFieldWithUnderscores(t *testing.T) {
	for name, hyphened := range table() {
		want := hyphened
		want.callback = false
		for _, spelling := range underscored(name) {
			if got := relays(spelling); got != want {
				t.Errorf("%s: relayed is %+v, want %+v", spelling, got, want)
			}
			for _, trusted := range []bool{true, false} {
				_, dropped := callbackLines(trusted, "Cookie: a", spelling+": x", "X-Other: b", spelling+": y")
				if relayed := trusted && want.callbackTrusted; (dropped == 0) != relayed || dropped != 0 && dropped != 2 {
					t.Errorf("%s, trusted %t: %d dropped", spelling, trusted, dropped)
				}
			}
		}
	}
	for _, name := range []string{"_", "Cookie_", "_x", "a_b"} {
		if got := relays(name); got != (outcome{callbackTrusted: true, passed: true, passedTrusted: true}) {
			t.Errorf("%s: relayed is %+v", name, got)
		}
	}
}

// The lists of the code are those of the tests.
func TestFates_AreComplete(t *testing.T) {
	named := slices.Concat(oursNames, tracedNames, expectNames, claimNames, []string{"x-envoy-retry-on"})
	for name := range fates {
		if !slices.Contains(named, name) {
			t.Errorf("no test has %s", name)
		}
	}
	for _, prefix := range claimPrefixes {
		if prefix != envoy && !slices.Contains(prefixes, prefix) {
			t.Errorf("no test has %s", prefix)
		}
		if !strings.ContainsRune("xpsctrom", rune(prefix[0])) {
			t.Errorf("%s is not looked for", prefix)
		}
	}
	for name := range fates {
		if name != strings.ToLower(name) || len(name) > maxName {
			t.Errorf("%s cannot be found", name)
		}
	}
}

// P3: lines are relayed byte for byte, in their order, and the proxy's follow.
func TestAppend_KeepsOrderAndSpelling(t *testing.T) {
	lines := []string{
		"cookie:a=1; b=\"x y\"", "X-b:  2\t", "USER-AGENT: t/1", "Cookie: c=%zz", "x-B:", "Accept-Encoding:\tgzip, br ", "X-Raw: \xe9\xff", "x-b:3",
	}
	sent := slices.Insert(slices.Clone(lines), 3, "Via: x", "Connection: close", "x-forwarded-For: FORGED")
	own := []string{
		"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: " + host, "X-Forwarded-Proto: https",
		`Forwarded: for=192.0.2.1;host="` + host + `";proto=https`,
	}
	got, dropped := callbackLines(false, sent...)
	if want := slices.Concat(lines, own, []string{"X-Request-Id: " + requestID, "Via: " + via}); !slices.Equal(got, want) || dropped != 0 {
		t.Errorf("callback has\n%q, want\n%q (%d dropped)", got, want, dropped)
	}
	want := slices.Concat(slices.Insert(slices.Clone(lines), 3, "Via: x"), own)
	if got := passedLines(false, sent...); !slices.Equal(got, want) {
		t.Errorf("application gets\n%q, want\n%q", got, want)
	}
	// Given lines stay before.
	r := requestOf("A: 1")
	if got := AppendPassed([]string{"B: 2"}, r, &Origin{}); got[0] != "B: 2" || got[1] != "A: 1" {
		t.Errorf("lines are %q", got)
	}
}

// B5: fields that Connection names end here, from trusted peers too. It cannot
// name away what the proxy sets.
func TestConnection_NamesFieldsThatEndHere(t *testing.T) {
	sent := []string{
		"Connection: x-forwarded-for, X-Forwarded-Proto,X-FORWARDED-HOST, forwarded, via,x-request-id,host", "connection:close , X-Secret,,x-real-ip",
		"CONNECTION: keep-alive,\tX-Under_Score", "X-Secret: FORGED", "x-secret:FORGED", "X-Real-Ip: FORGED", "X-Under_Score: FORGED", "Close: a",
		"Keep: b", "X-Secrets: c", "X-Kept: d",
	}
	for _, trusted := range []bool{true, false} {
		callback, _ := callbackLines(trusted, sent...)
		for kind, got := range map[string][]string{"callback": callback, "passed": passedLines(trusted, sent...)} {
			all := strings.Join(got, "\n")
			if strings.Contains(all, "FORGED") {
				t.Errorf("%s, trusted %t: lines are %q", kind, trusted, got)
			}
			for _, line := range []string{
				"Close: a", "Keep: b", "X-Secrets: c", "X-Kept: d", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: " + host,
			} {
				if !slices.Contains(got, line) {
					t.Errorf("%s, trusted %t: no line %q in %q", kind, trusted, line, got)
				}
			}
			if kind == "callback" && (!slices.Contains(got, "Via: "+via) || !slices.Contains(got, "X-Request-Id: "+requestID)) {
				t.Errorf("trusted %t: lines are %q", trusted, got)
			}
		}
	}
}

// For any field of a client, the next server gets the fields of a proxy from the
// proxy alone.
func FuzzAppend(f *testing.F) {
	f.Add("X-Forwarded-For", "1.1.1.1", "keep-alive, x-forwarded-for")
	f.Add("Via", "1.1 edge.ns.callbackproxy", "close")
	f.Add("x-ssl_client-cert", "FORGED", ",,a,")
	f.Add("OIDC_CLAIM_"+strings.Repeat("x", 100), "FORGED", "")
	forbidden := map[string]bool{}
	for _, name := range slices.Concat(oursNames, claimNames) {
		forbidden[name] = true
	}
	f.Fuzz(func(t *testing.T, name, value, connection string) {
		if name == "" || strings.ContainsAny(name, ": \t") {
			return // the parser refuses them
		}
		lines := []string{"connection: " + connection, name + ": " + value}
		callback, _ := callbackLines(false, lines...)
		plain := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		claim := forbidden[plain] || slices.ContainsFunc(append(prefixes, envoy), func(p string) bool { return strings.HasPrefix(plain, p) })
		own := len([]string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"})
		if n := len(callback) - own - len([]string{"X-Request-Id", "Via"}); n > 1 || n == 1 && (claim || strings.Contains(name, "_") || callback[0] != lines[1]) {
			t.Fatalf("callback has %q", callback)
		}
		if passed := passedLines(false, lines...); len(passed) > own+1 || len(passed) > own && (claim || passed[0] != lines[1]) {
			t.Fatalf("application gets %q", passed)
		}
	})
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"math/rand/v2"
	"net/url"
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// guarded is a table with a few callbacks and its index.
func guarded() (*routetable.Matcher, *callbackIndex) {
	table := &routetable.Table{Routes: []routetable.Route{
		newRoute(nil),
		newRoute(func(r *routetable.Route) { r.Name, r.Path = "deep", "/oauth2/v1.0/callback" }),
		newRoute(func(r *routetable.Route) { r.Name, r.Path = "odd", "/Cb.(x)=y/" }),
		newRoute(func(r *routetable.Route) { r.Name, r.Path, r.PathType = "prefix", "/saml/acs", routetable.Prefix }),
	}}
	return routetable.NewMatcher(table), newCallbackIndex(table)
}

// steps are what servers are known to do to a path before they look it up.
var steps = []func(string) string{
	func(p string) string { // decode
		if decoded, err := url.PathUnescape(p); err == nil {
			return decoded
		}
		return p
	},
	path.Clean,
	func(p string) string { // drop parameters, as servlet containers do
		segments := strings.Split(p, "/")
		for i := range segments {
			segments[i], _, _ = strings.Cut(segments[i], ";")
		}
		return strings.Join(segments, "/")
	},
	func(p string) string { return strings.ReplaceAll(p, `\`, "/") },
	func(p string) string { before, _, _ := strings.Cut(p, "?"); return before },
	func(p string) string { before, _, _ := strings.Cut(p, "#"); return before },
	func(p string) string { before, _, _ := strings.Cut(p, "\x00"); return before },
	func(p string) string { before, _, _ := strings.Cut(p, ";"); return before },
	func(p string) string { return strings.ReplaceAll(p, "//", "/") },
	func(p string) string { return strings.TrimRight(p, ". ") },
	func(p string) string { return strings.TrimSuffix(p, "/") },
	strings.ToLower,
	strings.TrimSpace,
	func(p string) string { return strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(p) },
}

// noise is what an attacker puts between the parts of a path.
var noise = []string{
	"/", "//", "/./", "/../", "/x/../", "%2f", "%2F", "%252f", `\`, "%5c", ";", ";x=1", ";/..", "%3b", "%3Bx", ".", "%2e", "..;/", "%00", "%3f", "?",
	"#", "%23", "%20", " ", "%09", "%25", "%", "%2525", "cb", "%63b", "c%62", "CB", "saml", "acs", "%73aml", "oauth2", "v1.0", "callback", "(x)", "x", "=y", "é", "%c3%a9",
}

// readings returns everything that servers make of a path, by any of the steps
// in any order.
func readings(raw string) []string {
	all, known := []string{raw}, map[string]bool{raw: true}
	for i := 0; i < len(all); i++ {
		for _, step := range steps {
			if read := step(all[i]); !known[read] {
				known[read] = true
				all = append(all, read)
			}
		}
	}
	return all
}

// What some server would make a callback of is never passed.
func TestMayMean_EveryReading(t *testing.T) {
	matcher, index := guarded()
	random := rand.New(rand.NewPCG(1, 2))
	meant, passed := 0, 0
	for range 20_000 {
		raw := "/"
		for range random.IntN(8) {
			raw += noise[random.IntN(len(noise))]
		}
		may := index.mayMean(host, raw)
		if !may {
			passed++
		}
		for _, read := range readings(raw) {
			if _, found := matcher.Match(host, read); found {
				meant++
				if !may {
					t.Fatalf("%q would be passed, and may be read as %q", raw, read)
				}
			}
		}
	}
	if t.Logf("%d readings were callbacks, %d paths passed", meant, passed); meant < 1000 || passed < 1000 {
		t.Error("too few")
	}
}

// From a callback's path, every known way of spelling it otherwise is found.
func TestMayMean_EverySpelling(t *testing.T) {
	_, index := guarded()
	spell := []func(*rapid.T, string) string{
		func(t *rapid.T, p string) string { // escape a byte
			at := rapid.IntRange(0, len(p)-1).Draw(t, "at")
			return p[:at] + "%" + string("0123456789abcdef"[p[at]>>4]) + string("0123456789ABCDEF"[p[at]&15]) + p[at+1:]
		},
		func(t *rapid.T, p string) string { // after a slash
			slashes := indexes(p, '/')
			if len(slashes) == 0 {
				return p // all of them are escaped
			}
			at := rapid.SampledFrom(slashes).Draw(t, "slash") + 1
			return p[:at] + rapid.SampledFrom([]string{"/", "./", "x/../", ".;/", `.\`, "x;y/%2e%2e/"}).Draw(t, "insert") + p[at:]
		},
		func(t *rapid.T, p string) string {
			return p + rapid.SampledFrom([]string{"/", ";x", "/.", "%20", ".", "?", "%3fx", "#", "%00", "/x/.."}).Draw(t, "end")
		},
		func(_ *rapid.T, p string) string { return strings.ToUpper(p) },
	}
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.SampledFrom([]string{"/cb", "/oauth2/v1.0/callback", "/Cb.(x)=y/", "/saml/acs", "/saml/acs/x"}).Draw(t, "path")
		raw := path
		for range rapid.IntRange(0, 2).Draw(t, "times") {
			raw = rapid.SampledFrom(spell).Draw(t, "spell")(t, raw)
		}
		for _, name := range []string{host, "AUTH.acme.com.", host + ":443", "", "10.0.0.1", "[fd00::1]:80", host + "..", "user@" + host, "auth%2eacme.com", anyHost} {
			if !index.mayMean(name, raw) {
				t.Fatalf("%q on %q would be passed: it may mean %q", raw, name, path)
			}
		}
	})
}

func indexes(s string, c byte) []int {
	var found []int
	for i := range len(s) {
		if s[i] == c {
			found = append(found, i)
		}
	}
	return found
}

// What is nothing of ours is passed, odd as it may be.
func TestMayMean_LeavesTheRest(t *testing.T) {
	_, index := guarded()
	for _, raw := range []string{
		"/", "//", "/login", "/cbx", "/cb/x", "/x/cb", "/a//b", "/a;v=1/b", "/%2e%2e/etc", "/saml", "/saml/acsx", "/acs/saml", "/100%25", "/é", "/%e4%f6",
		"/oauth2/callback", "/a/b/../c", `/a\b`, "/x%2fy", "/.well-known/openid-configuration", "/assets/app.min.js",
	} {
		if index.mayMean(host, raw) {
			t.Errorf("%q is not passed", raw)
		}
		if index.mayMean("other.acme.com", raw) || index.mayMean("localhost:8080", "/cb") {
			t.Errorf("%q on another host is not passed", raw)
		}
	}
}

func FuzzMayMean(f *testing.F) {
	for _, seed := range []string{"/cb", "/%63b", "/x/..;/cb", "/saml%2facs", "/cb%3fx", "//", "/%25%32%35"} {
		f.Add(host, seed, uint64(0x21))
	}
	f.Add("10.0.0.1", "/cb", uint64(1))
	matcher, index := guarded()
	f.Fuzz(func(t *testing.T, name, raw string, order uint64) {
		read := raw
		for range 8 {
			read, order = steps[order%uint64(len(steps))](read), order/uint64(len(steps))
			if _, found := matcher.Match(host, read); found && !index.mayMean(host, raw) {
				t.Fatalf("%q would be passed, and may be read as %q", raw, read)
			}
		}
		if _, found := matcher.Match(name, raw); found && !index.mayMean(name, raw) {
			t.Fatalf("%q on %q is a callback and would be passed", raw, name)
		}
	})
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package pathfold

import (
	"math/rand/v2"
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const host = "auth.acme.com"

// guarded is a table with a few callbacks and its index.
func guarded() (*routetable.Matcher, *Index) {
	table := &routetable.Table{
		Routes: []routetable.Route{{Hostnames: []string{host}, Callbacks: []routetable.Callback{
			{PathType: routetable.Exact, Path: "/cb"},
			{PathType: routetable.Exact, Path: "/oauth2/v1.0/callback"},
			{PathType: routetable.Exact, Path: "/Cb.(x)=y/"},
		}}},
		Holds: []routetable.Hold{{Claims: []routetable.Claim{{Host: host, PathType: routetable.Prefix, Path: "/saml/acs"}}}},
	}
	return routetable.NewMatcher(table), NewIndex(table)
}

func mayMean(x *Index, host, raw string) bool { return x.Read(host, raw, "").Callback }

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
	inCharset(func(p string) string { return strings.ToValidUTF8(p, "") }), // drop what is no UTF-8
	inCharset(func(p string) string { // read Latin-1, and drop its accents and blanks
		if utf8.ValidString(p) {
			return p
		}
		runes := make([]rune, len(p))
		for i := range len(p) {
			runes[i] = rune(p[i])
		}
		return strings.NewReplacer("\u00e7", "c", "\u00a0", "", "\u0085", "").Replace(string(runes))
	}),
	inCharset(func(p string) string { // overlong spellings of UTF-8
		if read := strings.NewReplacer("\xc0\xaf", "/", "\xc1\xa3", "c").Replace(p); read != p {
			return strings.ToValidUTF8(read, "")
		}
		return p
	}),
	inCharset(func(p string) string { // variants of ASCII
		if !utf8.ValidString(p) {
			return p
		}
		return strings.NewReplacer("\u00e7", "c", "\uff0f", "/", "\uff43", "c").Replace(p)
	}),
	func(p string) string { // a front controller
		if rest, is := strings.CutPrefix(p, "/index.php/"); is {
			return "/" + rest
		}
		return p
	},
	func(p string) string { return strings.Replace(p, "/(S(x))/", "/", 1) }, // a session of ASP.NET
}

// inCharset does a step that a server does in one charset for a whole path, after it
// decoded the escapes.
func inCharset(step func(string) string) func(string) string {
	return func(p string) string {
		if strings.Contains(p, "%") {
			return p
		}
		return step(p)
	}
}

// noise is a set of strings that an attacker puts between the parts of a path.
var noise = []string{
	"/", "//", "/./", "/../", "/x/../", "%2f", "%2F", "%252f", `\`, "%5c", ";", ";x=1", ";/..", "%3b", "%3Bx", ".", "%2e", "..;/", "%00", "%3f", "?",
	"#", "%23", "%20", " ", "%09", "%25", "%", "%2525", "cb", "%63b", "c%62", "CB", "saml", "acs", "%73aml", "oauth2", "v1.0", "callback", "(x)", "x", "=y", "é", "%c3%a9",
	"\xa0", "%a0", "%85", "\xe7b", "%e7b", "%c3%a7", "\uff0f", "%ef%bd%83b", "%c0%af", "%c1%a3", "/index.php/", "/(S(x))/", "%u0063b", "\u200b",
}

// readingsOf returns all that servers read a path as, by any of the steps in any
// order.
func readingsOf(raw string) []string {
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

// A path that some server would read as a callback is never passed.
func TestMayMean_EveryReading(t *testing.T) {
	matcher, index := guarded()
	random := rand.New(rand.NewPCG(1, 2))
	meant, passed := 0, 0
	for range 6_000 {
		raw := "/"
		for range random.IntN(8) {
			raw += noise[random.IntN(len(noise))]
		}
		may := mayMean(index, host, raw)
		if !may {
			passed++
		}
		for _, read := range readingsOf(raw) {
			if _, found := matcher.Match(host, read, ""); found {
				meant++
				if !may {
					t.Fatalf("%q would be passed, and may be read as %q", raw, read)
				}
			}
		}
	}
	if t.Logf("%d readings were callbacks, %d paths passed", meant, passed); meant < 300 || passed < 1000 {
		t.Error("too few")
	}
}

// Every other known spelling of a callback's path is found.
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
			if !mayMean(index, name, raw) {
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

// An odd path that cannot mean a callback is passed.
func TestMayMean_LeavesTheRest(t *testing.T) {
	_, index := guarded()
	for _, raw := range []string{
		"/", "//", "/login", "/cbx", "/cb/x", "/x/cb", "/a//b", "/a;v=1/b", "/%2e%2e/etc", "/saml", "/saml/acsx", "/acs/saml", "/100%25", "/é", "/%e4%f6",
		"/\u65e5\u672c", "/%e6%97%a5", "/stra%c3%9fe", "/index.php", "/index.php/other", "/wp/index.php/cb/x.php", "/(S(x))/other", "/(a)/b",
		"/cb.json", "/cb.json/x", "/a/b/../c", `/a\b`, "/x%2fy", "/.well-known/openid-configuration", "/assets/app.min.js",
	} {
		if mayMean(index, host, raw) {
			t.Errorf("%q is not passed", raw)
		}
		if mayMean(index, "other.acme.com", raw) || mayMean(index, "localhost:8080", "/cb") {
			t.Errorf("%q on another host is not passed", raw)
		}
	}
}

// W32: a path that is registered in an odd spelling guards all that folds to the
// same path, and no more.
func TestW32_MayMean_OddSpelling(t *testing.T) {
	exact := func(paths ...string) *Index {
		route := routetable.Route{Hostnames: []string{host}}
		for _, declared := range paths {
			route.Callbacks = append(route.Callbacks, routetable.Callback{PathType: routetable.Exact, Path: declared})
		}
		return NewIndex(&routetable.Table{Routes: []routetable.Route{route}})
	}
	for _, tc := range []struct {
		declared     string
		guards, rest []string
	}{
		{"/a%2Fb", []string{"/a/b", "/a%2fb", "/A%2FB", "/a//b", "/a;x/b"}, []string{"/a", "/b", "/a/c", "/ab"}},
		{"/cb;v=1", []string{"/cb", "/cb;v=2", "/cb%3bv=1", "/CB"}, []string{"/cbx", "/c", "/x;v=1"}},
		{"/a//b", []string{"/a/b", "/a/./b", "/a///b"}, []string{"/a", "/b//a"}},
		{"/%63b", []string{"/cb", "/%43b", "/c%62"}, []string{"/c", "/x%63b"}},
		{"/x%00y", nil, []string{"/", "/x", "/xy", "/a;b"}},   // has no folded form: its own bytes are found by the matcher
		{"/%2525252541", nil, []string{"/A", "/%41", "/a;b"}}, // escaped too often
	} {
		index := exact(tc.declared)
		for _, raw := range tc.guards {
			if !mayMean(index, host, raw) {
				t.Errorf("%s is declared, and %s would be passed", tc.declared, raw)
			}
		}
		for _, raw := range tc.rest {
			if mayMean(index, host, raw) {
				t.Errorf("%s is declared, and %s is not passed", tc.declared, raw)
			}
		}
	}
}

// F71: a path with something after a callback's that servers may read as no part of
// it is found, and may be the application's.
func TestF71_Suffixed(t *testing.T) {
	_, index := guarded()
	for raw, want := range map[string]string{
		"/cb/x": "/cb", "/cb/x/y.z": "/cb", "/cb.json": "/cb", "/CB.Json": "/cb", "/cb.json/x": "/cb", "/cb%2ejson": "/cb", "/cb.php;v=1": "/cb", "/x/..;/cb.xml": "/cb",
		"/oauth2/v1.0/callback.html": "/oauth2/v1.0/callback", "/oauth2/v1.0/callback/google": "/oauth2/v1.0/callback", "/index.php/cb.json": "/cb",
		"/saml/acs.php": "hold", "/cb\xa0/x": "/cb",
		"/": "", "/cbx": "", "/cb.": "callback", "/cb.1": "", "/cb.abcdefghi": "", "/.cb": "", "/x/cb.json": "", "/saml.php/acs": "", "/oauth2/v1/callback/x": "", "/cbjson": "",
	} {
		got := index.Read(host, raw, "")
		switch {
		case want == "callback":
			if !got.Callback {
				t.Errorf("%q is no callback", raw)
			}
		case got.Callback:
			t.Errorf("%q is a callback in another spelling", raw)
		case want == "" && len(got.Suffixed) > 0, want != "" && (len(got.Suffixed) == 0 || pathOf(got.Suffixed[0]) != want):
			t.Errorf("%q is %v, want %q", raw, got.Suffixed, want)
		}
	}
	if got := index.Read("other.acme.com", "/cb.json", ""); got.Callback || got.Suffixed != nil {
		t.Errorf("on another host: %+v", got)
	}
}

func pathOf(m routetable.Match) string {
	if m.Hold != nil {
		return "hold"
	}
	return m.Callback.Path
}

// W38: of a callback that a query tells apart, only requests are found that some
// server may read as having its parameters.
func TestW38_Read_Query(t *testing.T) {
	index := NewIndex(&routetable.Table{Routes: []routetable.Route{{Hostnames: []string{host}, Callbacks: []routetable.Callback{
		{PathType: routetable.Exact, Path: "/ajax.php", Query: "action=open%20id&tenant=1"},
	}}}})
	for query, want := range map[string]bool{
		"action=open%20id&tenant=1": true, "tenant=1&x=2&action=open+id": true, "%61ction=Open%20ID&tenant=%31": true, "action=other&action=open+id&tenant=1": true,
		"action=open%2520id&tenant=1": true, "ACTION[]=open+id;tenant=1": true, "action=open%u0020id&tenant=1": true, "+action=open+id%00&tenant=1": true,
		"": false, "action=open%20id": false, "action=openid&tenant=1": false, "action=open%20id&tenant=10": false, "xaction=open%20id&tenant=1": false, "open%20id&1": false,
	} {
		if got := index.Read(host, "/ajax.php", query).Callback; got != want {
			t.Errorf("%q may mean the callback: %v", query, got)
		}
		if got := index.Read(host, "/ajax.php/x", query).Suffixed != nil; got != want {
			t.Errorf("%q may mean the callback after its path: %v", query, got)
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
			if _, found := matcher.Match(host, read, ""); found && !mayMean(index, host, raw) {
				t.Fatalf("%q would be passed, and may be read as %q", raw, read)
			}
		}
		if _, found := matcher.Match(name, raw, ""); found && !mayMean(index, name, raw) {
			t.Fatalf("%q on %q is a callback and would be passed", raw, name)
		}
	})
}

// BenchmarkMayMean is the cost for each request of a sidecar.
func BenchmarkMayMean(b *testing.B) {
	_, index := guarded()
	for name, raw := range map[string]string{"plain": "/api/v1/users/42/settings", "odd": "/api//v1/%2e%2e/users;v=1"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mayMean(index, host, raw)
			}
		})
	}
}

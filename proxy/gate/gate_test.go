// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const maxBody = 1 << 20

// get returns the head of a plain GET.
func get(target string) Head {
	return Head{Method: http.MethodGet, Target: target, Length: -1, MaxLength: maxBody}
}

func TestCheckHead(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Head)
		status int
		reason Reason
	}{
		{"a callback", func(*Head) {}, 0, ""},
		{"HEAD", func(h *Head) { h.Method = "HEAD" }, 0, ""},
		{"OPTIONS", func(h *Head) { h.Method = "OPTIONS" }, 0, ""},
		{"PUT with a body", func(h *Head) { h.Method, h.Length = "PUT", 12 }, 0, ""},
		{"DELETE without a body", func(h *Head) { h.Method = "DELETE" }, 0, ""},
		{"a method of no standard", func(h *Head) { h.Method = "get" }, 0, ""},
		{"CONNECT", func(h *Head) { h.Method = "CONNECT" }, 405, MethodNotAllowed},
		{"TRACE", func(h *Head) { h.Method = "TRACE" }, 405, MethodNotAllowed},

		{"absolute form", func(h *Head) { h.Target = "http://auth.acme.com/oauth2/callback" }, 400, TargetForm},
		{"authority form", func(h *Head) { h.Method, h.Target = "CONNECT", "auth.acme.com:443" }, 400, TargetForm},
		{"asterisk form", func(h *Head) { h.Method, h.Target = "OPTIONS", "*" }, 400, TargetForm},
		{"no target", func(h *Head) { h.Target = "" }, 400, TargetForm},

		{"a form post", func(h *Head) { h.Method, h.Length = "POST", 12 }, 0, ""},
		{"an empty form post", func(h *Head) { h.Method, h.Length = "POST", 0 }, 0, ""},
		{"a form post in chunks", func(h *Head) { h.Method, h.Chunked = "POST", true }, 0, ""},
		{"POST without length", func(h *Head) { h.Method = "POST" }, 411, NoLength},
		{"a GET that declares no body", func(h *Head) { h.Length = 0 }, 0, ""},
		{"GET with a body", func(h *Head) { h.Length = 1 }, 400, BodyNotAllowed},
		{"GET in chunks", func(h *Head) { h.Chunked = true }, 400, BodyNotAllowed},
		{"HEAD with a body", func(h *Head) { h.Method, h.Length = "HEAD", 1 }, 400, BodyNotAllowed},
		{"HEAD in chunks", func(h *Head) { h.Method, h.Chunked = "HEAD", true }, 400, BodyNotAllowed},
		{"largest body", func(h *Head) { h.Method, h.Length = "POST", maxBody }, 0, ""},
		{"body too large", func(h *Head) { h.Method, h.Length = "POST", maxBody+1 }, 413, BodyTooLarge},
		{"PUT, body too large", func(h *Head) { h.Method, h.Length = "PUT", maxBody+1 }, 413, BodyTooLarge},

		{"Expect", func(h *Head) { h.Expects = "100-continue" }, 0, ""},
		{"Expect in capitals", func(h *Head) { h.Expects = "100-Continue" }, 0, ""},
		{"another expectation", func(h *Head) { h.Expects = "200-ok" }, 417, Expectation},
		{"two expectations", func(h *Head) { h.Expects = "100-continue, x" }, 417, Expectation},

		{"prefetch", func(h *Head) { h.Purpose = "prefetch" }, 403, Prefetch},
		{"prerender", func(h *Head) { h.Purpose = "prefetch;prerender" }, 403, Prefetch},
		{"blanks and capitals", func(h *Head) { h.Purpose = " Prefetch ; anonymous-client-ip" }, 403, Prefetch},
		{"as a parameter", func(h *Head) { h.Purpose = "x;prefetch" }, 403, Prefetch},
		{"another purpose", func(h *Head) { h.Purpose = "prefetching" }, 0, ""},

		{"a field twice", func(h *Head) { h.Twice = true }, 400, HeaderTwice},
		{"declared path", func(h *Head) { h.Target, h.PathDeclared = "//sale/50%;x/%2e%2e?code=c", true }, 0, ""},
		{"declared path, bad query", func(h *Head) { h.Target, h.PathDeclared = "//a?b#c", true }, 400, QueryBytes},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := get("/oauth2/callback?code=c&state=s")
			tc.change(&h)
			expect(t, CheckHead(&h), tc.status, tc.reason)
		})
	}
}

func TestOnce_FindsFieldsThatMayNotBeRepeated(t *testing.T) {
	for _, name := range onlyOnce {
		for _, again := range []string{name, strings.ToUpper(name), http.CanonicalHeaderKey(name)} {
			var once Once
			for _, noted := range []string{"Cookie", name, "x-" + name, name + "s", "Cookie", name + "_"} {
				once.Note(noted)
			}
			for _, other := range onlyOnce {
				if other != name {
					once.Note(other)
				}
			}
			if once.Twice {
				t.Errorf("%s counts twice", name)
			}
			if once.Note(again); !once.Twice {
				t.Errorf("%s beside %s passes", again, name)
			}
			if once.Note("cookie"); !once.Twice {
				t.Errorf("%s is forgotten", name)
			}
		}
	}
}

func expect(t *testing.T, got *Refusal, status int, reason Reason) {
	t.Helper()
	switch {
	case got == nil && status != 0:
		t.Errorf("passed, want %d %s", status, reason)
	case got != nil && (got.Status != status || got.Reason != reason):
		t.Errorf("refused with %d %s, want %d %q", got.Status, got.Reason, status, reason)
	}
}

// paths is the corpus of B1: what passes, and what two parsers have been seen
// to read as two paths.
var paths = []struct {
	path string
	ok   bool
}{
	{"/", true},
	{"/oauth2/callback", true},
	{"/oauth2/callback/", true},
	{"/.well-known/x", true},
	{"/a/...", true},
	{"/a/..b", true},
	{"/a/b..", true},
	{"/a/.b/c", true},
	{"/a%20b", true},
	{"/caf%C3%A9", true},
	{"/caf%c3%a9", true},
	{"/a!$&'()*+,=:@~b", true},
	{"/%3F", true},
	{"/%23", true},

	{"//", false},
	{"//oauth2/callback", false},
	{"/oauth2//callback", false},
	{"/oauth2/callback//", false},
	{"/.", false},
	{"/..", false},
	{"/./a", false},
	{"/../a", false},
	{"/a/.", false},
	{"/a/..", false},
	{"/a/./b", false},
	{"/a/../b", false},
	{"/api../admin/..", false},
	{"/%2e%2e/a", false},
	{"/%2E/a", false},
	{"/a/.%2e/b", false},
	{"/a%2fb", false},
	{"/a%2Fb", false},
	{"/a%5cb", false},
	{"/a%5Cb", false},
	{`/a\b`, false},
	{`/a\..\b`, false},
	{"/a;b", false},
	{"/a;jsessionid=1/b", false},
	{"/..;/a", false},
	{"/a%3bb", false},
	{"/a%3Bb", false},
	{"/%252e%252e/a", false},
	{"/a%25b", false},
	{"/a%00", false},
	{"/a%0d%0ab", false},
	{"/a%1f", false},
	{"/a%7f", false},
	{"/%61", false},
	{"/%41", false},
	{"/%30", false},
	{"/%2d", false},
	{"/%5f", false},
	{"/%7e", false},
	{"/%", false},
	{"/%2", false},
	{"/%zz", false},
	{"/%u002e", false},
	{"/a%c0%ae", true}, // overlong UTF-8 of ".": escapes of bytes above ASCII mean nothing to a path parser
	{"/a#b", false},
	{"/a b", false},
	{"/a\tb", false},
	{"/a\x00", false},
	{"/a\x7f", false},
	{"/a\x80", false},
	{"/café", false},
}

func TestCheckHead_Paths(t *testing.T) {
	for _, tc := range paths {
		for _, suffix := range []string{"", "?code=c"} {
			h := get(tc.path + suffix)
			if ok := CheckHead(&h) == nil; ok != tc.ok {
				t.Errorf("%q passes: %v, want %v", h.Target, ok, tc.ok)
			}
		}
	}
}

func TestCheckHead_Queries(t *testing.T) {
	for query, ok := range map[string]bool{
		"":                      true,
		"a=b&c=d":               true,
		"a=b;c=d":               true,
		"a=%zz&b=%":             true,
		"?=?&&&==":              true,
		"a=/../..//%2e%2e/\\":   true,
		"SAMLResponse=a%2Bb%3D": true,
		"a=b#c":                 false,
		"a=b c":                 false,
		"a=\x00":                false,
		"a=\x7f":                false,
		"a=\xc3\xa9":            true,
		"a=\x80\xff":            true,
		"a=\r\nX: y":            false,
	} {
		h := get("/cb?" + query)
		if passed := CheckHead(&h) == nil; passed != ok {
			t.Errorf("query %q passes: %v, want %v", query, passed, ok)
		}
	}
}

func TestSplitTarget(t *testing.T) {
	for target, want := range map[string][2]string{
		"/a":      {"/a", ""},
		"/a?":     {"/a", ""},
		"/a?b?c=": {"/a", "b?c="},
	} {
		if p, q, _ := SplitTarget(target); p != want[0] || q != want[1] {
			t.Errorf("SplitTarget(%q) = %q, %q", target, p, q)
		}
	}
}

// agree fails unless every reading of an accepted path is the same: decoded or
// not, cleaned or not, by net/url or by hand, it has the same segments.
func agree(t interface{ Fatalf(string, ...any) }, target string) {
	raw, _, _ := SplitTarget(target)
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Fatalf("%q passes, net/url refuses it", target)
	}
	if decoded, err := url.PathUnescape(raw); err != nil || decoded != u.Path {
		t.Fatalf("%q passes, net/url makes %q of it", raw, u.Path)
	}
	if clean := path.Clean(u.Path); clean != u.Path && clean+"/" != u.Path {
		t.Fatalf("%q passes, cleaned it is %q", raw, clean)
	}
	if strings.Count(u.Path, "/") != strings.Count(raw, "/") || strings.ContainsAny(u.Path, ";\\\x00\r\n") {
		t.Fatalf("%q passes, decoded it is %q", raw, u.Path)
	}
	again, err := url.PathUnescape(u.Path)
	if err != nil || again != u.Path {
		t.Fatalf("%q passes, decoded twice it is %q", raw, again)
	}
}

func FuzzCheckHead_OneReadingOnly(f *testing.F) {
	for _, tc := range paths {
		f.Add(tc.path)
	}
	f.Add("/a?b=%zz;c#d")
	f.Fuzz(func(t *testing.T, target string) {
		h := get(target)
		if CheckHead(&h) == nil {
			agree(t, target)
		}
	})
}

func TestCheckHead_OneReadingOnly(t *testing.T) {
	piece := rapid.SampledFrom([]string{
		"/", ".", "..", "%2e", "%2F", "%5c", "%25", "%3b", "%00", "%20", "%C3", ";", `\`, "a", "~", "%", "%4", "?", "#", "é",
	})
	rapid.Check(t, func(t *rapid.T) {
		h := get("/" + strings.Join(rapid.SliceOf(piece).Draw(t, "pieces"), ""))
		if CheckHead(&h) == nil {
			agree(t, h.Target)
		}
	})
}

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

// get returns the head of a plain GET.
func get(target string) Head {
	return Head{Method: http.MethodGet, Target: target, Host: "auth.acme.com", Header: map[string][]string{}}
}

func TestCheckHead(t *testing.T) {
	head := func(change func(*Head)) Head {
		h := get("/oauth2/callback?code=c&state=s")
		change(&h)
		return h
	}
	for _, tc := range []struct {
		name   string
		head   Head
		status int
		reason Reason
	}{
		{"a callback", head(func(*Head) {}), 0, ""},
		{"a form post", head(func(h *Head) {
			h.Method, h.ContentLength = "POST", 12
			h.Header["Content-Length"] = []string{"12"}
		}), 0, ""},
		{"an empty form post", head(func(h *Head) {
			h.Method = "POST"
			h.Header["Content-Length"] = []string{"0"}
		}), 0, ""},
		{"a GET that declares no body", head(func(h *Head) { h.Header["Content-Length"] = []string{"0"} }), 0, ""},

		{"longest target", head(func(h *Head) { h.Target = "/" + strings.Repeat("a", MaxTargetBytes-1) }), 0, ""},
		{"target too long", head(func(h *Head) { h.Target = "/" + strings.Repeat("a", MaxTargetBytes) }), 414, TargetTooLong},
		{"header too large", head(func(h *Head) { h.Header["A"] = []string{strings.Repeat("a", MaxHeaderBytes)} }), 431, HeaderTooLarge},
		{"many small fields", head(func(h *Head) { h.Header["A"] = make([]string, 10_000) }), 431, HeaderTooLarge},
		{"absolute form", head(func(h *Head) { h.Target = "http://auth.acme.com/oauth2/callback" }), 400, TargetForm},
		{"authority form", head(func(h *Head) { h.Target = "auth.acme.com:443" }), 400, TargetForm},
		{"asterisk form", head(func(h *Head) { h.Method, h.Target = "OPTIONS", "*" }), 400, TargetForm},
		{"no target", head(func(h *Head) { h.Target = "" }), 400, TargetForm},
		{"HEAD", head(func(h *Head) { h.Method = "HEAD" }), 405, MethodNotAllowed},
		{"lower-case get", head(func(h *Head) { h.Method = "get" }), 405, MethodNotAllowed},
		{"CONNECT", head(func(h *Head) { h.Method = "CONNECT" }), 405, MethodNotAllowed},
		{"underscore in a name", head(func(h *Head) { h.Header["X_Forwarded_For"] = []string{"1.1.1.1"} }), 400, HeaderName},
		{"two content types", head(func(h *Head) { h.Header["Content-Type"] = []string{"a", "a"} }), 400, HeaderTwice},
		{"two lengths", head(func(h *Head) { h.Header["Content-Length"] = []string{"0", "0"} }), 400, HeaderTwice},
		{"two authorizations", head(func(h *Head) { h.Header["Authorization"] = []string{"a", "b"} }), 400, HeaderTwice},
		{"two cookies pass", head(func(h *Head) { h.Header["Cookie"] = []string{"a=1", "b=2"} }), 0, ""},
		{"no host", head(func(h *Head) { h.Host = "" }), 400, NoHost},
		{"a second host", head(func(h *Head) { h.Header["Host"] = []string{"other"} }), 400, HeaderTwice},
		{"chunked", head(func(h *Head) {
			h.Method, h.ContentLength, h.TransferEncoding = "POST", -1, []string{"chunked"}
		}), 411, TransferEncoding},
		{"unread transfer encoding", head(func(h *Head) { h.Header["Transfer-Encoding"] = []string{"x"} }), 411, TransferEncoding},
		{"POST without length", head(func(h *Head) { h.Method = "POST" }), 411, NoLength},
		{"unknown length", head(func(h *Head) { h.ContentLength = -1 }), 411, NoLength},
		{"GET with a body", head(func(h *Head) {
			h.ContentLength, h.Header["Content-Length"] = 1, []string{"1"}
		}), 400, BodyNotAllowed},
		{"largest body", head(func(h *Head) {
			h.Method, h.ContentLength, h.Header["Content-Length"] = "POST", MaxBodyBytes, []string{"1048576"}
		}), 0, ""},
		{"body too large", head(func(h *Head) {
			h.Method, h.ContentLength, h.Header["Content-Length"] = "POST", MaxBodyBytes+1, []string{"1048577"}
		}), 413, BodyTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) { expect(t, CheckHead(&tc.head), tc.status, tc.reason) })
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
		"a=\xc3\xa9":            false,
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

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package owner

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// Whatever a token holds, its claims are those of its payload or none.
func FuzzParseToken(f *testing.F) {
	for _, seed := range []string{"", "a.b", "a.e30.c", jwt(`{"iss":"i","aud":["a"]}`), jwt(`{"iss":1}`), jwt(`{"aud":{}}`), "....", "a.b.c.d.e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed := parseToken(text)
		if !parsed.isEmpty() && strings.Count(text, ".") != 2 {
			t.Errorf("%q has the claims %+v", text, parsed)
		}
	})
}

// The reader of a message stays within its bounds, and reads an escaped value as
// the library of URLs does.
func FuzzParseMessage(f *testing.F) {
	for _, seed := range []string{
		"", "%", "PA==", url.QueryEscape(encoded(samlResponse)), url.QueryEscape(deflated(f, samlResponse)), encoded(idpInitiated),
		encoded(strings.Repeat("<a>", 100)), encoded("<Response InResponseTo='x'"), encoded("<!DOCTYPE a>" + idpInitiated),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		m := parseMessage(raw)
		if len(m.audiences) > maxAudiences {
			t.Errorf("%d audiences", len(m.audiences))
		}
		if strings.Contains(raw, "+") || !utf8.ValidString(raw) {
			return
		}
		if plain, err := url.QueryUnescape(raw); err == nil && !strings.ContainsAny(plain, "%+") {
			again := parseMessage(plain)
			if again.issuer != m.issuer || again.inResponseTo != m.inResponseTo {
				t.Errorf("escaped %+v, plain %+v", m, again)
			}
		}
	})
}

// FuzzHasCookie compares with a naive reader of cookies.
func FuzzHasCookie(f *testing.F) {
	for _, seed := range []string{"", "a=b", "g_x=1; b=2", ";;=;g_=", "g_", " g_1 =1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		got := hasCookie([]string{field}, &greenCookies)
		want := false
		for pair := range strings.SplitSeq(field, ";") {
			pair = strings.Trim(pair, " \t")
			want = want || strings.HasPrefix(pair, "g_") && strings.Contains(pair, "=")
		}
		if got != want {
			t.Errorf("%q: %v, want %v", field, got, want)
		}
	})
}

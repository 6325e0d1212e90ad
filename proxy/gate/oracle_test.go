// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gate

// oracle_test.go: CheckResponse against net/url, for any bytes and any spelling.

import (
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var seeds = [][2]string{
	{"code=a&state=b", "code=c"},
	{"code=a;code=b", ""},
	{"c%6fde=a&code=%zz", "+code=1"},
	{"code=a&code[]=b&Code=c", "%20code%00=d"},
	{"id.token=a&id_token=b&id[token=c", "error_description=d&error_description"},
	{"SAMLResponse=a&samlresponse", "RelayState=b"},
	{"=&&a=;%61;%", "%u0063ode=1"},
}

// A response that passes has each parameter that decides once for net/url too,
// whichever way it splits.
func FuzzCheckResponse(f *testing.F) {
	for _, seed := range seeds {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, query, body string) {
		counts := count(query, body)
		split := count(strings.ReplaceAll(query, ";", "&"), strings.ReplaceAll(body, ";", "&"))
		for _, protocol := range []Protocol{OAuth, SAML} {
			r := Response{Protocol: protocol, ContentType: form, Query: query, Body: []byte(body)}
			is, refusal := CheckResponse(&r)
			for _, name := range known[:deciding] {
				if is && refusal == nil && (counts[name] > 1 || split[name] > 1) {
					t.Fatalf("%q and %q pass with %s twice", query, body, name)
				}
			}
		}
	})
}

// count is a naive parser: it drops the pairs that net/url cannot decode.
func count(query, body string) map[string]int {
	counts := map[string]int{}
	for _, part := range []string{query, body} {
		for pair := range strings.SplitSeq(part, "&") {
			name, _, _ := strings.Cut(pair, "=")
			if decoded, err := url.QueryUnescape(name); err == nil && pair != "" {
				counts[decoded]++
			}
		}
	}
	return counts
}

// Wherever net/url can parse a query, CheckResponse finds the same parameters in
// it, as often, and the log names the same.
func FuzzCheckResponse_AgainstNetURL(f *testing.F) { //nolint:gocyclo // a list of comparisons
	for _, seed := range seeds {
		f.Add(seed[0])
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil || strings.Contains(query, ";") {
			return
		}
		var found parameters
		found.scan(query)
		present, unknown := Parameters(query)
		others, named := 0, map[string]bool{}
		for _, name := range present {
			named[name] = true
		}
		for name, list := range values {
			i, is := index[name]
			switch {
			case !is && name != "":
				others += len(list)
			case is && (found.once&(1<<i) == 0 || (found.twice&(1<<i) != 0) != (len(list) > 1) || !named[name]):
				t.Fatalf("%q: %s is there %d times, found are %+v and %v", query, name, len(list), found, present)
			}
		}
		for i, name := range known {
			if found.once&(1<<i) != 0 && values[name] == nil {
				t.Fatalf("%q: %s is found and is not there", query, name)
			}
		}
		if len(named) != len(present) || unknown != others {
			t.Fatalf("%q: the log has %v and %d others of %d", query, present, unknown, others)
		}
	})
}

// escaped draws a spelling of a name with some of its bytes escaped.
func escaped(t *rapid.T, name, label string) string {
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; rapid.Bool().Draw(t, label) {
			b.WriteString("%" + string("0123456789abcdef"[c>>4]) + string("0123456789ABCDEF"[c&15]))
		} else if c == ' ' {
			b.WriteByte('+')
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// A second occurrence is found wherever it hides and however it is spelled.
func TestCheckResponse_FindsEveryRepetition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(known[:deciding]).Draw(t, "name")
		protocol, response := protocolOf(name)
		filler := rapid.StringMatching(`(x[a-z]{0,3}=[a-z%+]{0,4}[&;]){0,4}`)
		first := response + "&" + filler.Draw(t, "before") + escaped(t, name, "first") + "=1"
		second := filler.Draw(t, "between") + escaped(t, name, "second") + rapid.SampledFrom([]string{"=2", "=", ""}).Draw(t, "value")
		r := Response{Protocol: protocol, ContentType: form, Query: first, Body: []byte(second)}
		if rapid.Bool().Draw(t, "same place") {
			r.Query, r.Body = first+rapid.SampledFrom([]string{"&", ";"}).Draw(t, "separator")+second, nil
		}
		if _, refusal := CheckResponse(&r); refusal == nil {
			t.Fatalf("%q and %q pass", r.Query, r.Body)
		}
	})
}

// F75: so is a spelling that is built of all that frameworks fold.
func TestF75_AnyFoldedSpellingIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(known[:deciding]).Draw(t, "name")
		protocol, response := protocolOf(name)
		var b strings.Builder
		b.WriteString(rapid.StringMatching(`[ \t\[\]]{0,40}`).Draw(t, "before"))
		for i := range len(name) {
			c := string(name[i])
			switch {
			case c == "_":
				c = rapid.SampledFrom([]string{"_", ".", " "}).Draw(t, "underscore")
			case rapid.Bool().Draw(t, "upper"):
				c = strings.ToUpper(c)
			case rapid.Bool().Draw(t, "lower"):
				c = strings.ToLower(c)
			}
			b.WriteString(c)
		}
		b.WriteString(rapid.SampledFrom([]string{"", "[", "]", "\x00"}).Draw(t, "end"))
		if b.String() != name {
			b.WriteString(rapid.SampledFrom([]string{"", "]", "\x00"}).Draw(t, "end"))
		}
		spelling := escaped(t, b.String(), "escape")
		r := Response{Protocol: protocol, Query: response + "&" + name + "=1&" + spelling + "=2"}
		if _, refusal := CheckResponse(&r); refusal == nil {
			t.Fatalf("%q passes", r.Query)
		}
	})
}

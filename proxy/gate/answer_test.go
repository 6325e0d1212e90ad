// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const form = "application/x-www-form-urlencoded"

func TestCheckAnswer(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer Answer
		reason Reason
	}{
		{"query", Answer{Method: "GET", Query: "code=a&state=b&iss=c&foo=1&foo=2"}, ""},
		{"form post", Answer{Method: "POST", ContentType: form, Body: []byte("code=a&state=b")}, ""},
		{"form post with query", Answer{Method: "POST", ContentType: form, Query: "tenant=1", Body: []byte("code=a")}, ""},
		{"charset", Answer{Method: "POST", ContentType: form + "; charset=UTF-8"}, ""},
		{"quoted charset, odd case", Answer{Method: "POST", ContentType: `Application/X-WWW-Form-Urlencoded ;Charset="utf-8"`}, ""},
		{"a known name inside another", Answer{Method: "GET", Query: "code=a&xcode=b&code2=c&decode=d"}, ""},
		{"other case is another parameter", Answer{Method: "GET", Query: "code=a&Code=b"}, ""},

		{"in the query", Answer{Method: "GET", Query: "code=a&state=b&code=c"}, ParameterRepeated},
		{"same value", Answer{Method: "GET", Query: "state=a&state=a"}, ParameterRepeated},
		{"without value", Answer{Method: "GET", Query: "state&state="}, ParameterRepeated},
		{"in the body", Answer{Method: "POST", ContentType: form, Body: []byte("SAMLResponse=a&SAMLResponse=b")}, ParameterRepeated},
		{"across both", Answer{Method: "POST", ContentType: form, Query: "state=a", Body: []byte("state=b")}, ParameterRepeated},
		{"escaped", Answer{Method: "GET", Query: "code=a&c%6fde=b"}, ParameterRepeated},
		{"wholly escaped", Answer{Method: "GET", Query: "error_description=a&" +
			"%65%72%72%6f%72%5f%64%65%73%63%72%69%70%74%69%6f%6e=b"}, ParameterRepeated},
		{"parted by semicolon", Answer{Method: "GET", Query: "code=a;code=b"}, ParameterRepeated},
		{"parted by both", Answer{Method: "GET", Query: "code=a&x=y;code=b"}, ParameterRepeated},
		{"behind empty pairs", Answer{Method: "GET", Query: "&&code=a&;&code=b&"}, ParameterRepeated},

		{"JSON", Answer{Method: "POST", ContentType: "application/json"}, BodyNotForm},
		{"multipart", Answer{Method: "POST", ContentType: "multipart/form-data; boundary=x"}, BodyNotForm},
		{"no type", Answer{Method: "POST"}, BodyNotForm},
		{"charset that is not ASCII's", Answer{Method: "POST", ContentType: form + "; charset=ibm037"}, BodyNotForm},
		{"UTF-16", Answer{Method: "POST", ContentType: form + "; x=y; charset=utf-16"}, BodyNotForm},
		{"compressed", Answer{Method: "POST", ContentType: form, ContentEncoding: "gzip"}, BodyNotForm},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status := 0
			if tc.reason != "" {
				status = http.StatusBadRequest
			}
			_, refusal := CheckAnswer(&tc.answer)
			expect(t, refusal, status, tc.reason)
			opaque := tc.answer
			opaque.Opaque = true
			_, refusal = CheckAnswer(&opaque)
			expect(t, refusal, 0, "")
		})
	}
}

func TestCheckAnswer_KnowsEveryResponseParameter(t *testing.T) {
	for _, name := range responseParameters {
		if _, got := CheckAnswer(&Answer{Method: "GET", Query: name + "=1&" + name + "=2"}); got == nil {
			t.Errorf("two of %s pass", name)
		}
	}
}

func TestParameters(t *testing.T) {
	known, others := Parameters("secret=1&state=2&c%6fde=3&state=4;x&hidden%20name=5")
	if !slices.Equal(known, []string{"state", "code"}) || others != 3 {
		t.Errorf("Parameters = %v, %d", known, others)
	}
}

// What passes has each response parameter once for net/url too, whichever way
// it splits.
func FuzzCheckAnswer(f *testing.F) {
	f.Add("code=a&state=b", "code=c")
	f.Add("code=a;code=b", "")
	f.Add("c%6fde=a&code=%zz", "+code=1")
	f.Fuzz(func(t *testing.T, query, body string) {
		a := Answer{Method: "POST", ContentType: form, Query: query, Body: []byte(body)}
		_, refusal := CheckAnswer(&a)
		passed := refusal == nil
		counts := count(query, body)
		split := count(strings.ReplaceAll(query, ";", "&"), strings.ReplaceAll(body, ";", "&"))
		for _, name := range responseParameters {
			if passed && (counts[name] > 1 || split[name] > 1) {
				t.Fatalf("%q and %q pass with %s twice", query, body, name)
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

// A second occurrence is found wherever it hides and however it is spelled.
func TestCheckAnswer_FindsEveryRepetition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(responseParameters[:]).Draw(t, "name")
		spell := func(label string) string {
			var b strings.Builder
			for i := range len(name) {
				if rapid.Bool().Draw(t, label) {
					b.WriteString("%" + strings.ToLower(string("0123456789abcdef"[name[i]>>4])) + string("0123456789ABCDEF"[name[i]&15]))
				} else {
					b.WriteByte(name[i])
				}
			}
			return b.String()
		}
		filler := rapid.StringMatching(`(x[a-z]{0,3}=[a-z%+]{0,4}[&;]){0,4}`)
		first := filler.Draw(t, "before") + spell("first") + "=1"
		second := filler.Draw(t, "between") + spell("second") + rapid.SampledFrom([]string{"=2", "=", ""}).Draw(t, "value")
		a := Answer{Method: "POST", ContentType: form, Query: first, Body: []byte(second)}
		if rapid.Bool().Draw(t, "same place") {
			a.Query, a.Body = first+rapid.SampledFrom([]string{"&", ";"}).Draw(t, "separator")+second, nil
		}
		if _, refusal := CheckAnswer(&a); refusal == nil {
			t.Fatalf("%q and %q pass", a.Query, a.Body)
		}
	})
}

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

func TestCheckResponse(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer Response
		reason Reason
	}{
		{"query", Response{Method: "GET", Query: "code=a&state=b&iss=c&foo=1&foo=2"}, ""},
		{"form post", Response{Method: "POST", ContentType: form, Body: []byte("code=a&state=b")}, ""},
		{"form post with query", Response{Method: "POST", ContentType: form, Query: "tenant=1", Body: []byte("code=a")}, ""},
		{"charset", Response{Method: "POST", ContentType: form + "; charset=UTF-8"}, ""},
		{"quoted charset, odd case", Response{Method: "POST", ContentType: `Application/X-WWW-Form-Urlencoded ;Charset="utf-8"`}, ""},
		{"a known name inside another", Response{Method: "GET", Query: "code=a&xcode=b&code2=c&decode=d"}, ""},
		{"other case is another parameter", Response{Method: "GET", Query: "code=a&Code=b"}, ""},

		{"in the query", Response{Method: "GET", Query: "code=a&state=b&code=c"}, ParameterRepeated},
		{"same value", Response{Method: "GET", Query: "state=a&state=a"}, ParameterRepeated},
		{"without value", Response{Method: "GET", Query: "state&state="}, ParameterRepeated},
		{"in the body", Response{Method: "POST", ContentType: form, Body: []byte("SAMLResponse=a&SAMLResponse=b")}, ParameterRepeated},
		{"across both", Response{Method: "POST", ContentType: form, Query: "state=a", Body: []byte("state=b")}, ParameterRepeated},
		{"escaped", Response{Method: "GET", Query: "code=a&c%6fde=b"}, ParameterRepeated},
		{"wholly escaped", Response{Method: "GET", Query: "error_description=a&" +
			"%65%72%72%6f%72%5f%64%65%73%63%72%69%70%74%69%6f%6e=b"}, ParameterRepeated},
		{"parted by semicolon", Response{Method: "GET", Query: "code=a;code=b"}, ParameterRepeated},
		{"parted by both", Response{Method: "GET", Query: "code=a&x=y;code=b"}, ParameterRepeated},
		{"behind empty pairs", Response{Method: "GET", Query: "&&code=a&;&code=b&"}, ParameterRepeated},

		{"JSON", Response{Method: "POST", ContentType: "application/json"}, BodyNotForm},
		{"multipart", Response{Method: "POST", ContentType: "multipart/form-data; boundary=x"}, BodyNotForm},
		{"no type", Response{Method: "POST"}, BodyNotForm},
		{"charset that is not ASCII's", Response{Method: "POST", ContentType: form + "; charset=ibm037"}, BodyNotForm},
		{"UTF-16", Response{Method: "POST", ContentType: form + "; x=y; charset=utf-16"}, BodyNotForm},
		{"compressed", Response{Method: "POST", ContentType: form, ContentEncoding: "gzip"}, BodyNotForm},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status := 0
			if tc.reason != "" {
				status = http.StatusBadRequest
			}
			_, refusal := CheckResponse(&tc.answer)
			expect(t, refusal, status, tc.reason)
			opaque := tc.answer
			opaque.Opaque = true
			_, refusal = CheckResponse(&opaque)
			expect(t, refusal, 0, "")
		})
	}
}

func TestCheckResponse_KnowsEveryResponseParameter(t *testing.T) {
	for _, name := range responseParameters {
		if _, got := CheckResponse(&Response{Method: "GET", Query: name + "=1&" + name + "=2"}); got == nil {
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

// An accepted request has each response parameter once for net/url too, whichever
// way it splits.
func FuzzCheckResponse(f *testing.F) {
	f.Add("code=a&state=b", "code=c")
	f.Add("code=a;code=b", "")
	f.Add("c%6fde=a&code=%zz", "+code=1")
	f.Fuzz(func(t *testing.T, query, body string) {
		a := Response{Method: "POST", ContentType: form, Query: query, Body: []byte(body)}
		_, refusal := CheckResponse(&a)
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
func TestCheckResponse_FindsEveryRepetition(t *testing.T) {
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
		a := Response{Method: "POST", ContentType: form, Query: first, Body: []byte(second)}
		if rapid.Bool().Draw(t, "same place") {
			a.Query, a.Body = first+rapid.SampledFrom([]string{"&", ";"}).Draw(t, "separator")+second, nil
		}
		if _, refusal := CheckResponse(&a); refusal == nil {
			t.Fatalf("%q and %q pass", a.Query, a.Body)
		}
	})
}

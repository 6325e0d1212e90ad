// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gate

// response_test.go: which requests are responses, and which of them are refused.

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const form = "application/x-www-form-urlencoded"

// query is a GET with a query, posted a form.
func query(s string) Response  { return Response{Protocol: OAuth, Query: s} }
func posted(s string) Response { return Response{Protocol: OAuth, ContentType: form, Body: []byte(s)} }

func TestCheckResponse(t *testing.T) {
	change := func(r Response, change func(*Response)) Response { change(&r); return r }
	saml := func(r Response) Response { r.Protocol = SAML; return r }
	for name, tc := range map[string]struct {
		request Response
		is      bool
		reason  Reason
	}{
		"query":                {query("code=a&state=b&iss=c&foo=1&foo=2"), true, ""},
		"error":                {query("error=access_denied&state=b"), true, ""},
		"form post":            {posted("code=a&state=b"), true, ""},
		"form post with query": {change(posted("code=a"), func(r *Response) { r.Query = "tenant=1" }), true, ""},
		"charset":              {change(posted("code=a"), func(r *Response) { r.ContentType += "; charset=UTF-8" }), true, ""},
		"quoted charset, odd case": {change(posted("code=a"), func(r *Response) {
			r.ContentType = `Application/X-WWW-Form-Urlencoded ;Charset="utf-8"`
		}), true, ""},
		"identity": {change(posted("code=a"), func(r *Response) { r.ContentEncoding = "Identity" }), true, ""},
		// PHP and Rack read these as forms.
		"comma in the type": {change(posted("code=a&code=b"), func(r *Response) { r.ContentType += ", text/plain" }), true, ParameterRepeated},
		"blank in the type": {change(posted("code=a&code=b"), func(r *Response) { r.ContentType += " x" }), true, ParameterRepeated},
		"charset behind a comma": {change(posted("code=a"), func(r *Response) {
			r.ContentType += ", charset=utf-16"
		}), false, BodyNotForm},
		"SAML":                        {saml(posted("SAMLResponse=a&RelayState=b")), true, ""},
		"SAML artifact":               {saml(query("SAMLart=a")), true, ""},
		"SAML logout":                 {saml(query("SAMLRequest=a&SigAlg=b&Signature=c")), true, ""},
		"ticket":                      {query("ticket=a"), true, ""},
		"a known name inside another": {query("code=a&xcode=b&code2=c&decode=d&cod=e&statecode=f"), true, ""},

		"nothing":                 {query(""), false, ""},
		"state alone":             {query("state=a&state=b"), false, ""},
		"SAML on a route of OIDC": {query("SAMLResponse=a&SAMLResponse=b"), false, ""},
		"OIDC on a route of SAML": {saml(query("code=a&code=b")), false, ""},
		"JSON":                    {change(posted("code=a&code=b"), func(r *Response) { r.ContentType = "application/json" }), false, ""},
		"multipart":               {change(posted("code=a&code=b"), func(r *Response) { r.ContentType = "multipart/form-data" }), false, ""},
		"no type":                 {change(posted("code=a&code=b"), func(r *Response) { r.ContentType = "" }), false, ""},
		"empty form, compressed":  {change(posted(""), func(r *Response) { r.ContentEncoding = "gzip" }), false, ""},

		"in the query":                        {query("code=a&state=b&code=c"), true, ParameterRepeated},
		"same value":                          {query("code=a&state=b&state=b"), true, ParameterRepeated},
		"without value":                       {query("code=a&state&state="), true, ParameterRepeated},
		"in the body":                         {saml(posted("SAMLResponse=a&SAMLResponse=b")), true, ParameterRepeated},
		"across both":                         {change(posted("code=a&state=b"), func(r *Response) { r.Query = "state=a" }), true, ParameterRepeated},
		"escaped":                             {query("code=a&c%6fde=b"), true, ParameterRepeated},
		"wholly escaped":                      {query("access_token=a&%61%63%63%65%73%73%5f%74%6f%6b%65%6e=b"), true, ParameterRepeated},
		"parted by semicolon":                 {query("code=a;code=b"), true, ParameterRepeated},
		"parted by both":                      {query("code=a&x=y;code=b"), true, ParameterRepeated},
		"behind empty pairs":                  {query("&&code=a&;&code=b&"), true, ParameterRepeated},
		"three times":                         {query("code=a&code=b&code=c"), true, ParameterRepeated},
		"repeated, other protocol's response": {query("ticket=a&state=b&state=c"), true, ParameterRepeated},

		"charset that is not ASCII's": {change(posted("code=a"), func(r *Response) { r.ContentType += "; charset=ibm037" }), false, BodyNotForm},
		"UTF-16":                      {change(posted("code=a"), func(r *Response) { r.ContentType += "; x=y; charset=utf-16" }), false, BodyNotForm},
		"compressed":                  {change(posted("code=a"), func(r *Response) { r.ContentEncoding = "gzip" }), false, BodyNotForm},
	} {
		t.Run(name, func(t *testing.T) {
			status := 0
			if tc.reason != "" {
				status = http.StatusBadRequest
			}
			is, refusal := CheckResponse(&tc.request)
			expect(t, refusal, status, tc.reason)
			if is != tc.is {
				t.Errorf("is a response: %t", is)
			}
			opaque := tc.request
			opaque.Protocol = Opaque
			if is, refusal = CheckResponse(&opaque); is || refusal != nil {
				t.Errorf("inspected on a route of Opaque: %t %v", is, refusal)
			}
		})
	}
}

// protocolOf returns a protocol and a response of it that lacks the parameter.
func protocolOf(parameter string) (Protocol, string) {
	if slices.Contains([]string{"SAMLResponse", "SAMLRequest", "SAMLart", "RelayState", "SigAlg", "Signature"}, parameter) {
		if parameter == "SAMLart" {
			return SAML, "SAMLResponse=x"
		}
		return SAML, "SAMLart=x"
	}
	if parameter == "code" {
		return OAuth, "id_token=x"
	}
	return OAuth, "code=x"
}

// The parameters that decide are these, whatever the table in the code is.
func TestCheckResponse_RefusesRepeatsOfThoseThatDecide(t *testing.T) {
	decide := []string{
		"code", "state", "iss", "error", "response", "id_token", "access_token",
		"SAMLResponse", "SAMLRequest", "SAMLart", "RelayState", "SigAlg", "Signature",
	}
	if !slices.Equal(decide, known[:deciding]) {
		t.Errorf("%v decide", known[:deciding])
	}
	for i, name := range known {
		protocol, response := protocolOf(name)
		repeated := Response{Protocol: protocol, Query: response + "&" + name + "=1&" + name + "=2"}
		if _, refusal := CheckResponse(&repeated); (refusal != nil) != (i < deciding) {
			t.Errorf("two of %s: %v", name, refusal)
		}
	}
}

// W33: Keycloak sends session_state, and some providers scope, twice.
func TestCheckResponse_RelaysOtherRepeats(t *testing.T) {
	for _, s := range []string{
		"code=a&session_state=1&session_state=1", "code=a&scope=1&scope=2", "code=a&foo=1&foo=2", "code=a&token_type=1&token_type=2",
		"error=a&error_description=1&error_description=2", "code=a&Session_State=1&session_state=1",
	} {
		r := query(s)
		if is, refusal := CheckResponse(&r); !is || refusal != nil {
			t.Errorf("%s: %t %v", s, is, refusal)
		}
	}
}

// F75: a name that a framework reads as that of a parameter which is there too is
// a repeat of it. Alone it is relayed.
func TestF75_FoldedSpellingsCountAsRepeats(t *testing.T) {
	long := func(s string) string {
		for len(s) < 1<<10 {
			s += s
		}
		return s
	}
	for name, spellings := range map[string][]string{
		"code": {
			"code[]", "code%5B%5D", "code%5b0%5d", "code[a][b]", "code[", "code[" + long("a"), "Code", "CODE", "c%4fde", "%43ode",
			" code", "+code", "%20code", "%09code", "%0acode", "%0D%0Acode", long("+") + "code", long("%20") + "Code[]",
			"code%00", "code%00x", "code%00" + long("a"), "Code%00[]", "[code]", "[code", "]code", "code]", "[]code", "%5Bcode%5D",
			"%u0063ode", "c%u006Fde", "%u0043%u004F%u0044%u0045",
		},
		"state":        {"state[]", "State", " state", "state%00", "%20STATE[x]", "sTaTe"},
		"id_token":     {"id.token", "id token", "id+token", "id%2Etoken", "id%20token", "ID.Token", "id.token[]", "id[token", "id%5Btoken", " id.token%00"},
		"access_token": {"access.token", "access_token[]", "Access Token", "access[token"},
		"iss":          {"ISS", "iss[]"},
		"error":        {"Error", "error[0]"},
		"response":     {"Response", "response[]"},
		"SAMLResponse": {"samlresponse", "SAMLResponse[]", "SAMLRESPONSE", " SAMLResponse"},
		"SAMLRequest":  {"samlRequest"},
		"SAMLart":      {"SAMLArt"},
		"RelayState":   {"relayState", "relaystate", "RelayState[]", "RelayState%00"},
		"SigAlg":       {"sigalg", "SigAlg[]"},
		"Signature":    {"signature", "Signature%00"},
	} {
		protocol, response := protocolOf(name)
		for _, spelling := range spellings {
			shown := spelling[:min(len(spelling), 40)]
			for _, s := range []string{
				response + "&" + name + "=1&" + spelling + "=2", spelling + "=1;" + response + "&" + name, response + "&" + name + "&" + spelling,
			} {
				for _, r := range []Response{
					{Protocol: protocol, Query: s},
					{Protocol: protocol, ContentType: form, Body: []byte(s)},
					{Protocol: protocol, Query: response + "&" + name, ContentType: form, Body: []byte(spelling + "=2")},
				} {
					_, refusal := CheckResponse(&r)
					if refusal == nil || refusal.Reason != ParameterRepeated || refusal.Status != http.StatusBadRequest {
						t.Errorf("%q beside %s: %v", shown, name, refusal)
					}
					r.Protocol = Opaque
					if _, refusal := CheckResponse(&r); refusal != nil {
						t.Errorf("%q beside %s on a route of Opaque: %v", shown, name, refusal)
					}
				}
			}
			alone := Response{Protocol: protocol, Query: response + "&" + spelling + "=1&" + spelling + "=2"}
			if is, refusal := CheckResponse(&alone); !is || refusal != nil {
				t.Errorf("%q alone: %t %v", shown, is, refusal)
			}
			noResponse := Response{Protocol: protocol, Query: spelling + "=1&" + spelling + "=2"}
			if is, refusal := CheckResponse(&noResponse); is || refusal != nil {
				t.Errorf("%q without a response: %t %v", shown, is, refusal)
			}
		}
	}
}

// F75: what no framework reads as the parameter is another one.
func TestF75_OtherNamesAreOtherParameters(t *testing.T) {
	for _, s := range []string{
		"code=a&xcode=b", "code=a&code2=b", "code=a&code-=b", "code=a&co_de=b", "code=a&code.x=b", "code=a&code+=b", "code=a&x[code]=b",
		"code=a&code%01=b", "code=a&%63o=b", "code=a&=b", "code=a&[]=b", "code=a&%00code=b", "code=a&c[ode=b",
		"code=a&id_token=b&idtoken=c&id-token=d&id__token=e&id[token]=f", "code=a&%u0163ode=b", "code=a&%u006=b", "code=a&c%6=b",
	} {
		r := query(s)
		if is, refusal := CheckResponse(&r); !is || refusal != nil {
			t.Errorf("%s: %t %v", s, is, refusal)
		}
	}
}

func TestParameters(t *testing.T) {
	present, unknown := Parameters("secret=1&state=2&c%6fde=3&state=4;x&hidden%20name=5&code[]=6&=7&&Code=8")
	if !slices.Equal(present, []string{"state", "code"}) || unknown != 5 {
		t.Errorf("Parameters = %v, %d", present, unknown)
	}
}

// W38: no parameter of a response tells callbacks apart, in any case of its letters.
func TestW38_ParametersOfResponsesAreReserved(t *testing.T) {
	for _, name := range known {
		for _, spelled := range []string{name, strings.ToUpper(name)} {
			route := routetable.Route{Namespace: "a", Name: "b", Hostnames: []string{"a.b"}, Protocol: routetable.OIDC, Callbacks: []routetable.Callback{
				{Name: "login", PathType: routetable.Exact, Path: "/cb", Query: routetable.Query(spelled + "=x")},
			}}
			if err := route.Validate(); err == nil || !strings.Contains(err.Error(), "is a response's own") {
				t.Errorf("%s: %v", spelled, err)
			}
		}
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package owner

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// form is the parameters of a query, in their raw form.
type form string

func (f form) Value(name string) (raw string, once bool) {
	count := 0
	for pair := range strings.SplitSeq(string(f), "&") {
		if key, value, _ := strings.Cut(pair, "="); key == name {
			raw = value
			count++
		}
	}
	return raw, count == 1
}

// deflated returns a message as the Redirect binding sends it, without escapes.
func deflated(t testing.TB, message string) string {
	t.Helper()
	var buffer bytes.Buffer
	w, err := flate.NewWriter(&buffer, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(message)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(buffer.Bytes())
}

func encoded(message string) string { return base64.StdEncoding.EncodeToString([]byte(message)) }

// jwt returns a token with a payload and no valid signature.
func jwt(payload string) string {
	return "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

const samlResponse = `<?xml version="1.0" encoding="UTF-8"?>
<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_r" InResponseTo="ONELOGIN_4fee3b046395c4e751011e97f8900b5273d56685" Version="2.0">
  <saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">https://idp.example/meta</saml:Issuer>
  <samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>
  <saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><saml:Issuer>https://other.example</saml:Issuer>
    <saml:Conditions><saml:AudienceRestriction><saml:Audience> https://sp.example </saml:Audience></saml:AudienceRestriction></saml:Conditions>
  </saml:Assertion>
</samlp:Response>`

// idpInitiated has no InResponseTo, and its Issuer is that of the assertion.
const idpInitiated = `<Response><Assertion><Issuer>https://idp.example/meta</Issuer></Assertion></Response>`

// Each line: a rule, the request, and whether the rule matches.
func TestRuleMatches(t *testing.T) {
	cookie := func(m routetable.CookieMatch) routetable.OwnershipRule {
		return routetable.OwnershipRule{Type: routetable.RuleCookie, Backend: "green", Cookie: &m}
	}
	state := func(m routetable.StateMatch) routetable.OwnershipRule {
		return routetable.OwnershipRule{Type: routetable.RuleState, Backend: "green", State: &m}
	}
	value := func(kind routetable.RuleType, v string) routetable.OwnershipRule {
		return routetable.OwnershipRule{Type: kind, Backend: "green", Value: v}
	}
	connection := func(m routetable.ConnectionMap) routetable.OwnershipRule {
		m.Backends = []routetable.ConnectionBackend{{Name: "blue", Values: []string{"umbrella"}}, {Name: "green", Values: []string{"acme", "globex"}}}
		return routetable.OwnershipRule{Type: routetable.RuleConnection, Connection: &m}
	}
	green := cookie(routetable.CookieMatch{NamePrefix: "green_oidc_"})
	named := cookie(routetable.CookieMatch{Name: "sid", ValuePrefix: "g."})
	prefix := state(routetable.StateMatch{Source: routetable.SourceState, Prefix: "g~"})
	shape := state(routetable.StateMatch{Source: routetable.SourceState, Length: 8, Alphabet: routetable.AlphabetHex})
	relay := state(routetable.StateMatch{Source: routetable.SourceRelayState, Prefix: "g|"})
	request := state(routetable.StateMatch{Source: routetable.SourceInResponseTo, Prefix: "ONELOGIN_"})
	issuer := value(routetable.RuleIssuer, "https://idp.example/meta")
	audience := value(routetable.RuleAudience, "https://sp.example")
	parameter := connection(routetable.ConnectionMap{Parameter: "connection"})
	segment := connection(routetable.ConnectionMap{PathSegment: 2})
	escaped := url.QueryEscape

	for name, tc := range map[string]struct {
		rule    routetable.OwnershipRule
		request Request
		want    bool
	}{
		"cookie by prefix":                {green, Request{Cookies: []string{"a=b; green_oidc_x=1"}}, true},
		"cookie of another name":          {green, Request{Cookies: []string{"a=green_oidc_x; blue_oidc_x=1"}}, false},
		"cookie names have case":          {green, Request{Cookies: []string{"Green_oidc_x=1"}}, false},
		"cookie in a second field":        {green, Request{Cookies: []string{"a=b", "green_oidc_=;"}}, true},
		"cookie without =":                {green, Request{Cookies: []string{"green_oidc_x"}}, false},
		"cookie by value":                 {named, Request{Cookies: []string{"sid=b.1; sid=g.1"}}, true},
		"cookie by quoted value":          {named, Request{Cookies: []string{`sid="g.1"`}}, true},
		"cookie of another value":         {named, Request{Cookies: []string{"sid=b.g."}}, false},
		"a name is no prefix":             {named, Request{Cookies: []string{"sid2=g.1"}}, false},
		"state by prefix":                 {prefix, Request{Parameters: form("code=1&state=g~abc")}, true},
		"state by escaped prefix":         {prefix, Request{Parameters: form("state=%67%7Eabc")}, true},
		"state of another prefix":         {prefix, Request{Parameters: form("state=b~g~abc")}, false},
		"state twice":                     {prefix, Request{Parameters: form("state=g~1&state=g~2")}, false},
		"state with a bad escape":         {prefix, Request{Parameters: form("state=g~%zz")}, false},
		"state by shape":                  {shape, Request{Parameters: form("state=00ffAA19")}, true},
		"state too long":                  {shape, Request{Parameters: form("state=00ffAA190")}, false},
		"state of another alphabet":       {shape, Request{Parameters: form("state=00ffAA1g")}, false},
		"state absent":                    {shape, Request{Parameters: form("code=1")}, false},
		"RelayState by prefix":            {relay, Request{Parameters: form("RelayState=g%7Cdeep")}, true},
		"InResponseTo, posted":            {request, Request{Parameters: form("SAMLResponse=" + escaped(encoded(samlResponse)))}, true},
		"InResponseTo, redirected":        {request, Request{Parameters: form("SAMLResponse=" + escaped(deflated(t, samlResponse)))}, true},
		"InResponseTo, unescaped + and /": {request, Request{Parameters: form("SAMLResponse=" + strings.TrimRight(encoded(samlResponse+"\n"), "="))}, true},
		"no InResponseTo":                 {request, Request{Parameters: form("SAMLResponse=" + escaped(encoded(idpInitiated)))}, false},
		"a message that is no XML":        {request, Request{Parameters: form("SAMLResponse=ONELOGIN_")}, false},
		"a document type":                 {issuer, Request{Parameters: form("SAMLResponse=" + escaped(encoded(`<!DOCTYPE r [<!ENTITY i "x">]>`+samlResponse)))}, false},
		"issuer of RFC 9207":              {issuer, Request{Parameters: form("iss=https%3A%2F%2Fidp.example%2Fmeta")}, true},
		"issuer of an ID token":           {issuer, Request{Parameters: form("id_token=" + jwt(`{"iss":"https://idp.example/meta"}`))}, true},
		"issuer of a JARM response":       {issuer, Request{Parameters: form("response=" + jwt(`{"iss":"https://idp.example/meta","aud":"x"}`))}, true},
		"issuer of a SAML message":        {issuer, Request{Parameters: form("SAMLResponse=" + escaped(encoded(samlResponse)))}, true},
		"issuer of an assertion":          {issuer, Request{Parameters: form("SAMLResponse=" + escaped(encoded(idpInitiated)))}, true},
		"issuer of a logout request":      {issuer, Request{Parameters: form("SAMLRequest=" + escaped(deflated(t, `<LogoutRequest><Issuer>https://idp.example/meta</Issuer></LogoutRequest>`)))}, true},
		"another issuer":                  {issuer, Request{Parameters: form("iss=https%3A%2F%2Fidp.example%2Fmeta2")}, false},
		"an encrypted token":              {issuer, Request{Parameters: form("id_token=" + jwt(`{"iss":"https://idp.example/meta"}`) + ".d.e")}, false},
		"a token that is none":            {issuer, Request{Parameters: form("id_token=" + strings.TrimSuffix(jwt(`{"iss":"https://idp.example/meta"}`), ".c2ln"))}, false},
		"audience of an ID token":         {audience, Request{Parameters: form("id_token=" + jwt(`{"aud":["x","https://sp.example"]}`))}, true},
		"audience of a SAML message":      {audience, Request{Parameters: form("SAMLResponse=" + escaped(encoded(samlResponse)))}, true},
		"another audience":                {audience, Request{Parameters: form("id_token=" + jwt(`{"aud":"x"}`))}, false},
		"connection by parameter":         {parameter, Request{Parameters: form("connection=globex")}, true},
		"connection twice":                {parameter, Request{Parameters: form("connection=globex&connection=globex")}, false},
		"unknown connection":              {parameter, Request{Parameters: form("connection=Globex")}, false},
		"connection by segment":           {segment, Request{PathInfo: "/sso/acme/done"}, true},
		"connection in another segment":   {segment, Request{PathInfo: "/acme/sso"}, false},
		"too few segments":                {segment, Request{PathInfo: "/acme"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.request.Parameters == nil {
				tc.request.Parameters = form("")
			}
			backend, got := tc.request.match(&tc.rule)
			if got != tc.want || got && backend != "green" {
				t.Errorf("match is %q, %v, want %v", backend, got, tc.want)
			}
		})
	}
}

func TestDecide(t *testing.T) {
	route := func(o *routetable.Ownership) *routetable.Route {
		return &routetable.Route{
			Backends:  []routetable.Backend{{Name: "green", Weight: 1}, {Name: "blue"}, {Name: "teal"}},
			Ownership: o,
		}
	}
	rule := func(name, backend string) routetable.OwnershipRule {
		return routetable.OwnershipRule{Type: routetable.RuleCookie, Backend: backend, Cookie: &routetable.CookieMatch{Name: name}}
	}
	rules := []routetable.OwnershipRule{rule("teal", "teal"), rule("green", "green"), {
		Type:       routetable.RuleConnection,
		Connection: &routetable.ConnectionMap{Parameter: "c", Backends: []routetable.ConnectionBackend{{Name: "teal", Values: []string{"1"}}}},
	}}
	toBlue := routetable.Unowned{Type: routetable.UnownedBackend, Backend: "blue"}
	reject := routetable.Unowned{Type: routetable.UnownedReject}
	for name, tc := range map[string]struct {
		ownership *routetable.Ownership
		request   Request
		want      string
	}{
		"no ownership":               {nil, Request{IsResponse: true}, "green Primary green"},
		"first rule wins":            {&routetable.Ownership{Rules: rules, Unowned: toBlue}, Request{IsResponse: true, Cookies: []string{"green=1; teal=1"}}, "teal Cookie teal"},
		"second rule":                {&routetable.Ownership{Rules: rules, Unowned: toBlue}, Request{IsResponse: true, Cookies: []string{"green=1"}}, "green Cookie green"},
		"last rule":                  {&routetable.Ownership{Rules: rules, Unowned: toBlue}, Request{IsResponse: true, Parameters: form("c=1")}, "teal Connection teal"},
		"unowned":                    {&routetable.Ownership{Rules: rules, Unowned: toBlue}, Request{IsResponse: true}, "blue Unowned blue"},
		"unowned, rejected":          {&routetable.Ownership{Rules: rules, Unowned: reject}, Request{IsResponse: true}, "- Unowned -"},
		"no response is rejected":    {&routetable.Ownership{Rules: rules, Unowned: reject}, Request{}, "green Unowned green"},
		"observed":                   {&routetable.Ownership{Rules: rules, Unowned: toBlue, Observe: true}, Request{IsResponse: true, Cookies: []string{"green=1"}}, "green Cookie blue"},
		"observed, no rule":          {&routetable.Ownership{Rules: rules, Unowned: toBlue, Observe: true}, Request{IsResponse: true}, "blue Unowned blue"},
		"rules for what is no login": {&routetable.Ownership{Rules: rules, Unowned: toBlue}, Request{Cookies: []string{"green=1"}}, "green Cookie green"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.request.Parameters == nil {
				tc.request.Parameters = form("")
			}
			d := Decide(route(tc.ownership), &tc.request)
			nameOf := func(b *routetable.Backend) string {
				if b == nil {
					return "-"
				}
				return b.Name
			}
			if got := nameOf(d.Owner) + " " + string(d.Rung) + " " + nameOf(d.Receiver); got != tc.want {
				t.Errorf("decision is %s, want %s", got, tc.want)
			}
		})
	}
}

func TestOrder(t *testing.T) {
	blue := routetable.Backend{Name: "blue", Weight: 1}
	withFailover := blue
	withFailover.Failover = &routetable.Failover{Backend: "blue-dr"}
	others := []routetable.Backend{{Name: "green"}, {Name: "blue-dr"}}
	for _, tc := range []struct {
		name      string
		receiver  routetable.Backend
		reachable string
		want      []string
	}{
		{"no failover", blue, "blue green blue-dr", []string{"blue"}},
		{"no failover, unreachable", blue, "green blue-dr", []string{"blue"}},
		{"both reachable", withFailover, "blue green blue-dr", []string{"blue", "blue-dr failover"}},
		{"receiver unreachable", withFailover, "green blue-dr", []string{"blue-dr failover", "blue"}},
		{"failover unreachable", withFailover, "blue green", []string{"blue", "blue-dr failover"}},
		{"both unreachable", withFailover, "green", []string{"blue", "blue-dr failover"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			route := &routetable.Route{Backends: append(slices.Clone(others), tc.receiver)}
			reachable := strings.Fields(tc.reachable)
			var got []string
			for _, c := range Order(route, &tc.receiver, func(b *routetable.Backend) bool { return slices.Contains(reachable, b.Name) }) {
				text := c.Backend.Name
				if c.Failover {
					text += " failover"
				}
				got = append(got, text)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("choices are %v, want %v", got, tc.want)
			}
		})
	}
}

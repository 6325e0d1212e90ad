// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// newOwnedRoute begins new logins at green and gives callbacks to green by its
// transaction cookie, by the prefix of its state, or by a customer; all others to
// blue.
func newOwnedRoute(change func(*routetable.Route)) routetable.Route {
	route := blueGreen("green")
	route.Ownership = &routetable.Ownership{
		Rules: []routetable.OwnershipRule{
			{Type: routetable.RuleCookie, Backend: "green", Cookie: &routetable.CookieMatch{NamePrefix: "green_oidc_"}},
			{Type: routetable.RuleState, Backend: "green", State: &routetable.StateMatch{Source: routetable.SourceState, Prefix: "g~"}},
			{Type: routetable.RuleConnection, Connection: &routetable.ConnectionMap{
				Parameter: "connection", Backends: []routetable.ConnectionBackend{{Name: "green", Values: []string{"acme"}}},
			}},
		},
		Unowned: routetable.Unowned{Type: routetable.UnownedBackend, Backend: "blue"},
	}
	if change != nil {
		change(&route)
	}
	return route
}

// W23: after new logins begin at green, callbacks of logins that began at blue go to
// blue, byte for byte, and each is counted by the rule that decided.
func TestW23_CallbacksFollowTheirLogin(t *testing.T) {
	for name, tc := range map[string]struct {
		send func(r *rig) response
		want string
		rung string
	}{
		"the cookie of green":   {func(r *rig) response { return r.get("/cb?code=1&state=b", "Cookie: a=1; green_oidc_7=x") }, "green", "Cookie"},
		"a second cookie field": {func(r *rig) response { return r.get("/cb?code=1&state=b", "Cookie: a=1", "Cookie: green_oidc_7=x") }, "green", "Cookie"},
		"the state of green":    {func(r *rig) response { return r.get("/cb?state=%67~1&code=1") }, "green", "State"},
		"a posted state":        {func(r *rig) response { return r.post("/cb", "code=1&state=g%7E1") }, "green", "State"},
		"an error response":     {func(r *rig) response { return r.get("/cb?error=access_denied&state=g~1") }, "green", "State"},
		"the customer of green": {func(r *rig) response { return r.post("/cb?connection=acme", "code=1&state=b") }, "green", "Connection"},
		"the state of blue":     {func(r *rig) response { return r.get("/cb?code=1&state=b", "Cookie: blue_oidc_7=x") }, "blue", "Unowned"},
		"no state":              {func(r *rig) response { return r.post("/cb", "id_token=x") }, "blue", "Unowned"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			blue, green := newBackend(t, ok("from blue")), newBackend(t, ok("from green"))
			r.lead(blueAddress, blue)
			r.lead(greenAddress, green)
			r.serve(newOwnedRoute(nil))
			if got := tc.send(r); got.status != http.StatusOK || got.body != "from "+tc.want {
				t.Fatalf("response is %+v, want one from %s", got, tc.want)
			}
			if n := len(blue.seen()) + len(green.seen()); n != 1 {
				t.Errorf("%d requests reached backends", n)
			}
			r.wantsLine(`"backend":"`+tc.want+`"`, `"rung":"`+tc.rung+`"`, `"owner":"`+tc.want+`"`, "!g~1", "!green_oidc")
			if !strings.Contains(r.exposition(), `callbackproxy_owner_decisions_total{backend="`+tc.want+`",route="identity/acme-sso",rung="`+tc.rung+`"} 1`) {
				t.Errorf("metrics are %s", r.exposition())
			}
		})
	}
}

// exposition is what /metrics says.
func (r *rig) exposition() string {
	r.t.Helper()
	return exchangeRaw(r.t, r.admin, "GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").body
}

// Callbacks of a SAML route follow the request to which they respond, the customer
// in their path, and then the issuer.
func TestW23_SAMLResponsesFollowTheirLogin(t *testing.T) {
	rules := []routetable.OwnershipRule{
		{Type: routetable.RuleState, Backend: "green", State: &routetable.StateMatch{Source: routetable.SourceInResponseTo, Prefix: "GREEN_"}},
		{Type: routetable.RuleConnection, Connection: &routetable.ConnectionMap{
			PathSegment: 1, Backends: []routetable.ConnectionBackend{{Name: "green", Values: []string{"acme"}}},
		}},
		{Type: routetable.RuleIssuer, Backend: "green", Value: "https://idp.globex.example"},
	}
	message := func(inResponseTo, issuer string) string {
		xml := `<p:Response xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" InResponseTo="` + inResponseTo + `"><Issuer>` + issuer + `</Issuer></p:Response>`
		return "SAMLResponse=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(xml))) + "&RelayState=x"
	}
	for name, tc := range map[string]struct{ path, body, want string }{
		"a request of green":  {"/saml/umbrella", message("GREEN_1", "https://idp.umbrella.example"), "green"},
		"a customer of green": {"/saml/acme", message("_b", "https://idp.acme.example"), "green"},
		"an issuer of green":  {"/saml", message("", "https://idp.globex.example"), "green"},
		"all others":          {"/saml/umbrella", message("_b", "https://idp.umbrella.example"), "blue"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			blue, green := newBackend(t, ok("from blue")), newBackend(t, ok("from green"))
			r.lead(blueAddress, blue)
			r.lead(greenAddress, green)
			r.serve(newOwnedRoute(func(route *routetable.Route) {
				route.Protocol, route.Ownership.Rules = routetable.SAML, rules
				route.Callbacks = []routetable.Callback{{Name: "acs", PathType: routetable.Prefix, Path: "/saml"}}
			}))
			if got := r.post(tc.path, tc.body); got.body != "from "+tc.want {
				t.Fatalf("response is %+v, want one from %s", got, tc.want)
			}
			receiver := map[string]*backend{"blue": blue, "green": green}[tc.want]
			if _, _, body := parts(t, receiver.only(t)); body != tc.body {
				t.Errorf("body is %q, want %q", body, tc.body)
			}
		})
	}
}

// A callback that no rule matches is refused where the route rejects such, and
// reaches no backend; what is no callback goes to the primary backend.
func TestOwnership_RejectsUnowned(t *testing.T) {
	r := newRig(t)
	green := newBackend(t, ok("from green"))
	r.lead(greenAddress, green)
	r.serve(newOwnedRoute(func(route *routetable.Route) {
		route.Ownership.Unowned = routetable.Unowned{Type: routetable.UnownedReject}
		route.InfoURL = "https://wiki.example.com/sso"
	}))
	if got := r.get("/cb?code=1&state=b"); got.status != http.StatusForbidden || !strings.Contains(got.body, "did not begin here") || !strings.Contains(got.body, "https://wiki.example.com/sso") {
		t.Errorf("response to an unowned callback is %+v", got)
	}
	r.wantsLine(`"outcome":"refused"`, `"rung":"Unowned"`, `"owner":""`, `"reason":"unowned"`)
	if got := r.get("/cb?lang=en"); got.status != http.StatusOK {
		t.Errorf("response to what is no callback is %+v", got)
	}
	if len(green.seen()) != 1 {
		t.Errorf("green got %q", green.seen())
	}
}

// Observed rules are counted and logged, and every callback goes to the unowned
// backend.
func TestOwnership_IsObserved(t *testing.T) {
	r := newRig(t)
	blue := newBackend(t, ok("from blue"))
	r.lead(blueAddress, blue)
	r.serve(newOwnedRoute(func(route *routetable.Route) { route.Ownership.Observe = true }))
	if got := r.get("/cb?code=1&state=g~1"); got.body != "from blue" {
		t.Errorf("response is %+v", got)
	}
	r.wantsLine(`"backend":"blue"`, `"rung":"State"`, `"owner":"green"`)
}

// The failover of the backend that owns a callback gets it when that cannot be
// reached; another backend never does.
func TestOwnership_FailsOverWithinTheOwner(t *testing.T) {
	r := newRig(t)
	green := newBackend(t, ok("from green"))
	r.lead(greenAddress, green)
	r.refuse(blueAddress)
	route := newOwnedRoute(nil)
	r.serve(route)
	if got := r.get("/cb?code=1&state=b"); got.status != http.StatusServiceUnavailable {
		t.Errorf("response without a failover is %+v", got)
	}
	dr := newBackend(t, ok("from blue-dr"))
	r.lead(idleAddress, dr)
	route.Backends = append(slices.Clone(route.Backends), routetable.Backend{Name: "blue-dr", Addresses: []string{idleAddress}})
	route.Backends[0].Failover = &routetable.Failover{Backend: "blue-dr"}
	r.serve(route)
	if got := r.get("/cb?code=1&state=b"); got.body != "from blue-dr" {
		t.Errorf("response is %+v", got)
	}
	if len(green.seen()) != 0 {
		t.Errorf("green got %q", green.seen())
	}
}

// The series of a backend end when it leaves its route, also those about decisions.
func TestOwnership_SeriesEndWithTheBackend(t *testing.T) {
	r := newRig(t)
	r.lead(greenAddress, newBackend(t, ok("from green")))
	r.serve(newOwnedRoute(nil))
	if got := r.get("/cb?code=1&state=g~1"); got.status != http.StatusOK {
		t.Fatalf("response is %+v", got)
	}
	const series = `callbackproxy_owner_decisions_total{backend="green"`
	if !strings.Contains(r.exposition(), series) {
		t.Fatal("the decision is not counted")
	}
	r.serve(newRoute(func(route *routetable.Route) { route.Backends = route.Backends[:1] }))
	if strings.Contains(r.exposition(), series) {
		t.Error("the series of a backend that left goes on")
	}
}

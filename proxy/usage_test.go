// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/changelog"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
)

// usage returns the reported counts of the route with that UID.
func (r *rig) usageOf(uid string) routetable.RouteUse {
	r.t.Helper()
	entries, _, _, _ := r.counters.Changes(changelog.Cursor{}, routetable.MaxReportEntries)
	for _, entry := range entries {
		if entry.UID == uid {
			return entry
		}
	}
	return routetable.RouteUse{}
}

// Only a request with the parameters of a response of its protocol is a callback:
// the counts distinguish a path that is only probed from one that is used.
func TestUsage_CountsWellFormedCallbacksOnly(t *testing.T) {
	type want struct{ callbacks, other, refused int64 }
	for _, tc := range []struct {
		name     string
		protocol routetable.Protocol
		query    string
		body     string
		want     want
	}{
		{"code", routetable.OIDC, "?code=1&state=2", "", want{callbacks: 1}},
		{"error", routetable.OAuth2, "?error=access_denied", "", want{callbacks: 1}},
		{"escaped name", routetable.OAuth2, "?c%6Fde=1", "", want{callbacks: 1}},
		{"JARM", routetable.OAuth2, "?response=jwt", "", want{callbacks: 1}},
		{"id_token in a form", routetable.OIDC, "", "id_token=1&state=2", want{callbacks: 1}},
		{"access_token in a form", routetable.OIDC, "", "access_token=1", want{callbacks: 1}},
		{"code in the query of a form", routetable.OIDC, "?code=1", "x=1", want{callbacks: 1}},
		{"nothing", routetable.OIDC, "", "", want{other: 1}},
		{"state alone", routetable.OIDC, "?state=1", "", want{other: 1}},
		{"SAML at OIDC", routetable.OIDC, "?SAMLResponse=1", "", want{other: 1}},
		{"scanner", routetable.OIDC, "?id=1%27", "", want{other: 1}},
		{"form of another thing", routetable.OIDC, "", "user=x", want{other: 1}},
		{"code twice", routetable.OIDC, "?code=1&code=2", "", want{refused: 1}},
		{"SAMLResponse", routetable.SAML, "", "SAMLResponse=1&RelayState=2", want{callbacks: 1}},
		{"SAMLart", routetable.SAML, "?SAMLart=1", "", want{callbacks: 1}},
		{"SAMLRequest", routetable.SAML, "?SAMLRequest=1", "", want{callbacks: 1}},
		{"RelayState alone", routetable.SAML, "?RelayState=1", "", want{other: 1}},
		{"code at SAML", routetable.SAML, "?code=1", "", want{other: 1}},
		{"opaque", routetable.Opaque, "", "", want{callbacks: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			r.lead(blueAddress, newBackend(t, ok("")))
			r.serve(newRoute(func(r *routetable.Route) { r.Protocol = tc.protocol }))
			if tc.body != "" {
				r.post("/cb"+tc.query, tc.body)
			} else {
				r.get("/cb" + tc.query)
			}
			got := r.usageOf("uid")
			if (want{got.Callbacks, got.Other, got.Refused}) != tc.want || got.AfterSunset != 0 {
				t.Errorf("usage is %+v, want %+v", got, tc.want)
			}
			if called := len(got.Backends) == 1; called != (tc.want.callbacks == 1) || got.Last.IsZero() == called {
				t.Errorf("usage is %+v", got)
			}
		})
	}
}

func TestUsage_CountsBrokenRulesAsRefused(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("")))
	r.serve(newRoute(nil))
	r.get("/cb?code=1&code=2")
	r.send("POST /cb HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/x-www-form-urlencoded; charset=utf-7\r\nContent-Length: 6\r\n\r\ncode=1")
	r.get("/cb?code=1", "Via: 1.1 "+r.handler.pseudonym)
	incomplete(t, r)
	// W15: a head that is refused is counted for its route where that can be read.
	r.get("/cb?code=1", "Sec-Purpose: prefetch")
	r.get("/cb?code=1", "X: "+strings.Repeat("x", maxHeaderBytes))
	r.get("/cb?" + strings.Repeat("x", maxTargetBytes))
	r.get("/cb?code=1", " folded: 1")
	r.get("/other?code=1")
	if got := r.usageOf("uid"); got.Refused != 8 || got.Callbacks+got.Other != 0 || got.Backends != nil {
		t.Errorf("usage is %+v", got)
	}
}

// incomplete sends half a body and waits until the proxy refused it.
func incomplete(t *testing.T, r *rig) {
	t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(conn, "POST /cb HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\ncode=1", host)
	_ = conn.(*net.TCPConn).CloseWrite()
	for !strings.Contains(r.log.String(), "body is incomplete") {
		time.Sleep(time.Millisecond)
	}
	_ = conn.Close()
}

// A callback that failed is counted too, and for a backend from its first byte on.
func TestUsage_CountsFailedCallbacks(t *testing.T) {
	r := newRig(t)
	r.serve(newRoute(nil))
	for _, tc := range []struct {
		failure *upstream.Error
		sent    int64
	}{
		{&upstream.Error{Reason: "unreachable", NotDelivered: true}, 0},
		{&upstream.Error{Reason: "no answer", Timeout: true}, 1},
		{&upstream.Error{Reason: "interrupted"}, 1},
	} {
		before := r.usageOf("uid")
		r.handler.upstream = attempter(func() (*upstream.Response, error) { return nil, tc.failure })
		r.get("/cb?code=" + string(tc.failure.Reason[:2]))
		after := r.usageOf("uid")
		if after.Callbacks != before.Callbacks+1 || sentTo(after, "blue") != sentTo(before, "blue")+tc.sent {
			t.Errorf("%s: %+v, then %+v", tc.failure.Reason, before, after)
		}
	}
	r.handler.upstream = attempter(broken)
	r.get("/cb?code=broken")
	if got := sentTo(r.usageOf("uid"), "blue"); got != 3 {
		t.Errorf("truncated: blue has %d", got)
	}
}

func sentTo(u routetable.RouteUse, backend string) int64 {
	for _, b := range u.Backends {
		if b.Name == backend {
			return b.Callbacks
		}
	}
	return 0
}

func TestUsage_AfterTheSunset(t *testing.T) {
	end := begin.Add(time.Hour)
	send := func(r *rig) {
		r.get("/cb?code=1")
		r.post("/cb", "code=1")
		r.get("/cb")                        // other
		r.get("/cb?code=1&code=2")          // refused
		r.get("/cb?code=1&state=1&state=2") // refused
	}
	for _, tc := range []struct {
		name      string
		change    func(*routetable.Route)
		delivered int64
	}{
		{"rejected", nil, 0},
		{"held", func(r *routetable.Route) { r.HeldUntil = end.Add(time.Hour) }, 2},
		{"served", func(r *routetable.Route) { r.AfterSunset = routetable.Serve }, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			r.lead(blueAddress, newBackend(t, ok("")))
			r.serve(ending(end, tc.change))
			send(r)
			r.clock.Set(end)
			send(r)
			got := r.usageOf("uid")
			if got.Callbacks != 4 || got.AfterSunset != 2 || got.Other != 2 || got.Refused != 4 ||
				sentTo(got, "blue") != 2+tc.delivered || !got.Last.Equal(end) {
				t.Errorf("usage is %+v", got)
			}
			for series, want := range map[string]string{
				`callbackproxy_callbacks_total{route="identity/acme-sso"}`:              "4",
				`callbackproxy_callbacks_after_sunset_total{route="identity/acme-sso"}`: "2",
			} {
				if got := counted(t, r.metrics, series); got != want {
					t.Errorf("%s is %q", series, got)
				}
			}
		})
	}
}

// A callback under a clock that was years ahead is not the last one for years:
// once the clock is right, the next one is. A callback that ends late changes
// nothing.
func TestUsage_LastUnderAWrongClock(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("")))
	r.clock.Set(begin.AddDate(5, 0, 0))
	r.serve(newRoute(func(r *routetable.Route) { r.Sunset = begin.AddDate(9, 0, 0) }))
	r.get("/cb?code=1")
	if got := r.usageOf("uid"); !got.Last.Equal(begin.AddDate(5, 0, 0)) {
		t.Fatalf("control: last at %s", got.Last)
	}
	r.clock.Jump(begin)
	r.clockJudge.Observe(begin)
	r.get("/cb?code=1")
	if got := r.usageOf("uid"); got.Callbacks != 2 || !got.Last.Equal(begin) || !got.Backends[0].Last.Equal(begin) {
		t.Errorf("usage is %+v", got)
	}
	r.clock.Set(begin.Add(-5 * time.Minute)) // as a slow one
	r.get("/cb?code=1")
	if got := r.usageOf("uid"); got.Callbacks != 3 || !got.Last.Equal(begin) || !got.Backends[0].Last.Equal(begin) {
		t.Errorf("late end: usage is %+v", got)
	}
}

// Counts belong to the object: they outlive every change of it, and not the object
// itself.
func TestUsage_EndsWithTheRoute(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("")))
	r.lead(greenAddress, newBackend(t, ok("")))
	r.serve(blueGreen("blue"))
	r.get("/cb?code=1")
	r.serve(blueGreen("green"))
	r.get("/cb?code=1")
	if got := r.usageOf("uid"); got.Callbacks != 2 || sentTo(got, "blue") != 1 || sentTo(got, "green") != 1 {
		t.Errorf("after a flip: %+v", got)
	}
	_, last, _, _ := r.counters.Changes(changelog.Cursor{}, 10)
	r.serve(newRoute(func(r *routetable.Route) { r.Backends, r.Generation = r.Backends[:1], 2 }))
	if got, _, _, _ := r.counters.Changes(last, 10); len(got) != 1 || got[0].Callbacks != 2 || len(got[0].Backends) != 1 {
		t.Errorf("after a backend went: %+v", got)
	}
	r.serve(newRoute(func(r *routetable.Route) { r.UID = "successor" }))
	r.get("/cb?code=1")
	if old, now := r.usageOf("uid"), r.usageOf("successor"); old.Callbacks != 0 || now.Callbacks != 1 {
		t.Errorf("after a successor of the same name: %+v, %+v", old, now)
	}
	r.serve()
	if got, _, _, _ := r.counters.Changes(changelog.Cursor{}, 10); got != nil {
		t.Errorf("without routes: %+v", got)
	}
}

// A request that ends after its route left the table is counted nowhere.
func TestUsage_RouteEndsDuringARequest(t *testing.T) {
	r := newRig(t)
	r.serve(newRoute(nil))
	r.handler.upstream = attempter(func() (*upstream.Response, error) {
		r.serve()
		return nil, errors.New("interrupted")
	})
	r.get("/cb?code=1")
	r.serve(newRoute(nil))
	if got := r.usageOf("uid"); got.Callbacks != 0 {
		t.Errorf("usage is %+v", got)
	}
}

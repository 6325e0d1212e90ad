// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// claims_test.go: which requests belong to a callback, and which are held.

import (
	"strconv"
	"strings"
	"testing"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// F70: a held claim gets 503 and "not delivered", in any form of the request. It
// reaches no backend, and other paths are not affected.
func TestF70_HeldClaim(t *testing.T) {
	r := newRig(t)
	b := newBackend(t, ok("blue"))
	r.lead(blueAddress, b)
	r.serveTable(&routetable.Table{
		Routes: []routetable.Route{newRoute(nil)},
		Holds: []routetable.Hold{{Namespace: "identity", Name: "held", UID: "held", Claims: []routetable.Claim{
			{Host: host, PathType: routetable.Exact, Path: "/held"}, {Host: host, PathType: routetable.Prefix, Path: "/saml"},
		}}},
	})
	for target, got := range map[string]response{
		"/held": r.get("/held?code=1&state=2"), "POST /held": r.post("/held", "code=1"), "/saml/acs": r.get("/saml/acs?code=1&code=2"),
	} {
		if got.status != 503 || !isPage(got.body, heldPage) || !strings.Contains(got.body, "not delivered") ||
			got.header.Get("Retry-After") != "5" || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s gets %d %q %v", target, got.status, got.body, got.header)
		}
	}
	if got := counted(t, r.metrics, `callbackproxy_refused_total{reason="held"}`); got != "3" {
		t.Errorf("counted %q", got)
	}
	if got := r.get("/cb?code=1"); got.status != 200 {
		t.Errorf("another route gets %d", got.status)
	}
	if got := r.get("/heldx?code=1"); got.status != 404 {
		t.Errorf("another path gets %d", got.status)
	}
	if n := len(b.seen()); n != 1 {
		t.Errorf("backend saw %d requests", n)
	}
	r.serve(newRoute(nil), newRoute(func(r *routetable.Route) { r.Name, r.UID, r.Callbacks[0].Path = "held", "held", "/held" }))
	if got := r.get("/held?code=1"); got.status != 200 {
		t.Errorf("after the hold: %d", got.status)
	}
}

// W32: an Exact path is compared with the raw bytes, in the spelling in which it
// was registered. Another spelling of it is refused.
func TestW32_ExactPathsAsRegistered(t *testing.T) {
	r := newRig(t)
	b := newBackend(t, ok(""))
	r.lead(blueAddress, b)
	paths := []string{"/a%2Fb", "/c;v=1", "/d//e", "/f/../g", "/%63b", "/x%20y", "//h", `/"<>\^{|}`, "/i/."}
	r.serve(newRoute(func(r *routetable.Route) {
		r.Callbacks = nil
		for i, path := range paths {
			r.Callbacks = append(r.Callbacks, routetable.Callback{Name: "c" + strconv.Itoa(i), PathType: routetable.Exact, Path: path})
		}
		r.Backends[0].Paths = []routetable.BackendPath{{Callback: "c1", Path: "/to;v=2//%2F"}}
	}))
	for i, path := range paths {
		if got := r.get(path + "?code=1"); got.status != 200 {
			t.Errorf("%s gets %d", path, got.status)
			continue
		}
		want := path
		if i == 1 {
			want = "/to;v=2//%2F"
		}
		seen := b.seen()
		if got, _, _ := parts(t, seen[len(seen)-1]); got != want+"?code=1" {
			t.Errorf("%s arrives as %s", path, got)
		}
	}
	for path, want := range map[string]int{
		"/a%2fb": 400, "/a/b": 404, "/c;v=2": 400, "/c": 404, "/d/e": 404, "/d///e": 400, "/g": 404, "/f/./g": 400, "/cb": 404, "/%43b": 400, "/h": 404,
	} {
		if got := r.get(path + "?code=1"); got.status != want {
			t.Errorf("%s gets %d, want %d", path, got.status, want)
		}
	}
	if n := len(b.seen()); n != len(paths) {
		t.Errorf("backend saw %d requests", n)
	}
}

// Each callback of a route has its own path at a backend.
func TestHandler_CallbacksOfARoute(t *testing.T) {
	r := newRig(t)
	b := newBackend(t, ok(""))
	r.lead(blueAddress, b)
	r.serve(newRoute(func(r *routetable.Route) {
		r.Callbacks = append(r.Callbacks, routetable.Callback{Name: "logout", PathType: routetable.Exact, Path: "/logout"},
			routetable.Callback{Name: "below", PathType: routetable.Prefix, Path: "/below"})
		r.Backends[0].Paths = []routetable.BackendPath{{Callback: "logout", Path: "/new/logout"}}
	}))
	for target, want := range map[string]string{"/cb?code=1": "/cb?code=1", "/logout?code=1": "/new/logout?code=1", "/below/x?code=1": "/below/x?code=1"} {
		r.get(target)
		seen := b.seen()
		if got, _, _ := parts(t, seen[len(seen)-1]); got != want {
			t.Errorf("%s arrives as %s, want %s", target, got, want)
		}
	}
	if !strings.Contains(r.log.String(), `"callback":"logout"`) {
		t.Error("the log does not name the callback")
	}
	if got := r.usageOf("uid"); got.Callbacks != 3 {
		t.Errorf("usage is %+v", got)
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const info = "https://wiki.acme.com/sso?a=1&b=2"

func ending(at time.Time, change func(*routetable.Route)) routetable.Route {
	return newRoute(func(r *routetable.Route) {
		r.Sunset, r.InfoURL = at, info
		if change != nil {
			change(r)
		}
	})
}

// F45: the request that arrives at the sunset is late, the one before is not.
// Only the proxy's own clock decides.
func TestF45_SunsetBoundary(t *testing.T) {
	r := newRig(t)
	b := newBackend(t, ok("fine"))
	r.lead(blueAddress, b)
	end := begin.Add(time.Hour)
	r.serve(ending(end, nil))

	r.clock.Set(end.Add(-time.Nanosecond))
	got := r.get("/cb?code=1")
	if got.status != 200 || got.header.Get("Sunset") != "Sat, 21 Nov 2026 13:00:00 GMT" {
		t.Errorf("before: %d, Sunset %q", got.status, got.header.Get("Sunset"))
	}
	for _, now := range []time.Time{end, end.Add(time.Millisecond), end.AddDate(10, 0, 0)} {
		r.clock.Set(now)
		for _, got := range []response{r.get("/cb?code=1"), r.post("/cb?code=1", "a=b")} {
			if got.status != 410 || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("at %s: %d, %v", now, got.status, got.header)
			}
			if !strings.Contains(got.body, "21 November 2026 at 13:00:00 UTC") ||
				!strings.Contains(got.body, `href="https://wiki.acme.com/sso?a=1&amp;b=2"`) {
				t.Errorf("page is %s", got.body)
			}
			if want := []string{"<" + info + `>; rel="sunset"`}; !slices.Equal(got.header["Link"], want) {
				t.Errorf("Link is %q", got.header["Link"])
			}
		}
	}
	if n := len(b.seen()); n != 1 {
		t.Errorf("backend saw %d requests", n)
	}
	if log := r.log.String(); !strings.Contains(log, `"outcome":"sunsetPassed"`) {
		t.Errorf("log is %s", log)
	}
	if text := exchangeRaw(t, r.admin, getBytes("/metrics")).body; !strings.Contains(text,
		`callbackproxy_sunset_refused_total{route="identity/acme-sso"} 6`) {
		t.Error("the refusals are not counted")
	}
}

func TestF45_RequestInFlightFinishes(t *testing.T) {
	r := newRig(t)
	end := begin.Add(time.Hour)
	r.lead(blueAddress, newBackend(t, func(conn net.Conn, _ string) {
		r.clock.Set(end.Add(time.Minute)) // the sunset passes while the backend works
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")
	}))
	r.serve(ending(end, nil))
	if got := r.get("/cb?code=1"); got.status != 200 || got.body != "fine" {
		t.Errorf("in flight: %d %q", got.status, got.body)
	}
	if got := r.get("/cb?code=2"); got.status != 410 {
		t.Errorf("after: %d", got.status)
	}
}

func TestSunset_ServeKeepsServingAndAnnouncing(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("fine")))
	end := begin.Add(time.Hour)
	r.serve(ending(end, func(r *routetable.Route) { r.AfterSunset = routetable.Serve }))
	r.clock.Set(end.AddDate(1, 0, 0))
	if got := r.get("/cb"); got.status != 200 || got.header.Get("Sunset") != "Sat, 21 Nov 2026 13:00:00 GMT" {
		t.Errorf("%d, %v", got.status, got.header)
	}
}

// The route's values replace the backend's own; links are added to its links.
func TestSunset_Headers(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, responds("HTTP/1.1 200 OK\r\nSunset: Sat, 01 Jan 2050 00:00:00 GMT\r\n"+
		"Deprecation: @1\r\nLink: </a>; rel=\"next\"\r\nContent-Length: 0\r\n\r\n")))
	deprecated := begin.Add(-time.Hour)
	r.serve(ending(farEnd, func(r *routetable.Route) { r.Deprecation = deprecated }))
	got := r.get("/cb")
	if want := []string{"@1795258800"}; !slices.Equal(got.header["Deprecation"], want) || deprecated.Unix() != 1795258800 {
		t.Errorf("Deprecation is %q, want @%d", got.header["Deprecation"], deprecated.Unix())
	}
	if want := []string{"Fri, 21 May 2027 12:00:00 GMT"}; !slices.Equal(got.header["Sunset"], want) {
		t.Errorf("Sunset is %q", got.header["Sunset"])
	}
	want := []string{`</a>; rel="next"`, "<" + info + `>; rel="sunset"`, "<" + info + `>; rel="deprecation"`}
	if !slices.Equal(got.header["Link"], want) {
		t.Errorf("Link is %q", got.header["Link"])
	}
}

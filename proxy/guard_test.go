// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"io"
	"net"
	"testing"

	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// F78: the same response twice on one instance.
func TestF78_TheSameResponseTwice(t *testing.T) {
	other := newRoute(func(r *routetable.Route) { r.Name, r.UID, r.Callbacks[0].Path = "other", "other", "/other" })
	for _, tc := range []struct {
		name    string
		backend func(net.Conn, string)
		first   string
		status  []int // of the first, and of the repeat
		seen    int
		repeats int64
	}{
		{"complete", ok("fine"), "/cb?code=1&state=2", []int{200, 200}, 2, 1},
		{"a redirect to itself", responds("HTTP/1.1 302 Found\r\nLocation: /cb?code=1\r\nContent-Length: 0\r\n\r\n"), "/cb?code=1", []int{302, 302}, 2, 1},
		{"an error of the service", responds("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), "/cb?code=1", []int{500, 500}, 2, 1},
		{"unknown", func(net.Conn, string) {}, "/cb?code=1&state=2", []int{502, 409}, 1, 0},
		{"truncated", responds("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), "/cb?code=1", []int{502, 409}, 1, 0},
		{"an error response", func(net.Conn, string) {}, "/cb?error=access_denied&state=2", []int{502, 502}, 2, 0},
		{"no response", func(net.Conn, string) {}, "/cb?x=1", []int{502, 502}, 2, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			b := newBackend(t, tc.backend)
			r.lead(blueAddress, b)
			r.serve(newRoute(nil), other)
			for i, want := range tc.status {
				if got := r.get(tc.first); got.status != want {
					t.Errorf("request %d gets %d, want %d", i+1, got.status, want)
				}
			}
			if n := len(b.seen()); n != tc.seen {
				t.Errorf("backend saw %d requests, want %d", n, tc.seen)
			}
			if got := r.usageOf("uid"); got.Repeats != tc.repeats {
				t.Errorf("%d repeats are reported, want %d", got.Repeats, tc.repeats)
			}
		})
	}
}

// F78: a second request while the first is in flight is refused; another route,
// another method or another path is another response.
func TestF78_InFlight(t *testing.T) {
	r := newRig(t)
	release, arrived := make(chan struct{}), make(chan struct{}, 8)
	b := newBackend(t, func(conn net.Conn, _ string) {
		arrived <- struct{}{}
		<-release
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	r.lead(blueAddress, b)
	r.serve(newRoute(nil), newRoute(func(r *routetable.Route) { r.Name, r.UID, r.Callbacks[0].Path = "other", "other", "/other" }))
	results := make(chan response, 8)
	begin := func(send func() response) {
		go func() { results <- send() }()
		<-arrived
	}
	begin(func() response { return r.get("/cb?code=1&state=2") })
	if got := r.get("/cb?code=1&state=2"); got.status != 409 {
		t.Errorf("the second gets %d", got.status)
	}
	begin(func() response { return r.get("/other?code=1&state=2") })
	begin(func() response { return r.post("/cb", "code=1&state=2") })
	begin(func() response { return r.get("/cb?code=1&state=3") })
	close(release)
	for range 4 {
		if got := <-results; got.status != 200 {
			t.Errorf("response is %d", got.status)
		}
	}
	// The first has its whole answer now, so its repeat is delivered, and counted.
	if got := r.get("/cb?code=1&state=2"); got.status != 200 {
		t.Errorf("after its answer the repeat gets %d", got.status)
	}
	for series, want := range map[string]string{
		metrics.Repeats + `{result="delivered",route="identity/acme-sso"}`: "1", metrics.Repeats + `{result="refused",route="identity/acme-sso"}`: "1",
	} {
		if got := counted(t, r.metrics, series); got != want {
			t.Errorf("%s is %q, want %s", series, got, want)
		}
	}
}

// P2, W21: a response that was not delivered may be sent again: the page says that
// reloading is safe.
func TestW21_ReloadAfterNotDelivered(t *testing.T) {
	r := newRig(t)
	b := newBackend(t, ok("fine"))
	r.serve(newRoute(func(r *routetable.Route) { r.TimeoutSeconds = 1 }))
	r.connectTo[blueAddress] = "127.0.0.1:1" // refuses
	if got := r.get("/cb?code=1"); got.status != 503 {
		t.Fatalf("response is %d", got.status)
	}
	r.lead(blueAddress, b)
	if got := r.get("/cb?code=1"); got.status != 200 || len(b.seen()) != 1 {
		t.Errorf("the reload gets %d", got.status)
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
)

const chrome = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"

// W1: callbacks that claim https count where their peer is no trusted proxy, with
// the peer's network; requests that are no callbacks do not.
func TestW1_ReportCountsClaimsOfUntrustedPeers(t *testing.T) {
	for _, tc := range []struct {
		name    string
		field   string
		trusted []string
		claims  int64
	}{
		{"no claim", "X: 1", nil, 0},
		{"X-Forwarded-Proto", "X-Forwarded-Proto: https", nil, 1},
		{"of a chain", "X-Forwarded-Proto: HTTPS, http", nil, 1},
		{"http", "X-Forwarded-Proto: http", nil, 0},
		{"http first", "X-Forwarded-Proto: http, https", nil, 0},
		{"Forwarded", `Forwarded: for=10.0.0.1;Proto="https";by=1, for=2;proto=http`, nil, 1},
		{"Forwarded with http", `Forwarded: for=10.0.0.1;proto=http, for=2;proto=https`, nil, 0},
		{"a trusted peer", "X-Forwarded-Proto: https", []string{"127.0.0.0/8"}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			r.lead(blueAddress, newBackend(t, ok("")))
			r.serveWith(routetable.Settings{Forwarding: routetable.Forwarding{TrustedProxies: tc.trusted}}, newRoute(nil))
			r.get("/cb?code=1", tc.field)
			r.get("/cb", tc.field)
			r.get("/cb?code=1&code=2", tc.field)
			got := r.newReport("").Forwarding
			if got.Callbacks != 1 || got.Claims != tc.claims || got.LastMost.IsZero() != (tc.claims == 0) {
				t.Errorf("report has %+v", got)
			}
			if named := slices.Equal(got.Networks, []string{"127.0.0.0/24"}); named != (tc.claims == 1) {
				t.Errorf("networks are %v", got.Networks)
			}
		})
	}
}

// backendOf returns the report about a backend of the route.
func (r *rig) backendOf(name string) routetable.BackendUse {
	for _, b := range r.usageOf("uid").Backends {
		if b.Name == name {
			return b
		}
	}
	return routetable.BackendUse{}
}

// W41: each way in which a backend fails a callback has a constant reason. A
// complete response of any status is none, and neither is what this process or the
// client is the cause of.
func TestW41_ReportNamesWhyCallbacksFailed(t *testing.T) {
	reset := func(conn net.Conn, _ string) { _ = conn.(*net.TCPConn).SetLinger(0) }
	for _, tc := range []struct {
		name    string
		backend func(net.Conn, string)
		want    string
	}{
		{"refuses", nil, routetable.FailureRefused},
		{"resets", reset, routetable.FailureReset},
		{"closes", func(net.Conn, string) {}, routetable.FailureReset},
		{"speaks another protocol", responds("SSH-2.0-x\r\n\r\n"), routetable.FailureMalformed},
		{"speaks TLS", responds("\x15\x03\x01\x00\x02\x02\x46"), routetable.FailureReset},
		{"is silent", func(conn net.Conn, _ string) { _, _ = io.Copy(io.Discard, conn) }, routetable.FailureTimeout},
		{"breaks off", responds("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), routetable.FailureTruncated},
		{"invites a repeat", responds("HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n"), routetable.FailureMalformed},
		{"fails", responds("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), ""},
		{"works", ok(""), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.connectTo[blueAddress] = "127.0.0.1:1"
			if tc.backend != nil {
				r.lead(blueAddress, newBackend(t, tc.backend))
			}
			r.serve(newRoute(func(r *routetable.Route) { r.TimeoutSeconds = 1 }))
			r.get("/cb?code=1")
			got := r.backendOf("blue")
			if tc.want == "" {
				if got.InRow != 0 || got.Failures != nil || !got.LastSuccess.Equal(begin) {
					t.Errorf("report has %+v", got)
				}
				return
			}
			if want := (routetable.CallbackFailure{Time: begin, Reason: tc.want}); got.InRow != 1 || len(got.Failures) != 1 || got.Failures[0] != want || !got.LastSuccess.IsZero() {
				t.Errorf("report has %+v, want %+v", got, want)
			}
		})
	}
}

// W41: what is no fault of the backend says nothing about it, and neither does a
// request that is no callback.
func TestW41_OwnFailuresSayNothing(t *testing.T) {
	r := newRig(t)
	r.serve(newRoute(nil))
	for _, failure := range []upstream.Error{
		{Reason: upstream.DialFailed, NotDelivered: true, Ours: true},
		{Reason: upstream.Canceled},
		{Reason: upstream.BadRequest, NotDelivered: true},
	} {
		r.handler.upstream = attempter(func() (*upstream.Response, error) { return nil, &failure })
		r.get("/cb?code=" + string(failure.Reason[:2]))
	}
	r.handler.upstream = attempter(func() (*upstream.Response, error) { return nil, &upstream.Error{Reason: upstream.ReadFailed} })
	r.get("/cb")
	if got := r.backendOf("blue"); got.InRow != 0 || got.Failures != nil {
		t.Errorf("report has %+v", got)
	}
}

// W24: the fifth login of a browser within seconds is a loop. Other browsers, other
// clients, the same response once more and requests that are no logins make none.
func TestW24_LoginsOfOneBrowserInALoop(t *testing.T) {
	other := strings.Replace(chrome, "Chrome/150", "Chrome/149", 1)
	fixed := func(target string, fields ...string) func(int) (string, []string) {
		return func(int) (string, []string) { return target, fields }
	}
	logins := func(fields ...string) func(int) (string, []string) {
		return func(i int) (string, []string) { return fmt.Sprintf("/cb?code=%d", i), fields }
	}
	for _, tc := range []struct {
		name    string
		request func(i int) (target string, fields []string)
		pause   time.Duration
		loops   string
	}{
		{"one browser", logins(chrome), time.Second, "2"},
		{"one browser behind a front", logins(chrome, "X-Forwarded-For: 192.0.2.7, 10.0.0.1"), time.Second, "2"},
		{"slowly", logins(chrome), loopPauseOver, ""},
		{"no browser", logins("User-Agent: curl/8.0"), time.Second, ""},
		{"no logins", fixed("/cb", chrome), time.Second, ""},
		{"the same response", fixed("/cb?code=1", chrome), time.Second, ""},
		{"two browsers at one address", func(i int) (string, []string) {
			return fmt.Sprintf("/cb?code=%d", i), []string{[]string{chrome, other}[i%2]}
		}, time.Second, ""},
		{"many clients of one front", func(i int) (string, []string) {
			return fmt.Sprintf("/cb?code=%d", i), []string{chrome, fmt.Sprintf("X-Forwarded-For: 192.0.2.%d", i)}
		}, time.Second, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			r.lead(blueAddress, newBackend(t, ok("")))
			r.serve(newRoute(nil))
			at := begin
			for i := range 6 {
				target, fields := tc.request(i)
				r.get(target, fields...)
				at = at.Add(tc.pause)
				r.clock.Set(at)
			}
			if got := counted(t, r.metrics, metrics.LoginLoops+`{route="identity/acme-sso"}`); got != tc.loops {
				t.Errorf("%q loops are counted, want %q", got, tc.loops)
			}
			if got := r.usageOf("uid").LastLoop; got.IsZero() != (tc.loops == "") {
				t.Errorf("last loop is at %s", got)
			}
			if strings.Contains(r.log.String(), "Mozilla") {
				t.Error("the log has the User-Agent")
			}
		})
	}
}

// loopPauseOver is more than a browser needs from one login to the next in a loop.
const loopPauseOver = 6 * time.Second

// An Opaque callback is no login: its senders come as often as they like.
func TestW24_OpaqueCallbacksDoNotLoop(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("")))
	r.serve(newRoute(func(r *routetable.Route) { r.Protocol = routetable.Opaque }))
	for range 6 {
		r.get("/cb?code=1", chrome)
	}
	if got := r.usageOf("uid"); got.Callbacks != 6 || !got.LastLoop.IsZero() {
		t.Errorf("usage is %+v", got)
	}
}

// The report and the metric mean one thing by a repeat: a backend got the same
// response once more. A repeat that reached none is no repeat.
func TestF78_RepeatsAreThoseThatABackendGot(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("")))
	r.serve(newRoute(func(r *routetable.Route) { r.TimeoutSeconds = 1 }))
	expect := func(why, metric string, repeats int64) {
		t.Helper()
		got := counted(t, r.metrics, metrics.Repeats+`{result="delivered",route="identity/acme-sso"}`)
		if use := r.usageOf("uid"); got != metric || use.Repeats != repeats {
			t.Errorf("%s: the metric is %q, the report has %d", why, got, use.Repeats)
		}
	}
	r.get("/cb?code=1")
	expect("the first", "", 0)
	r.connectTo[blueAddress] = "127.0.0.1:1" // refuses
	r.get("/cb?code=1")
	expect("a repeat that is not delivered", "", 0)
	r.lead(blueAddress, newBackend(t, ok("")))
	r.get("/cb?code=1")
	expect("a repeat", "1", 1)
}

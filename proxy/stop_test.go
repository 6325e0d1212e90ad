// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/passthrough"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// F63: when the proxy stops, a callback in flight gets a status line at every
// stage of its attempt, over a connection that was used before as well: 502 when
// the head of the response was not sent, and a cut response otherwise.
func TestF63_StopRespondsToCallbacksInFlight(t *testing.T) {
	for name, tc := range map[string]struct {
		sent   string
		status int
		cut    bool
	}{
		"no byte":          {"", 502, false},
		"half a head":      {"HTTP/1.1 200 OK\r\nContent-Le", 502, false},
		"a head":           {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 200, true}, // sent after firstPause
		"a part of a body": {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n", 200, true},
	} {
		for _, how := range []string{"GET", "POST"} {
			t.Run(name+" "+how, func(t *testing.T) {
				r := newRig(t)
				arrived, over := make(chan struct{}), make(chan struct{})
				defer close(over)
				b := newBackend(t, func(conn net.Conn, _ string) {
					_, _ = io.WriteString(conn, tc.sent)
					close(arrived)
					<-over
				})
				r.lead(blueAddress, b)
				r.serve(newRoute(func(r *routetable.Route) { r.TimeoutSeconds = 30 }))
				c := r.call(getBytes("/warm"))
				if got := readResponse(c.from, "GET"); got.status != 404 || got.closes {
					t.Fatalf("the first response is %d", got.status)
				}
				if how == "GET" {
					c.write(getBytes("/cb?code=1"))
				} else {
					c.write("POST /cb HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 6\r\n\r\ncode=1")
				}
				<-arrived
				if tc.cut {
					if _, err := c.from.Peek(1); err != nil {
						t.Fatalf("no head before the stop: %v", err)
					}
				}
				began := time.Now()
				r.handler.stop()
				got := readResponse(c.from, how)
				if got.status != tc.status || tc.cut != (got.err != nil) || !tc.cut && !isPage(got.body, pages[502]) {
					t.Errorf("response is %d %q, %v", got.status, got.body, got.err)
				}
				if took := time.Since(began); took > lastWords && !tc.cut {
					t.Errorf("responded after %s: the proxy exits %s after the stop", took, lastWords)
				}
				if len(b.seen()) != 1 {
					t.Errorf("delivered %d times", len(b.seen()))
				}
			})
		}
	}
}

// F62: a body that came slowly takes nothing of the time for the response: the
// client gets its status line.
func TestF62_SlowBodyLeavesTimeForTheResponse(t *testing.T) {
	r := newRig(t)
	const grace = 300 * time.Millisecond
	r.handler.readTimeout, r.handler.writeGrace = time.Second, grace
	var sent time.Time
	late := make(chan time.Duration, 1)
	b := newBackend(t, func(conn net.Conn, _ string) {
		// The last moment of the route's time, and of no earlier deadline.
		time.Sleep(900 * time.Millisecond)
		late <- time.Since(sent)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	r.lead(blueAddress, b)
	r.serve(newRoute(func(r *routetable.Route) { r.TimeoutSeconds = 1 }))
	sent = time.Now()
	c := r.call("POST /cb HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 6\r\n\r\ncode")
	time.Sleep(2 * grace) // a client that is slow
	c.write("=1")
	got := readResponse(c.from, "POST")
	if took := <-late; took < time.Second+grace {
		t.Fatalf("the response came after %s: this test is too fast", took)
	}
	if got.status != 200 || got.body != "ok" {
		t.Errorf("response is %d %q, %v", got.status, got.body, got.err)
	}
}

// F63: a panic outside of a callback ends one request, with a status line, and no
// other.
func TestF63_PanicOfAPassage(t *testing.T) {
	r := newRig(t)
	r.handler.app = passthrough.New(passthrough.Options{Port: 1, Now: time.Now, Passed: func() { panic("CANARY of the request") }})
	t.Cleanup(r.handler.app.Cut)
	r.serve(newRoute(nil))
	if got := r.get("/x"); got.status != 502 || !got.closes || got.err != nil {
		t.Errorf("response is %d, closes %v, %v", got.status, got.closes, got.err)
	}
	if log := r.log.String(); strings.Contains(log, "CANARY") || !strings.Contains(log, "handler panicked") {
		t.Errorf("log is %s", log)
	}
}

// F62: a status after which browsers send a request again by themselves does not
// reach the client.
func TestF62_StatusesThatInviteARepeat(t *testing.T) {
	for _, status := range []string{"408 Request Timeout", "421 Misdirected Request"} {
		r := newRig(t)
		r.lead(blueAddress, newBackend(t, responds("HTTP/1.1 "+status+"\r\nContent-Length: 2\r\n\r\nno")))
		r.serve(newRoute(nil))
		if got := r.get("/cb?code=1"); got.status != 502 || !isPage(got.body, pages[502]) {
			t.Errorf("%s: response is %d %q", status, got.status, got.body)
		}
		if got := counted(t, r.metrics, `callbackproxy_requests_total{backend="blue",code="502",outcome="unknown",route="identity/acme-sso"}`); got != "1" {
			t.Errorf("%s: counted %q", status, got)
		}
	}
}

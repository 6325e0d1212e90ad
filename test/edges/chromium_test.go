// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package edges

// chromium_test.go: how often a browser sends what was answered badly.

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// sending is how a browser sends a callback.
type sending string

const (
	byGet  sending = "GET"
	byPost sending = "POST" // a form that another site submits
)

// tab is a browser before a proxy.
type tab struct {
	*browser
	// base is the proxy's origin, other the other site's.
	base, other string
	sent        int
	// large makes the form have 8 MiB.
	large bool
}

// open returns a tab that sends to the proxy at an address. The other site has
// a page that submits a form to /cb of the proxy, by itself.
func open(t *testing.T, b *browser, address string) *tab {
	t.Helper()
	_, port, _ := net.SplitHostPort(address)
	s := &tab{browser: b, base: "http://" + authHost + ":" + port}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		id, size := r.URL.Query().Get("id"), 1
		if s.large {
			size = 8 << 20
		}
		_, _ = fmt.Fprintf(w, `<body onload="f.state.value = 'x'.repeat(%d); f.submit()">
			<form id="f" method="post" action=%q><input name="code" value=%q><input name="state" type="hidden"></form>`,
			size, s.base+r.URL.Path+"?flow="+id, id)
	}))
	t.Cleanup(site.Close)
	_, port, _ = net.SplitHostPort(site.Listener.Addr().String())
	s.other = "http://" + otherHost + ":" + port
	return s
}

// send sends a request over a connection that was used before, and returns its
// identity and its end. The browser may have used that connection for an icon just
// then: a request over a new one is sent once more, as another one.
func (s *tab) send(how sending, path string) (id string, end visited) {
	s.t.Helper()
	for range 5 {
		s.sent++
		id = fmt.Sprintf("id%04d", s.sent)
		s.visit(s.base+"/warm", "/warm")
		target := s.base + path + "?code=" + id + "&state=s"
		if how == byPost {
			target = s.other + path + "?id=" + id
		}
		if end = s.visit(target, s.base+path); end.Reused || end.Status == 0 {
			break
		}
	}
	return id, end
}

// F62: the test can fail. Before a proxy that closes connections without a status
// line, Chromium sends a callback again.
func TestF62_ChromiumRepeatsWithoutAStatusLine(t *testing.T) {
	b := startBrowser(t)
	backend := startBackend(t)
	s := open(t, b, startSilent(t, backend.address))
	backend.way.Store(&faults[0])
	for _, how := range []sending{byGet, byPost} {
		id, end := s.send(how, "/cb")
		n := backend.delivered(id)
		t.Logf("%s: delivered %d times, %s", how, n, end.Error)
		if n < 2 {
			t.Errorf("%s: delivered %d times: this test cannot find a repeated callback", how, n)
		}
	}
}

// F62: however the backend ends, Chromium sends a callback once, and the user
// gets an honest page, or a response that is visibly cut.
func TestF62_ChromiumSendsOnce(t *testing.T) {
	b := startBrowser(t)
	backend := startBackend(t)
	s := open(t, b, startProxy(t, options{backend: backend.address}).address)
	s.sendEach(backend, faults, "/cb", "The sign-in was interrupted")
}

// F64: the same for requests that a sidecar passes to its application.
func TestF64_ChromiumSendsOnceToAnApplication(t *testing.T) {
	b := startBrowser(t)
	app := startBackend(t)
	s := open(t, b, startProxy(t, options{backend: app.address, app: app.address}).address)
	s.sendEach(app, appFaults, "/app", "The application did not answer")
}

// F64: an application that ends the connection while a form of 8 MiB is on its way
// gets it once, and the user an answer.
func TestF64_ChromiumUploadsOnce(t *testing.T) {
	b := startBrowser(t)
	app := startBackend(t)
	s := open(t, b, startProxy(t, options{backend: app.address, app: app.address}).address)
	s.large = true
	for _, f := range []fault{{name: "closed", early: true}, {name: "reset", early: true, reset: true}} {
		app.way.Store(&f)
		id, end := s.send(byPost, "/app")
		n := app.delivered(id)
		t.Logf("%s: delivered %d times, status %d, %s, %q", f.name, n, end.Status, end.Error, end.Title)
		if n != 1 || end.Status != http.StatusBadGateway {
			t.Errorf("%s: delivered %d times, status %d, %s", f.name, n, end.Status, end.Error)
		}
	}
}

// sendEach sends a GET and a POST for each fault, and judges.
func (s *tab) sendEach(b *backend, list []fault, path, text string) {
	s.t.Helper()
	for _, how := range []sending{byGet, byPost} {
		for i := range list {
			f := &list[i]
			b.way.Store(f)
			id, end := s.send(how, path)
			n := b.delivered(id)
			s.t.Logf("%s, %s: delivered %d times, status %d, %s", how, f.name, n, end.Status, end.Error)
			switch {
			case n != 1:
				s.t.Errorf("%s, %s: delivered %d times", how, f.name, n)
			case !end.Reused:
				s.t.Errorf("%s, %s: sent over a new connection: %+v", how, f.name, end)
			case f.cut && (end.Status != http.StatusOK || end.Error == ""):
				s.t.Errorf("%s, %s: the client sees status %d, %q, not a cut response", how, f.name, end.Status, end.Error)
			case !f.cut && (end.Status != http.StatusBadGateway || end.Error != "" || !strings.Contains(end.Shown, text)):
				s.t.Errorf("%s, %s: the client sees status %d, %q, %q", how, f.name, end.Status, end.Error, end.Shown)
			}
		}
	}
}

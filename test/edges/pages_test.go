// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package edges

// pages_test.go: each of the proxy's own pages that a person can get, opened in
// Chromium by what causes it.

import (
	"fmt"
	"image/png"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const (
	product = "Acme Login"
	support = "mailto:help@acme.test"
	info    = "https://wiki.acme.test/sso-migration"
	// reference is the id by which a front names each request.
	reference = "4bf92f3577b34da6a3ce929d0e0e4736"
)

// seen is a page, by the name of its picture.
type seen struct {
	name   string
	status int
	title  string
	reload string
	// links are those that the page has.
	links []string
	// open opens it.
	open func(s *tab, r *pageRig) visited
}

var (
	ofRoute = []string{info, support}
	ofFleet = []string{support}
)

const (
	safe    = "Reloading this page is safe."
	unsafe  = "Please do not reload this page."
	useless = "Reloading this page is safe, but does not help."
)

// cb opens a URL of the proxy with a code of its own.
func cb(path string) func(s *tab, r *pageRig) visited {
	return func(s *tab, _ *pageRig) visited {
		s.sent++
		return s.visit(fmt.Sprintf("%s%s?code=page%04d&state=s", s.base, path, s.sent), s.base+path)
	}
}

// asking opens the callback in another way.
func asking(a asked) func(s *tab, r *pageRig) visited {
	return func(s *tab, r *pageRig) visited {
		if a.Headers == nil {
			a.Headers = map[string]string{}
		}
		a.Headers["x-request-id"] = reference
		s.change(a)
		return cb("/cb")(s, r)
	}
}

var seenPages = []seen{
	{"not-delivered", 503, "The sign-in service cannot be reached", safe, ofRoute, cb("/down")},
	{"on-hold", 503, "This sign-in address is on hold", safe, ofFleet, cb("/held")},
	{"busy", 503, "The sign-in service is busy", safe, ofRoute, func(s *tab, r *pageRig) visited {
		conn, err := net.Dial("tcp", r.fleet)
		if err != nil {
			s.t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = fmt.Fprintf(conn, "GET /busy?code=first&state=s HTTP/1.1\r\nHost: %s\r\n\r\n", authHost)
		<-r.hung // it has the route's only place
		return cb("/busy")(s, r)
	}},
	{"unowned", 403, "This sign-in did not begin here", useless, ofRoute, cb("/unowned")},
	{"interrupted", 502, "The sign-in was interrupted", unsafe, ofRoute, cb("/cb")},
	{"no-answer", 504, "The sign-in service did not answer in time", unsafe, ofRoute, cb("/slow")},
	{"repeated", 409, "This sign-in was handed on before", unsafe, ofRoute, func(s *tab, r *pageRig) visited {
		_ = cb("/cb")(s, r)
		return s.visit(fmt.Sprintf("%s/cb?code=page%04d&state=s", s.base, s.sent), s.base+"/cb") // the user reloads
	}},
	{"closed", 410, "This sign-in address is closed", useless, ofRoute, cb("/closed")},
	{"not-found", 404, "Nothing is here", useless, ofFleet, cb("/other")},
	{"not-valid", 400, "This request is not valid", useless, ofRoute, func(s *tab, _ *pageRig) visited {
		return s.visit(s.base+"/cb?code=1&code=2&state=s", s.base+"/cb")
	}},
	{"prepared", 403, "This sign-in was not delivered", safe, ofRoute, asking(asked{Headers: map[string]string{"purpose": "prefetch"}})},
	{"method", 405, "This method is not allowed", useless, ofRoute, asking(asked{Method: http.MethodPut})},
	{"too-large", 413, "The request is too large", useless, ofRoute, func(s *tab, _ *pageRig) visited {
		s.large = true
		defer func() { s.large = false }()
		return s.visit(s.other+"/cb?id=large", s.base+"/cb")
	}},
	{"too-long", 414, "The address is too long", useless, ofRoute, func(s *tab, _ *pageRig) visited {
		return s.visit(s.base+"/cb?code=1&state="+strings.Repeat("s", 40<<10), s.base+"/cb")
	}},
	{"cookies", 431, "The request has too many cookies", useless, ofRoute, asking(asked{Headers: map[string]string{"x-many": strings.Repeat("c", 70<<10)}})},
	{"application-away", 502, "The application cannot be reached", safe, ofFleet, func(s *tab, r *pageRig) visited {
		return s.visit("http://"+authHost+":"+portOf(r.away)+"/app", "/app")
	}},
	{"application-silent", 502, "The application did not answer", unsafe, ofFleet, func(s *tab, r *pageRig) visited {
		return s.visit("http://"+authHost+":"+portOf(r.silent)+"/app", "/app")
	}},
}

// pageRig is a fleet and two sidecars, with a cause for each page.
type pageRig struct {
	fleet, away, silent string
	// hung gets each connection of a backend that never responds.
	hung chan struct{}
}

func startPageRig(t *testing.T) *pageRig {
	t.Helper()
	breaking := startBackend(t)
	breaking.way.Store(&faults[0])
	dead := freeAddress(t)
	over := make(chan struct{})
	hung := make(chan struct{}, 16)
	hanging := serve(t, func(*net.TCPConn) { hung <- struct{}{}; <-over })
	t.Cleanup(func() { close(over) })
	o := options{
		backend: breaking.address, trusted: trustAll, change: addPageRoutes,
		more: map[string]string{"10.0.0.2:80": dead, "10.0.0.3:80": hanging},
	}
	r := &pageRig{fleet: startProxy(t, o).address, hung: hung}
	o.app = dead
	r.away = startProxy(t, o).address
	silent := startBackend(t)
	silent.way.Store(&fault{})
	o.app = silent.address
	r.silent = startProxy(t, o).address
	return r
}

// addPageRoutes makes a table with a route for each way in which a callback ends.
func addPageRoutes(table *routetable.Table) {
	table.Settings.Pages = routetable.Pages{Product: product, SupportURL: support}
	table.Routes[0].InfoURL = info
	add := func(name, address string, change func(*routetable.Route)) {
		r := table.Routes[0]
		r.Name, r.UID = name, name
		r.Callbacks = []routetable.Callback{{Name: "login", PathType: routetable.Exact, Path: "/" + name}}
		r.Backends = []routetable.Backend{{Name: "blue", Weight: 1, Addresses: []string{address}}}
		change(&r)
		table.Routes = append(table.Routes, r)
	}
	add("closed", "10.0.0.1:80", func(r *routetable.Route) { r.Sunset = time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC) })
	add("down", "10.0.0.2:80", func(*routetable.Route) {})
	table.Settings.Limits.InFlightPerRoute = 1
	add("busy", "10.0.0.3:80", func(*routetable.Route) {})
	add("unowned", "10.0.0.1:80", func(r *routetable.Route) {
		r.Ownership = &routetable.Ownership{
			Rules:   []routetable.OwnershipRule{{Type: routetable.RuleCookie, Backend: "blue", Cookie: &routetable.CookieMatch{Name: "login"}}},
			Unowned: routetable.Unowned{Type: routetable.UnownedReject},
		}
	})
	add("slow", "10.0.0.3:80", func(r *routetable.Route) { r.TimeoutSeconds = 1 })
	table.Holds = []routetable.Hold{{
		Namespace: "identity", Name: "held", UID: "held", Claims: []routetable.Claim{{Host: authHost, PathType: routetable.Exact, Path: "/held"}},
		ReleaseTime: time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC),
	}}
}

// Each page that a person can get states what happened, whether a reload is safe and
// who helps, and can be read and used on a phone and on a desktop, light and dark, by
// eye, keyboard and screen reader. EDGES_PICTURES=DIR writes a picture of each.
func TestPages_AreReadableAndUsable(t *testing.T) {
	b := startBrowser(t)
	r := startPageRig(t)
	s := open(t, b, r.fleet)
	for i := range seenPages {
		p := &seenPages[i]
		s.change(asked{Headers: map[string]string{"x-request-id": reference}})
		end := p.open(s, r)
		if end.Status != p.status || end.Title != p.title+" – "+product || !strings.Contains(end.Shown, p.reload) || !strings.Contains(end.Shown, product) {
			t.Errorf("%s: %d %q %s: %q", p.name, end.Status, end.Title, end.Error, end.Shown)
			continue
		}
		checkLook(t, p, b.look(1280, false), false)
		checkLook(t, p, b.look(320, false), false)
		checkLook(t, p, b.look(320, true), true)
		if dir := os.Getenv("EDGES_PICTURES"); dir != "" {
			savePictures(t, b, dir, p.name)
		}
	}
}

// checkLook judges a page as it is shown.
func checkLook(t *testing.T, p *seen, l look, dark bool) {
	t.Helper()
	ground := map[bool]string{false: "rgb(245, 246, 248)", true: "rgb(16, 19, 23)"}[dark] // the policy allows the style
	if l.Lang != "en" || l.Headings != 1 || l.Landmarks != 1 || l.Ground != ground {
		t.Errorf("%s, dark %t: %+v", p.name, dark, l)
	}
	if l.Scrolls {
		t.Errorf("%s scrolls sideways", p.name)
	}
	if len(l.Broken) > 0 {
		t.Errorf("%s, dark %t: axe-core finds\n%s", p.name, dark, strings.Join(l.Broken, "\n"))
	}
	if len(l.Stops) != len(p.links) {
		t.Errorf("%s has %d links, want %v", p.name, len(l.Stops), p.links)
		return
	}
	for i, stop := range l.Stops {
		if stop.Href != p.links[i] || stop.Outline != "solid" || stop.Width < 2 {
			t.Errorf("%s: the key Tab reaches %+v, want %s with an outline", p.name, stop, p.links[i])
		}
	}
}

// savePictures writes a page's picture, and one for a phone in the dark.
func savePictures(t *testing.T, b *browser, dir, name string) {
	t.Helper()
	path := filepath.Join(dir, name+".png")
	b.save(path, 640, 480, false)
	shrink(t, path)
	if name == "not-delivered" {
		path = filepath.Join(dir, "phone.png")
		b.save(path, 360, 600, true)
		shrink(t, path)
	}
}

// maxPictureBytes bounds a picture in docs/.
const maxPictureBytes = 40 << 10

// The docs show each page by its picture, and name its status and its title.
func TestPages_HaveTheirPicturesInTheDocs(t *testing.T) {
	docs := filepath.Join("..", "..", "docs")
	content, err := os.ReadFile(filepath.Join(docs, "pages.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(seenPages, seen{name: "phone"}) {
		if link := "](pages/" + p.name + ".png)"; !strings.Contains(string(content), link) {
			t.Errorf("docs/pages.md has no picture %s", link)
		}
		if p.title != "" && !strings.Contains(string(content), fmt.Sprintf("### %d: %s\n", p.status, p.title)) {
			t.Errorf("docs/pages.md has no section about %d: %s", p.status, p.title)
		}
		checkPicture(t, filepath.Join(docs, "pages", p.name+".png"))
	}
}

func checkPicture(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Errorf("%v: make screenshots writes it", err)
		return
	}
	defer func() { _ = file.Close() }()
	if _, err := png.DecodeConfig(file); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	if at, err := file.Stat(); err != nil || at.Size() > maxPictureBytes {
		t.Errorf("%s has %d bytes, %d are allowed", path, at.Size(), maxPictureBytes)
	}
}

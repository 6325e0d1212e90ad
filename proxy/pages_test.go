// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/callbackproxy/callback-operator/proxy/page"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

var reference = regexp.MustCompile(`<p class="support">Reference for support: <code>([0-9a-f]{32})</code></p>\n`)

// isPage reports whether a body is a page, whatever the reference in it.
func isPage(body string, p page.Page) bool {
	return reference.ReplaceAllString(body, "") == string(p.Render(page.Details{}))
}

// Every page of a route has its owner's link, and the id by which the log names
// the request; a page of no route has neither.
func TestPages_NameTheWayOut(t *testing.T) {
	r := newRig(t)
	const info = "https://wiki.acme.test/sso?a=1&b=2"
	r.serve(newRoute(func(r *routetable.Route) { r.InfoURL, r.TimeoutSeconds = info, 1 }))
	r.connectTo[blueAddress] = "127.0.0.1:1" // refuses
	for target, status := range map[string]int{"/cb?code=1": 503, "/cb?code=1&code=2": 400} {
		got := r.get(target)
		if got.status != status || !strings.Contains(got.body, `<a class="button" href="https://wiki.acme.test/sso?a=1&amp;b=2" rel="noreferrer">`) {
			t.Errorf("%s gets %d %q", target, got.status, got.body)
		}
		id := reference.FindStringSubmatch(got.body)
		if id == nil || !strings.Contains(r.log.String(), `"requestId":"`+id[1]+`"`) {
			t.Errorf("reference %q is not in the log", id)
		}
	}
	if got := r.get("/other"); strings.Contains(got.body, "<a ") || strings.Contains(got.body, "Reference") {
		t.Errorf("a page of no route is %q", got.body)
	}
}

// The product and the support of a fleet are on every page of it, of a sidecar for its
// application too.
func TestPages_NameProductAndSupport(t *testing.T) {
	settings := routetable.Settings{Pages: routetable.Pages{Product: "Acme <Login>", SupportURL: "mailto:help@acme.test"}}
	fleet, sidecar := newRig(t), newSidecar(t, respond200, newRoute(nil))
	fleet.serveWith(settings, newRoute(nil))
	sidecar.serveWith(settings, newRoute(nil))
	sidecar.app.Close()
	for _, got := range []response{fleet.get("/other"), fleet.get("/cb?code=1&code=2"), sidecar.get("/x")} {
		for _, want := range []string{" – Acme &lt;Login&gt;</title>", `<p class="product">Acme &lt;Login&gt;</p>`, `<a href="mailto:help@acme.test"`} {
			if !strings.Contains(got.body, want) {
				t.Errorf("%d lacks %s: %s", got.status, want, got.body)
			}
		}
	}
}

// Each page states what happened, whether a reload is safe, and what to do. A reload
// is never called safe where a backend may have acted.
func TestPages_StateWhetherAReloadIsSafe(t *testing.T) {
	want := map[int]page.Reload{502: page.Unsafe, 504: page.Unsafe, 409: page.Unsafe, 503: page.Safe, 403: page.Safe}
	all := maps.Clone(pages)
	route := newRoute(nil)
	all[1503], all[410] = heldPage, gonePage(&route)
	want[1503] = page.Safe
	for status, p := range all {
		reload, is := want[status]
		if !is {
			reload = page.Useless
		}
		if p.Reload != reload || p.Title == "" || p.Happened == "" || p.Next == "" {
			t.Errorf("the page of %d is %+v, want %q", status, p, reload)
		}
	}
}

// docs/pages.md has each page: those that only programs get by their status.
func TestPages_AreInTheDocs(t *testing.T) {
	docs, err := os.ReadFile(filepath.Join("..", "docs", "pages.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, byPrograms, _ := strings.Cut(string(docs), "## Pages that only programs get\n")
	for status, p := range pages {
		if !strings.Contains(string(docs), fmt.Sprintf("### %d: %s\n", status, p.Title)) && !strings.Contains(byPrograms, strconv.Itoa(status)) {
			t.Errorf("docs/pages.md lacks %d: %s", status, p.Title)
		}
	}
}

// The policy of a page allows its own style and nothing else.
func TestPages_AllowTheirStyleOnly(t *testing.T) {
	r := newRig(t)
	r.serve(newRoute(nil))
	got := r.get("/other")
	_, rest, _ := strings.Cut(got.body, "<style>")
	style, _, found := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"
	if policy := got.header.Get("Content-Security-Policy"); !found || !strings.Contains(policy, want) || strings.Contains(policy, "unsafe") {
		t.Errorf("policy is %q, want %s", policy, want)
	}
}

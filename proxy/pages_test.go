// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"

	"github.com/callbackproxy/callback-operator/proxy/page"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

var reference = regexp.MustCompile(`<p><small>Reference for support: ([0-9a-f]{32})</small></p>\n`)

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
		if got.status != status || !strings.Contains(got.body, `<a href="https://wiki.acme.test/sso?a=1&amp;b=2" rel="noreferrer">`) {
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

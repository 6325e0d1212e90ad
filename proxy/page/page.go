// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package page writes the proxy's own pages. In: constant texts, and what the
// platform team and the owner of a route declared for them; out: responses with the
// headers that every page of the proxy has. No byte of a request is in them but the
// id that names it in the log. I/O.
package page

// page.go: the one layout of all pages.

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"strconv"
	"strings"

	"github.com/callbackproxy/callback-operator/proxy/http1"
)

const (
	head = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>`
	body = `</title><style>` + style + `</style></head>
<body>
<main>
`
	tail = `</main>
</body>
</html>
`
)

// Reload states whether a reload of the page is safe: whether it can deliver a
// sign-in a second time.
type Reload string

// The statements. Each is a sentence of the page.
const (
	// Safe: nothing was delivered, and another attempt can succeed.
	Safe Reload = "Reloading this page is safe."
	// Unsafe: a backend may have acted.
	Unsafe Reload = "Please do not reload this page."
	// Useless: nothing was delivered, and the same request fails again.
	Useless Reload = "Reloading this page is safe, but does not help."
)

// Page is a page of the proxy: what happened, whether a reload is safe, and what to
// do. The texts are constant, one sentence or more each.
type Page struct {
	Title    string
	Happened string
	Reload   Reload
	Next     string
}

// Details are what a fleet, a route and a request add to a page; "" adds nothing.
type Details struct {
	// Product is the name by which users know what they sign in to.
	Product string
	// SupportURL is an https:// page or a mailto: address.
	SupportURL string
	// InfoURL is the link that the route's owner declared.
	InfoURL string
	// RequestID is the proxy's name for the request, for people who help.
	RequestID string
}

// Render returns the page. Everything in Details is escaped.
func (p Page) Render(d Details) []byte {
	var b strings.Builder
	b.Grow(len(head) + len(body) + len(tail) + 1024)
	title := html.EscapeString(p.Title)
	b.WriteString(head + title)
	if d.Product != "" {
		b.WriteString(" – " + html.EscapeString(d.Product))
	}
	b.WriteString(body)
	if d.Product != "" {
		b.WriteString(`<p class="product">` + html.EscapeString(d.Product) + "</p>\n")
	}
	b.WriteString("<h1>" + title + "</h1>\n<p>" + html.EscapeString(p.Happened) + "</p>\n")
	b.WriteString(`<p class="` + p.Reload.class() + `"><strong>` + string(p.Reload) + "</strong> " + html.EscapeString(p.Next) + "</p>\n")
	if d.InfoURL != "" {
		b.WriteString(`<p><a class="button" href="` + html.EscapeString(d.InfoURL) + `" rel="noreferrer">What to do now</a></p>` + "\n")
	}
	writeSupport(&b, d)
	b.WriteString(tail)
	return []byte(b.String())
}

// class is the class of the paragraph about the reload.
func (r Reload) class() string {
	switch r {
	case Safe:
		return "reload safe"
	case Unsafe:
		return "reload unsafe"
	case Useless:
	}
	return "reload"
}

// writeSupport writes how people get help, and the reference that they need for it.
func writeSupport(b *strings.Builder, d Details) {
	if d.SupportURL != "" {
		text := "Contact support"
		if address, isMail := strings.CutPrefix(d.SupportURL, "mailto:"); isMail {
			text = address // it can be read where no mail program is set up
		}
		b.WriteString(`<p class="support">Need help? <a href="` + html.EscapeString(d.SupportURL) + `" rel="noreferrer">` + html.EscapeString(text) + "</a></p>\n")
	}
	if d.RequestID != "" {
		b.WriteString(`<p class="support">Reference for support: <code>` + html.EscapeString(d.RequestID) + "</code></p>\n")
	}
}

// retrySeconds is how long a client should wait before it reloads a 503.
const retrySeconds = 5

// fields are the field lines of every page.
var fields = "Content-Type: text/html; charset=utf-8\r\n" +
	"Cache-Control: no-store\r\n" +
	"Referrer-Policy: no-referrer\r\n" +
	"X-Content-Type-Options: nosniff\r\n" +
	"Content-Security-Policy: default-src 'none'; style-src '" + hashOf(style) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// hashOf allows one style in a policy, CSP level 2.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// Write responds with content, and with more field lines.
func Write(x *http1.Exchange, status int, content []byte, lines ...string) {
	x.Begin(status, http.StatusText(status))
	x.AddLine(http1.DateLine(x.Now()))
	x.AddLine(fields)
	if status == http.StatusServiceUnavailable {
		x.Add("Retry-After", strconv.Itoa(retrySeconds))
	}
	for _, line := range lines {
		x.AddLine(line)
	}
	_ = x.Send(content) // a client that left needs no page
}

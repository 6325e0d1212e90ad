// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package page writes the proxy's own pages. In: constant texts, and the link
// that a route's owner declared; out: responses with the headers that every page
// of the proxy has. No byte of a request is in them but the id that the proxy
// gave it. I/O.
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

// style is for phones and desktops, light and dark. The page has no other
// resource: it may be shown where nothing else can be reached.
const style = `:root{color-scheme:light dark}` +
	`body{margin:0;min-height:100vh;display:grid;place-items:center;font:1rem/1.5 system-ui,sans-serif;background:#f5f6f8;color:#1b1f24}` +
	`main{box-sizing:border-box;width:min(34rem,100%);padding:2rem 1.5rem}` +
	`h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}p{margin:0 0 1rem}` +
	`a{display:inline-block;padding:.6rem 1.1rem;border-radius:.5rem;background:#0b57d0;color:#fff;text-decoration:none;font-weight:600}` +
	`a:focus-visible{outline:3px solid currentColor;outline-offset:2px}` +
	`small{color:#57606a;overflow-wrap:anywhere}` +
	`@media (prefers-color-scheme:dark){body{background:#16191d;color:#e6e8eb}a{background:#a8c7fa;color:#062e6f}small{color:#9aa4af}}`

const (
	head = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>`
	body = `</title><style>` + style + `</style></head>
<body>
<main>
<h1>`
	tail = `</main>
</body>
</html>
`
)

// Page is a page of the proxy.
type Page struct{ text string }

// New returns a page. The texts are HTML.
func New(title string, paragraphs ...string) Page {
	var b strings.Builder
	b.WriteString(head + title + body + title + "</h1>\n")
	for _, paragraph := range paragraphs {
		b.WriteString("<p>" + paragraph + "</p>\n")
	}
	return Page{b.String()}
}

// Details are what one route and one request add to a page.
type Details struct {
	// InfoURL is the link that the route's owner declared, or "".
	InfoURL string
	// RequestID is the proxy's name for the request, for people who help; or "".
	RequestID string
}

// Render returns the page.
func (p Page) Render(d Details) []byte {
	b := make([]byte, 0, len(p.text)+len(tail)+512)
	b = append(b, p.text...)
	if d.InfoURL != "" {
		b = append(b, `<p><a href="`+html.EscapeString(d.InfoURL)+`" rel="noreferrer">What to do now</a></p>`+"\n"...)
	}
	if d.RequestID != "" {
		b = append(b, `<p><small>Reference for support: `+html.EscapeString(d.RequestID)+"</small></p>\n"...)
	}
	return append(b, tail...)
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

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package page writes the proxy's own pages. In: constant texts; out: responses
// with the headers that every page of the proxy has. No byte of a request is in
// them. I/O.
package page

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/http1"
)

const (
	head = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>`
	body = `</title></head>
<body>
<h1>`
	tail = `</body>
</html>
`
)

// New returns a page. The texts are HTML.
func New(title string, paragraphs ...string) []byte {
	var b strings.Builder
	b.WriteString(head + title + body + title + "</h1>\n")
	for _, paragraph := range paragraphs {
		b.WriteString("<p>" + paragraph + "</p>\n")
	}
	b.WriteString(tail)
	return []byte(b.String())
}

// retrySeconds is how long a client should wait before it reloads a 503.
const retrySeconds = 5

// fields are the field lines of every page.
const fields = "Content-Type: text/html; charset=utf-8\r\n" +
	"Cache-Control: no-store\r\n" +
	"Referrer-Policy: no-referrer\r\n" +
	"X-Content-Type-Options: nosniff\r\n" +
	"Content-Security-Policy: default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Write responds with a page, and with more field lines.
func Write(x *http1.Exchange, status int, content []byte, lines ...string) {
	x.Begin(status, http.StatusText(status))
	x.AddLine(http1.DateLine(time.Now()))
	x.AddLine(fields)
	switch status {
	case http.StatusMethodNotAllowed:
		x.Add("Allow", gate.AllowedMethods)
	case http.StatusServiceUnavailable:
		x.Add("Retry-After", strconv.Itoa(retrySeconds))
	}
	for _, line := range lines {
		x.AddLine(line)
	}
	_ = x.Send(content) // a client that left needs no page
}

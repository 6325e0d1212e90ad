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

	"github.com/callbackproxy/callback-operator/proxy/gate"
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

// Write responds with a page.
func Write(w http.ResponseWriter, status int, content []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(content)))
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	switch status {
	case http.StatusMethodNotAllowed:
		h.Set("Allow", gate.AllowedMethods)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(retrySeconds))
	}
	w.WriteHeader(status)
	_, _ = w.Write(content) // a client that left needs no page
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"html"
	"net/http"
	"strconv"
	"strings"

	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// The pages that the proxy answers itself. They are constant: nothing of a
// request is in them, and the only link is the one that the route's owner
// declared. What they say about delivery is true: 503 means that no byte of
// the sign-in was sent to a backend, 502 and 504 that it may have been.
const (
	pageHead = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>`
	pageBody = `</title></head>
<body>
<h1>`
	pageTail = `</body>
</html>
`
)

var pages = map[int][]byte{
	http.StatusBadRequest: page("This request is not valid",
		"It was not passed on. Please start signing in again."),
	http.StatusNotFound: page("Nothing is here",
		"No sign-in ends at this address."),
	http.StatusMethodNotAllowed: page("This method is not allowed",
		"This address accepts GET and POST."),
	http.StatusLengthRequired: page("The length is missing",
		"The request was not passed on: it has to declare its length."),
	http.StatusRequestEntityTooLarge: page("The request is too large",
		"It was not passed on. Please start signing in again."),
	http.StatusRequestURITooLong: page("The address is too long",
		"The request was not passed on. Please start signing in again."),
	http.StatusRequestHeaderFieldsTooLarge: page("The header is too large",
		"The request was not passed on. Deleting this site's cookies may help."),
	http.StatusBadGateway: page("The sign-in was interrupted",
		"It is not known whether it arrived. Please do not reload this page: start signing in again."),
	http.StatusServiceUnavailable: page("The sign-in service cannot be reached",
		"Your sign-in was not delivered. Reloading this page is safe."),
	http.StatusGatewayTimeout: page("The sign-in service did not answer in time",
		"It is not known whether your sign-in arrived. Please do not reload this page: start signing in again."),
}

func page(title string, paragraphs ...string) []byte {
	var b strings.Builder
	b.WriteString(pageHead + title + pageBody + title + "</h1>\n")
	for _, paragraph := range paragraphs {
		b.WriteString("<p>" + paragraph + "</p>\n")
	}
	b.WriteString(pageTail)
	return []byte(b.String())
}

// gonePage is the 410 of a route whose sunset has passed.
func gonePage(r *routetable.Route) []byte {
	closed := r.Sunset
	if r.HeldUntil.After(closed) {
		closed = r.HeldUntil
	}
	paragraphs := []string{
		"It was closed on " + closed.UTC().Format("2 January 2006 at 15:04:05 UTC") + ". Nothing was passed on.",
	}
	if r.InfoURL != "" {
		paragraphs = append(paragraphs, `<a href="`+html.EscapeString(r.InfoURL)+`" rel="noreferrer">What to do now</a>`)
	}
	return page("This sign-in address is closed", paragraphs...)
}

// retrySeconds is how long a client should wait before it reloads a 503.
const retrySeconds = 5

// writePage answers with a page.
func writePage(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
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
	_, _ = w.Write(body) // a client that left needs no page
}

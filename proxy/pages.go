// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// pages.go: the constant pages of the proxy.

import (
	"net/http"

	"github.com/callbackproxy/callback-operator/proxy/page"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// pages are the constant pages of the proxy. The only link in any of them is
// the one that the route's owner declared. Their sentence about delivery is
// true: 503 means that no byte of the sign-in was sent to a backend, 502 and 504
// that some may have been.
var pages = map[int]page.Page{
	http.StatusBadRequest: page.New("This request is not valid",
		"It was not passed on. Please start signing in again."),
	http.StatusForbidden: page.New("This sign-in was not delivered",
		"The address was opened ahead of time, by a browser that prepares pages. Reloading this page is safe."),
	http.StatusNotFound: page.New("Nothing is here",
		"No sign-in ends at this address."),
	http.StatusMethodNotAllowed: page.New("This method is not allowed",
		"The request was not passed on."),
	http.StatusConflict: page.New("This sign-in was handed on before",
		"It is not known how it ended, so it was not handed on again. Please do not reload this page: start signing in again."),
	http.StatusLengthRequired: page.New("The length is missing",
		"The request was not passed on: it has to declare its length."),
	http.StatusExpectationFailed: page.New("This expectation is not met",
		"The request was not passed on."),
	http.StatusHTTPVersionNotSupported: page.New("This protocol is not spoken here",
		"The request was not passed on: this address speaks HTTP/1.1."),
	http.StatusRequestEntityTooLarge: page.New("The request is too large",
		"It was not passed on. Please start signing in again."),
	http.StatusRequestURITooLong: page.New("The address is too long",
		"The request was not passed on. Please start signing in again."),
	http.StatusRequestHeaderFieldsTooLarge: page.New("The header is too large",
		"The request was not passed on. Deleting this site's cookies may help."),
	http.StatusBadGateway: page.New("The sign-in was interrupted",
		"It is not known whether it arrived. Please do not reload this page: start signing in again."),
	http.StatusServiceUnavailable: page.New("The sign-in service cannot be reached",
		"Your sign-in was not delivered. Reloading this page is safe."),
	http.StatusGatewayTimeout: page.New("The sign-in service did not answer in time",
		"It is not known whether your sign-in arrived. Please do not reload this page: start signing in again."),
}

// heldPage is the 503 of a path whose route is not accepted any more.
var heldPage = page.New("This sign-in address is on hold",
	"Your sign-in was not delivered. Reloading this page later is safe.")

// unownedPage is the 403 of a callback that no rule of its route gives to a backend.
var unownedPage = page.New("This sign-in did not begin here",
	"It was not passed on, because no sign-in service that began it could be found. Please start signing in again.")

// busyPage is the 503 of an instance, or a route, that has too much to do.
var busyPage = page.New("The sign-in service is busy",
	"Your sign-in was not delivered. Reloading this page is safe.")

// gonePage is the 410 of a route whose sunset has passed.
func gonePage(r *routetable.Route) page.Page {
	closed := r.Sunset
	if r.HeldUntil.After(closed) {
		closed = r.HeldUntil
	}
	return page.New("This sign-in address is closed",
		"It was closed on "+closed.UTC().Format("2 January 2006 at 15:04:05 UTC")+". Nothing was passed on.")
}

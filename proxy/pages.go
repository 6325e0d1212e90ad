// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// pages.go: the constant pages of the proxy.

import (
	"net/http"

	"github.com/callbackproxy/callback-operator/proxy/page"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// Sentences of several pages.
const (
	startAgain    = "Start signing in again."
	nothingPassed = "Your sign-in was not passed on."
)

// pages are the constant pages of the proxy. The only links in any of them are
// those that the platform team and the route's owner declared. Their sentences about
// delivery are true: 503 means that no byte of the sign-in was sent to a backend, 502
// and 504 that some may have been.
var pages = map[int]page.Page{
	http.StatusBadRequest: {
		Title:    "This request is not valid",
		Happened: "It breaks a rule for requests, so it was not passed on.",
		Reload:   page.Useless, Next: startAgain,
	},
	http.StatusForbidden: {
		Title:    "This sign-in was not delivered",
		Happened: "The address was opened ahead of time, by a browser that prepares pages.",
		Reload:   page.Safe, Next: "It continues your sign-in.",
	},
	http.StatusNotFound: {
		Title:    "Nothing is here",
		Happened: "No sign-in ends at this address.",
		Reload:   page.Useless, Next: "Go back to the application, and sign in from there.",
	},
	http.StatusMethodNotAllowed: {
		Title:    "This method is not allowed",
		Happened: "A sign-in does not arrive in this way, so nothing was passed on.",
		Reload:   page.Useless, Next: startAgain,
	},
	http.StatusConflict: {
		Title:    "This sign-in was handed on before",
		Happened: "It is not known how it ended, so it was not handed on again.",
		Reload:   page.Unsafe, Next: startAgain,
	},
	http.StatusLengthRequired: {
		Title:    "The length is missing",
		Happened: "The request has to declare its length, so it was not passed on.",
		Reload:   page.Useless, Next: startAgain,
	},
	http.StatusExpectationFailed: {
		Title:    "This expectation is not met",
		Happened: "The request expects more than this address offers, so it was not passed on.",
		Reload:   page.Useless, Next: startAgain,
	},
	http.StatusHTTPVersionNotSupported: {
		Title:    "This protocol is not spoken here",
		Happened: "This address speaks HTTP/1.1, so the request was not passed on.",
		Reload:   page.Useless, Next: startAgain,
	},
	http.StatusRequestEntityTooLarge: {
		Title:    "The request is too large",
		Happened: nothingPassed,
		Reload:   page.Useless, Next: startAgain + " If this page comes again, contact support.",
	},
	http.StatusRequestURITooLong: {
		Title:    "The address is too long",
		Happened: nothingPassed,
		Reload:   page.Useless, Next: startAgain + " If this page comes again, contact support.",
	},
	http.StatusRequestHeaderFieldsTooLarge: {
		Title:    "The request has too many cookies",
		Happened: "Your browser sent more than fits into a request. " + nothingPassed,
		Reload:   page.Useless, Next: "Delete the cookies of this site, then start signing in again.",
	},
	http.StatusBadGateway: {
		Title:    "The sign-in was interrupted",
		Happened: "It is not known whether it arrived.",
		Reload:   page.Unsafe, Next: startAgain,
	},
	http.StatusServiceUnavailable: {
		Title:    "The sign-in service cannot be reached",
		Happened: "Your sign-in was not delivered.",
		Reload:   page.Safe, Next: "Try it in a few seconds: it continues your sign-in.",
	},
	http.StatusGatewayTimeout: {
		Title:    "The sign-in service did not answer in time",
		Happened: "It is not known whether your sign-in arrived.",
		Reload:   page.Unsafe, Next: startAgain,
	},
}

// heldPage is the 503 of a path whose route is not accepted any more.
var heldPage = page.Page{
	Title:    "This sign-in address is on hold",
	Happened: "Your sign-in was not delivered.",
	Reload:   page.Safe, Next: "Try it later, or start signing in again then.",
}

// unownedPage is the 403 of a callback that no rule of its route gives to a backend.
var unownedPage = page.Page{
	Title:    "This sign-in did not begin here",
	Happened: "No sign-in service that began it could be found, so it was not passed on.",
	Reload:   page.Useless, Next: startAgain,
}

// busyPage is the 503 of an instance, or a route, that has too much to do.
var busyPage = page.Page{
	Title:    "The sign-in service is busy",
	Happened: "Your sign-in was not delivered.",
	Reload:   page.Safe, Next: "Try it in a few seconds: it continues your sign-in.",
}

// gonePage is the 410 of a route whose sunset has passed.
func gonePage(r *routetable.Route) page.Page {
	closed := r.Sunset
	if r.HeldUntil.After(closed) {
		closed = r.HeldUntil
	}
	return page.Page{
		Title:    "This sign-in address is closed",
		Happened: "It was closed on " + closed.UTC().Format("2 January 2006 at 15:04:05 UTC") + ". Nothing was passed on.",
		Reload:   page.Useless, Next: "Go back to the application, and sign in from there.",
	}
}

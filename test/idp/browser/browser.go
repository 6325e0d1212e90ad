// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package browser signs a user in as a browser would: it follows redirects one
// by one and keeps cookies. Which address a URL leads to is for its route to
// say, as DNS and a front door do it elsewhere; nothing is looked up. What it
// reports of a URL is the path and the names of the query's parameters, never
// a value: codes and states are in there.
package browser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"
)

const (
	maxHops = 12
	maxBody = 1 << 20
	// patience is for one request.
	patience = 30 * time.Second
)

// Route says which host:port serves a URL.
type Route func(*url.URL) string

// Hop is one request and its answer.
type Hop struct {
	Host string
	// Target is the path with the names of the query's parameters.
	Target string
	// Address is where the request was sent.
	Address string
	Status  int
}

// String is one line for people.
func (h Hop) String() string {
	return fmt.Sprintf("GET %s%s (at %s): %d", h.Host, h.Target, h.Address, h.Status)
}

// Page is where following redirects ended.
type Page struct {
	Status int
	Header http.Header
	Body   []byte
	Hops   []Hop
}

// Browser is one user's: cookies are kept from call to call. It is for one
// goroutine.
type Browser struct {
	jar   *cookiejar.Jar
	route Route
}

// New returns a browser without cookies.
func New(route Route) (*Browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("make a cookie jar: %w", err)
	}
	return &Browser{jar: jar, route: route}, nil
}

// Open gets a URL and follows redirects to the page at their end, whatever its
// status is.
func (b *Browser) Open(ctx context.Context, start string) (*Page, error) {
	next, err := url.Parse(start)
	if err != nil {
		return nil, errors.New("open a page: the URL does not parse")
	}
	page := &Page{}
	for range maxHops {
		location, err := b.get(ctx, next, page)
		if err != nil {
			return nil, fmt.Errorf("get %s%s: %w", next.Host, target(next), err)
		}
		if location == "" {
			return page, nil
		}
		if next, err = next.Parse(location); err != nil {
			return nil, errors.New("follow a redirect: its Location does not parse")
		}
	}
	return nil, fmt.Errorf("open a page: more than %d redirects", maxHops)
}

// get makes one request and puts its answer into page. It returns the Location
// of a redirect, else nothing. It goes by RoundTrip, because the errors of an
// http.Client hold the URL.
func (b *Browser) get(ctx context.Context, u *url.URL, page *Page) (location string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return "", errors.New("the request is not valid")
	}
	for _, cookie := range b.jar.Cookies(u) {
		request.AddCookie(cookie)
	}
	address := b.route(u)
	response, err := transportTo(address).RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	b.jar.SetCookies(u, response.Cookies())
	page.Status, page.Header = response.StatusCode, response.Header
	page.Hops = append(page.Hops, Hop{Host: u.Host, Target: target(u), Address: address, Status: response.StatusCode})
	if page.Body, err = io.ReadAll(io.LimitReader(response.Body, maxBody)); err != nil {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	switch response.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		return response.Header.Get("Location"), nil
	}
	return "", nil
}

// transportTo connects to one address, whatever a URL says.
func transportTo(address string) *http.Transport {
	return &http.Transport{
		DisableKeepAlives:  true,
		DisableCompression: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
}

// target is what may be told of a URL.
func target(u *url.URL) string {
	if u.RawQuery == "" {
		return u.EscapedPath()
	}
	var names []string
	for part := range strings.SplitSeq(u.RawQuery, "&") {
		name, _, _ := strings.Cut(part, "=")
		names = append(names, name+"=…")
	}
	return u.EscapedPath() + "?" + strings.Join(names, "&")
}

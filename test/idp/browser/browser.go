// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package browser is an HTTP client that signs a user in as a browser does: it
// follows redirects one by one and keeps cookies. Its route maps a URL to an
// address, in the place of DNS and a load balancer; there are no look-ups. Its
// reports and errors contain the path of a URL and the names of the query's
// parameters, never a value, because codes and states are values.
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
	// requestTimeout bounds one request.
	requestTimeout = 30 * time.Second
)

// Route returns the host:port that serves a URL.
type Route func(*url.URL) string

// Hop is one request and its response.
type Hop struct {
	Host string
	// Target is the path with the names of the query's parameters.
	Target string
	// Address is the host:port that got the request.
	Address string
	Status  int
}

// String returns the hop as one line.
func (h Hop) String() string {
	return fmt.Sprintf("GET %s%s (at %s): %d", h.Host, h.Target, h.Address, h.Status)
}

// Page is the last response, after all redirects.
type Page struct {
	Status int
	Header http.Header
	Body   []byte
	Hops   []Hop
}

// Browser is one user's browser and keeps its cookies between calls. It must
// not be used by several goroutines at once.
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

// Open gets a URL, follows its redirects and returns the last page with any
// status.
func (b *Browser) Open(ctx context.Context, start string) (*Page, error) {
	page, _, err := b.OpenUntil(ctx, start, func(*url.URL) bool { return false })
	return page, err
}

// OpenUntil is Open that stops before a URL, and returns it as next: the rest of the
// way can be opened later. next is empty when the way ended before.
func (b *Browser) OpenUntil(ctx context.Context, start string, isLast func(*url.URL) bool) (page *Page, next string, err error) {
	to, err := url.Parse(start)
	if err != nil {
		return nil, "", errors.New("open a page: the URL does not parse")
	}
	page = &Page{}
	for range maxHops {
		if isLast(to) {
			return page, to.String(), nil
		}
		location, err := b.get(ctx, to, page)
		if err != nil {
			return nil, "", fmt.Errorf("get %s%s: %w", to.Host, target(to), err)
		}
		if location == "" {
			return page, "", nil
		}
		if to, err = to.Parse(location); err != nil {
			return nil, "", errors.New("follow a redirect: its Location does not parse")
		}
	}
	return nil, "", fmt.Errorf("open a page: more than %d redirects", maxHops)
}

// get makes one request and stores its response in page. It returns the
// Location of a redirect, or nothing. It uses RoundTrip, because the errors of
// an http.Client contain the URL.
func (b *Browser) get(ctx context.Context, u *url.URL, page *Page) (location string, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
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
		return "", fmt.Errorf("read the response: %w", err)
	}
	switch response.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		return response.Header.Get("Location"), nil
	}
	return "", nil
}

// transportTo connects to one address for every URL.
func transportTo(address string) *http.Transport {
	return &http.Transport{
		DisableKeepAlives:  true,
		DisableCompression: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
}

// target returns the parts of a URL that may be shown.
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

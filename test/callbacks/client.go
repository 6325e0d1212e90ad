// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package callbacks

// client.go: single requests.

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// defaultTimeout is how long a client waits for one response.
	defaultTimeout = 10 * time.Second
	dialTimeout    = 5 * time.Second
	maxResponse    = 1 << 20
)

// NewClient returns a client that follows no redirect and makes a connection
// for each request, as the browsers of different users do.
func NewClient(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DisableKeepAlives: true, DisableCompression: true, DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

var single = NewClient(defaultTimeout)

// Get sends one GET with a raw target (/path?query) to an address and returns
// the response. Status 0 means that no whole response came; the body is then
// the reason.
func Get(ctx context.Context, address, host, target string) (status int, body string) {
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+target, http.NoBody)
	if err != nil {
		return 0, "the request is not valid"
	}
	r.Host = host
	// The errors of an http.Client contain the URL.
	response, err := single.Transport.RoundTrip(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	if err != nil {
		return 0, fmt.Sprintf("the response of status %d ended early: %v", response.StatusCode, err)
	}
	return response.StatusCode, string(read)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kubeapi is the transport that the programs have in common for requests
// to the API server.
package kubeapi

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// defaultWatch is the limit of a watch without timeoutSeconds. client-go always
	// sends timeoutSeconds, of at most this.
	defaultWatch = 10 * time.Minute
	// watchGrace is how much later than it should a watch may end.
	watchGrace = 30 * time.Second
)

// EndWatches returns a transport on which every watch ends soon after the API
// server should have ended it. A stalled connection, on which not even the end of
// the watch arrives, then cannot hide updates.
func EndWatches(next http.RoundTripper) http.RoundTripper {
	return RoundTripper(func(r *http.Request) (*http.Response, error) {
		limit, is := watchTime(r.URL.Query())
		if !is {
			return next.RoundTrip(r)
		}
		ctx, cancel := context.WithTimeout(r.Context(), limit+watchGrace)
		response, err := next.RoundTrip(r.WithContext(ctx))
		if err != nil {
			cancel()
			return nil, err
		}
		response.Body = &endingBody{ReadCloser: response.Body, cancel: cancel}
		return response, nil
	})
}

// watchTime returns how long the API server lets a watch last; false: a
// request is none.
func watchTime(query url.Values) (time.Duration, bool) {
	if is, err := strconv.ParseBool(query.Get("watch")); err != nil || !is {
		return 0, false
	}
	seconds, err := strconv.ParseUint(query.Get("timeoutSeconds"), 10, 31)
	if err != nil || seconds == 0 {
		return defaultWatch, true
	}
	return time.Duration(seconds) * time.Second, true
}

// endingBody frees what bounded its time.
type endingBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close ends the watch.
func (b *endingBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// RoundTripper makes a function a transport.
type RoundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f RoundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
)

// redialInterval is the time between two attempts to reach an API server that
// is away.
const redialInterval = time.Second

// NewCacheClient returns the client with which the cache lists and watches. It
// does not give up where nobody answers the phone: after a few failures the
// cache rests up to a minute between two attempts, and a manager that begins to
// lead right after an outage would look at the world of before it as long.
func NewCacheClient(config *rest.Config) (*http.Client, error) {
	config = rest.CopyConfig(config)
	config.Wrap(patient)
	c, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make client for the cache: %w", err)
	}
	return c, nil
}

// patient returns a transport on which a request that reads waits until the
// API server can be reached, or until nobody waits for it any more. Any other
// failure is told at once.
func patient(next http.RoundTripper) http.RoundTripper {
	return transportFunc(func(r *http.Request) (*http.Response, error) {
		for {
			response, err := next.RoundTrip(r)
			if r.Method != http.MethodGet || !isAway(err) {
				return response, err
			}
			select {
			case <-r.Context().Done():
				return nil, err
			case <-clock.RealClock{}.After(redialInterval):
			}
		}
	})
}

// isAway says whether nobody was there to be asked, or left before an answer.
func isAway(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" && !errors.Is(err, context.Canceled) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

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

// NewCacheClient returns the HTTP client with which the cache lists and watches.
// It redials an unreachable API server each second. Without that the cache waits
// up to a minute between two attempts, and a manager that starts to lead right
// after an outage would decide on objects from before it for as long.
func NewCacheClient(config *rest.Config) (*http.Client, error) {
	config = rest.CopyConfig(config)
	config.Timeout = 0 // it would end every watch
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return redialer{next} })
	c, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make client for the cache: %w", err)
	}
	return c, nil
}

// redialer is a transport on which a read waits until the API server can be
// reached or the request is canceled. It returns any other failure at once.
type redialer struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (d redialer) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		response, err := d.next.RoundTrip(r)
		if r.Method != http.MethodGet || !isUnreachable(err) {
			return response, err
		}
		select {
		case <-r.Context().Done():
			return nil, err
		case <-clock.RealClock{}.After(redialInterval):
		}
	}
}

// isUnreachable reports whether no connection was made, or it ended before a
// response.
func isUnreachable(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" && !errors.Is(err, context.Canceled) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// apitime.go: the request for the API server's time.

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
)

const (
	// timeRequestTimeout bounds one request for the time, and maxVersionBytes
	// what is read of its response.
	timeRequestTimeout = 5 * time.Second
	maxVersionBytes    = 64 << 10
)

// newTimeRequest returns the cheapest request to the API server: /version needs
// no permission and no storage, and even a refusal has a Date. The transport
// of the config reads the Date. An error is not reported here: the watch logs
// that the API server cannot be reached.
func newTimeRequest(config *rest.Config) (func(context.Context), error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("build client for the time: %w", err)
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("read API server's address: %w", err)
	}
	target := base.JoinPath("version").String()
	return func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, timeRequestTimeout)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
		if err != nil {
			return
		}
		response, err := client.Do(request)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxVersionBytes)) // so that the connection can be used again
		_ = response.Body.Close()
	}, nil
}

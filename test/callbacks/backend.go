// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package callbacks

// backend.go: a recorder on an address of its own.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Backend is an HTTP/1.1 server that records every request that reaches it.
type Backend struct {
	*Recorder

	server   *http.Server
	listener net.Listener
}

// StartBackend listens on addr, for example 127.0.0.1:0. respond may be nil;
// see [NewRecorder].
func StartBackend(ctx context.Context, name, addr string, respond http.Handler) (*Backend, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for backend %s: %w", name, err)
	}
	b := &Backend{Recorder: NewRecorder(name, respond), listener: listener}
	b.server = &http.Server{Handler: b.Recorder, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = b.server.Serve(listener) }()
	return b, nil
}

// Address is host:port.
func (b *Backend) Address() string { return b.listener.Addr().String() }

// Close ends the server and its connections.
func (b *Backend) Close() error {
	if err := b.server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close backend: %w", err)
	}
	return nil
}

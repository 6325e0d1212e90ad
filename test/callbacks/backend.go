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
	"sync"
	"time"
)

// Backend is an HTTP/1.1 server that records every request that reaches it.
type Backend struct {
	*Recorder

	server  *http.Server
	address string

	mu       sync.Mutex
	listener net.Listener
}

// StartBackend listens on addr, for example 127.0.0.1:0. respond may be nil;
// see [NewRecorder].
func StartBackend(ctx context.Context, name, addr string, respond http.Handler) (*Backend, error) {
	b := &Backend{Recorder: NewRecorder(name, respond)}
	b.server = &http.Server{Handler: b.Recorder, ReadHeaderTimeout: 10 * time.Second, ConnContext: withConn}
	if err := b.listen(ctx, addr); err != nil {
		return nil, err
	}
	b.address = b.listener.Addr().String()
	return b, nil
}

func (b *Backend) listen(ctx context.Context, addr string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for backend %s: %w", b.name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listener = listener
	go func() { _ = b.server.Serve(headListener{listener}) }()
	return nil
}

// Refuse refuses connections for a time. Those that are open go on.
func (b *Backend) Refuse(ctx context.Context, d time.Duration) error {
	b.mu.Lock()
	err := b.listener.Close()
	b.mu.Unlock()
	if err != nil {
		return fmt.Errorf("close the listener of backend %s: %w", b.name, err)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return b.listen(context.WithoutCancel(ctx), b.address)
}

// Address is host:port.
func (b *Backend) Address() string { return b.address }

// Close ends the server and its connections.
func (b *Backend) Close() error {
	if err := b.server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close backend: %w", err)
	}
	return nil
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

// stop_test.go: a proxy that stops ends its attempts.

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// A proxy that stops ends the attempt wherever it stands, and the error shows
// whether the request may have arrived.
func TestAttempt_EndsWhenTheProxyStops(t *testing.T) {
	t.Run("before dialling", func(t *testing.T) {
		b := newBackend(t, responds(fine))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c := newTestClient(map[string]string{first: b.address()})
		_, err := c.Attempt(ctx, callback(time.Minute, first, first))
		wants(t, err, Error{Reason: Canceled, NotDelivered: true})
		if len(b.seen()) != 0 {
			t.Error("backend saw it")
		}
	})
	t.Run("before the response", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBackend(t, func(conn net.Conn) {
			cancel()
			_, _ = io.Copy(io.Discard, conn) // ends when the proxy closes
		})
		c := newTestClient(map[string]string{first: b.address()})
		_, err := c.Attempt(ctx, callback(time.Minute, first))
		wants(t, err, Error{Reason: Canceled})
	})
	for name, pause := range map[string]time.Duration{"in the response": time.Hour, "while it waits for a pause": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			b := newBackend(t, func(conn net.Conn) {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\nabc")
				_, _ = io.Copy(io.Discard, conn)
			})
			c := newTestClient(map[string]string{first: b.address()})
			response, err := c.Attempt(ctx, callback(time.Minute, first))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Close()
			buffer := make([]byte, 3)
			if _, err := io.ReadFull(response, buffer); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(10*time.Millisecond, cancel)
			_, err = response.ReadUntil(buffer, time.Now().Add(pause))
			wants(t, err, Error{Reason: Canceled})
			_, err = response.Read(buffer)
			wants(t, err, Error{Reason: Canceled})
		})
	}
}

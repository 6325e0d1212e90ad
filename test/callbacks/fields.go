// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package callbacks

// fields.go: the header fields of a callback, as bytes.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"slices"
	"strings"
	"sync"
)

// own are the fields that a proxy sets or drops by its own rules
// (docs/spec/headers.md); all others of a load are relayed as they are.
var own = []string{
	"host", "content-length", "connection", "via", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id",
}

// sumFields returns the digest of the relayed field lines of a head: their order,
// the spelling of their names and their bytes.
func sumFields(head string) string {
	digest := sha256.New()
	_, lines, _ := strings.Cut(head, "\r\n")
	for line := range strings.SplitSeq(lines, "\r\n") {
		name, _, _ := strings.Cut(line, ":")
		if line != "" && !slices.Contains(own, strings.ToLower(name)) {
			_, _ = digest.Write([]byte(line + "\n"))
		}
	}
	return hex.EncodeToString(digest.Sum(nil))
}

// headListener keeps the bytes of heads, which net/http does not.
type headListener struct{ net.Listener }

func (l headListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &HeadConn{TCPConn: conn.(*net.TCPConn)}, nil
}

// HeadConn is a connection of a [Backend].
type HeadConn struct {
	*net.TCPConn

	mu   sync.Mutex
	read bytes.Buffer
}

// Read keeps what was read until the request ends.
func (c *HeadConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read.Write(p[:n])
	return n, err
}

// head returns the head of the present request.
func (c *HeadConn) head() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	head, _, _ := strings.Cut(c.read.String(), "\r\n\r\n")
	return head
}

// forget drops the present request. A client sends the next one after the response.
func (c *HeadConn) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read.Reset()
}

type connKey struct{}

func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// connOf returns the connection of a request; nil for one without a [Backend].
func connOf(ctx context.Context) *HeadConn {
	conn, _ := ctx.Value(connKey{}).(*HeadConn)
	return conn
}

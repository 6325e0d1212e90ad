// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is a server of bytes: it records what each connection sent and
// answers by a script.
type backend struct {
	listener net.Listener
	mu       sync.Mutex
	requests []string
	done     sync.WaitGroup
}

// newBackend serves until the test ends. answer is called with the connection
// once a whole request was read.
func newBackend(t *testing.T, answer func(conn net.Conn)) *backend {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{listener: listener}
	b.done.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			b.done.Go(func() {
				defer func() { _ = conn.Close() }()
				b.record(readRequest(conn))
				answer(conn)
			})
		}
	})
	t.Cleanup(func() { _ = listener.Close(); b.done.Wait() })
	return b
}

func (b *backend) record(request string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests = append(b.requests, request)
}

func (b *backend) seen() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests
}

func (b *backend) address() string { return b.listener.Addr().String() }

// readRequest returns the bytes of one request with a Content-Length.
func readRequest(conn net.Conn) string {
	var got bytes.Buffer
	for buf := make([]byte, 1); !strings.HasSuffix(got.String(), "\r\n\r\n"); {
		if _, err := io.ReadFull(conn, buf); err != nil {
			return got.String()
		}
		got.Write(buf)
	}
	if _, rest, found := strings.Cut(got.String(), "\r\nContent-Length: "); found {
		length, _, _ := strings.Cut(rest, "\r\n")
		n, _ := strconv.ParseInt(length, 10, 64)
		_, _ = io.CopyN(&got, conn, n)
	}
	return got.String()
}

// responds writes these bytes and closes.
func responds(answer string) func(net.Conn) {
	return func(conn net.Conn) { _, _ = io.WriteString(conn, answer) }
}

// the addresses of a table, and what they lead to in a test.
const (
	first  = "10.0.0.1:80"
	second = "10.0.0.2:80"
	third  = "10.0.0.3:80"
)

func newTestClient(mapping map[string]string) *Client {
	return NewClient(Options{ConnectTo: mapping, Now: time.Now})
}

// target is where callback leads.
const target = "/cb?code=" + secret + ";x=%zz"

// callback is a plan of a callback for one backend.
func callback(total time.Duration, addresses ...string) *Plan {
	return &Plan{
		Method: http.MethodPost, Lines: []string{"Cookie: session=" + secret}, Body: []byte("state=" + secret), Framed: true,
		Choices: []Choice{{Addresses: addresses, Target: target, Host: "auth.acme.com"}}, Total: total,
	}
}

// refusing returns an address at which nothing listens.
func refusing(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// backend_test.go: backends that record and respond byte by byte.

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// backend is a server of bytes: it records what each connection sent and
// responds by a script.
type backend struct {
	listener net.Listener
	mu       sync.Mutex
	requests []string
	done     sync.WaitGroup
}

// newBackend serves until the test ends. respond is called with each request's
// bytes once they were read whole.
func newBackend(t testing.TB, respond func(conn net.Conn, request string)) *backend {
	t.Helper()
	b := &backend{listener: listen(t)}
	b.done.Go(func() {
		for {
			conn, err := b.listener.Accept()
			if err != nil {
				return
			}
			b.done.Go(func() {
				defer func() { _ = conn.Close() }()
				request := readRequest(bufio.NewReader(conn))
				b.mu.Lock()
				b.requests = append(b.requests, request)
				b.mu.Unlock()
				respond(conn, request)
			})
		}
	})
	t.Cleanup(func() { _ = b.listener.Close(); b.done.Wait() })
	return b
}

// responds writes these bytes and closes.
func responds(content string) func(net.Conn, string) {
	return func(conn net.Conn, _ string) { _, _ = io.WriteString(conn, content) }
}

func ok(body string) func(net.Conn, string) {
	return responds("HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

func readRequest(from *bufio.Reader) string {
	var head strings.Builder
	length := int64(0)
	for {
		line, err := from.ReadString('\n')
		head.WriteString(line)
		if value, found := strings.CutPrefix(line, "Content-Length: "); found {
			length, _ = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
		if line == "\r\n" || err != nil {
			break
		}
	}
	body, _ := io.ReadAll(io.LimitReader(from, length))
	return head.String() + string(body)
}

// lead maps an address of the table to a backend.
func (r *rig) lead(address string, b *backend) { r.connectTo[address] = b.listener.Addr().String() }

func (b *backend) seen() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.requests...)
}

// only returns the single request that a backend got.
func (b *backend) only(t testing.TB) string {
	t.Helper()
	seen := b.seen()
	if len(seen) != 1 {
		t.Fatalf("backend saw %d requests, want 1", len(seen))
	}
	return seen[0]
}

// parts takes a request apart: its first line's target, its fields, its body.
func parts(t testing.TB, request string) (target string, fields http.Header, body string) {
	t.Helper()
	head, body, _ := strings.Cut(request, "\r\n\r\n")
	first, rest, _ := strings.Cut(head, "\r\n")
	words := strings.Split(first, " ")
	if len(words) != 3 {
		t.Fatalf("first line is %q", first)
	}
	fields = http.Header{}
	for line := range strings.SplitSeq(rest, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		fields.Add(name, strings.Trim(value, " \t"))
	}
	return words[1], fields, body
}

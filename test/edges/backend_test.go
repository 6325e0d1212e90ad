// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package edges

// backend_test.go: a backend or an application that breaks off, and counts the requests that reached it.

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fault is how a backend ends.
type fault struct {
	name string
	// sent is what it sends before it closes the connection, or resets it.
	sent  string
	reset bool
	// cut: the head of the response reaches the client, which sees that the rest is
	// missing. Otherwise the client gets the proxy's own 502.
	cut bool
	// early: it ends before it has read the body of the request.
	early bool
}

const page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"

// faults are those of a backend of callbacks.
var faults = []fault{
	{name: "short body", sent: page + "Content-Length: 99\r\n\r\nabc"},
	{name: "short body, reset", sent: page + "Content-Length: 99\r\n\r\nabc", reset: true},
	{name: "no byte"},
	{name: "no byte, reset", reset: true},
	{name: "half a head", sent: "HTTP/1.1 200 OK\r\nContent-Le"},
	{name: "head, reset", sent: page + "Content-Length: 99\r\n\r\n", reset: true},
	{name: "short chunks", sent: page + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"},
	{name: "no HTTP", sent: "SSH-2.0-OpenSSH_9.2\r\n\r\n"},
	{name: "408", sent: "HTTP/1.1 408 Request Timeout\r\nContent-Length: 2\r\n\r\nno"},
	{name: "421", sent: "HTTP/1.1 421 Misdirected Request\r\nContent-Length: 2\r\n\r\nno"},
	{name: "interim response only", sent: "HTTP/1.1 100 Continue\r\n\r\n"},
	{name: "cut after 40 KiB", sent: page + "Content-Length: 99999\r\n\r\n" + strings.Repeat("0123456789abcdef", 2560), cut: true},
	{name: "cut chunks after 40 KiB", sent: page + "Transfer-Encoding: chunked\r\n\r\na000\r\n" + strings.Repeat("0123456789abcdef", 2560), cut: true},
}

// appFaults are those of an application behind a sidecar. A head is passed as it
// comes.
var appFaults = func() []fault {
	// Without the sidecar a browser gets these two as well.
	list := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return f.name == "408" || f.name == "421" })
	for i := range list {
		list[i].cut = strings.HasPrefix(list[i].sent, page) && !list[i].reset
	}
	return slices.DeleteFunc(list, func(f fault) bool { return f.sent != "" && f.reset }) // the reset may overtake what was sent
}()

// backend records each request and ends in a way.
type backend struct {
	address string
	way     atomic.Pointer[fault] // nil: it responds with 200 and keeps the connection

	mu       sync.Mutex
	requests []string
	fields   http.Header // of the last request
}

func startBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{}
	b.address = serve(t, b.converse)
	return b
}

// breaks reports whether a request is one that a backend's fault concerns, and not
// one for another path, such as a browser's for an icon.
func breaks(r *http.Request) bool {
	return strings.HasPrefix(r.RequestURI, "/cb") || strings.HasPrefix(r.RequestURI, "/app")
}

// serve accepts connections until the test ends.
func serve(t *testing.T, converse func(conn *net.TCPConn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				converse(conn.(*net.TCPConn))
			}()
		}
	})
	t.Cleanup(func() { _ = listener.Close(); running.Wait() })
	return listener.Addr().String()
}

func (b *backend) converse(conn *net.TCPConn) {
	from := bufio.NewReader(conn)
	for {
		request, err := http.ReadRequest(from)
		if err != nil {
			return
		}
		way := b.way.Load()
		var body []byte
		if way == nil || !way.early {
			if body, err = io.ReadAll(request.Body); err != nil {
				return
			}
		}
		b.mu.Lock()
		b.requests = append(b.requests, request.Method+" "+request.RequestURI+" "+string(body))
		b.fields = request.Header
		b.mu.Unlock()
		if way == nil || !breaks(request) {
			_, _ = io.WriteString(conn, page+"Connection: keep-alive\r\nContent-Length: 4\r\n\r\nfine")
			continue
		}
		_, _ = io.WriteString(conn, way.sent)
		if way.reset {
			_ = conn.SetLinger(0)
		}
		return
	}
}

// delivered is how many requests with an identity reached the backend.
func (b *backend) delivered(id string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, request := range b.requests {
		if strings.Contains(request, id) {
			n++
		}
	}
	return n
}

// startSilent starts a proxy that closes the client's connection without a status
// line when the backend breaks off, as many do. It shows that a test can fail.
func startSilent(t *testing.T, backend string) string {
	t.Helper()
	return serve(t, func(conn *net.TCPConn) {
		for from := bufio.NewReader(conn); ; {
			request, err := http.ReadRequest(from)
			if err != nil {
				return
			}
			if !breaks(request) {
				_, _ = io.WriteString(conn, page+"Content-Length: 4\r\n\r\nfine")
				continue
			}
			onward, err := net.DialTimeout("tcp", backend, time.Second)
			if err != nil {
				return
			}
			_ = request.Write(onward)
			response, err := http.ReadResponse(bufio.NewReader(onward), request)
			if err != nil {
				return
			}
			body, err := io.ReadAll(response.Body)
			if err != nil {
				return
			}
			response.Body = io.NopCloser(strings.NewReader(string(body)))
			_ = response.Write(conn)
		}
	})
}

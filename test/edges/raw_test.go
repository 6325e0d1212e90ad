// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package edges

// raw_test.go: bytes that no ordinary client sends.

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// exchange sends bytes on a connection of its own and returns all that comes back
// until the proxy ends the connection.
func exchange(t *testing.T, address, raw string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, raw)
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("%.60q: the connection ends with %v", raw, err)
	}
	return string(all)
}

// F66: no field by which a client could make a mesh send a request again reaches a
// backend or an application, from any peer.
func TestF66_EnvoyFieldsAreStripped(t *testing.T) {
	backend := startBackend(t)
	for _, trusted := range [][]string{nil, {"127.0.0.0/8"}} {
		p := startProxy(t, options{backend: backend.address, app: backend.address, trusted: trusted})
		for _, target := range []string{"/cb?code=1", "/app"} {
			for _, name := range []string{
				"X-Envoy-Retry-On", "x-envoy-retry-on", "X-ENVOY-RETRY-ON", "X_Envoy_Retry_On", "x-envoy_retry-on", "X-Envoy-Max-Retries",
				"X-Envoy-Retry-Grpc-On", "X-Envoy-Hedge-On-Per-Try-Timeout", "X-Envoy-Upstream-Rq-Per-Try-Timeout-Ms",
				"X-Envoy-Retriable-Status-Codes", "X-Envoy-Original-Path",
			} {
				raw := "GET " + target + " HTTP/1.1\r\nHost: " + authHost + "\r\n" + name + ": 5xx,reset\r\nX-Other: kept\r\nConnection: close\r\n\r\n"
				got := exchange(t, p.address, raw)
				if !strings.HasPrefix(got, "HTTP/1.1 200 ") {
					t.Fatalf("%s, %s: %.60q", target, name, got)
				}
				backend.mu.Lock()
				fields := backend.fields
				backend.mu.Unlock()
				if fields.Get("X-Other") != "kept" {
					t.Errorf("%s, %s: the request did not arrive: %v", target, name, fields)
				}
				for field := range fields {
					if strings.HasPrefix(strings.ReplaceAll(strings.ToLower(field), "_", "-"), "x-envoy-") {
						t.Errorf("%s, trusted %v: %s arrives as %s", target, trusted, name, field)
					}
				}
			}
		}
	}
}

// ambiguous are requests that two servers can read in two ways.
func ambiguous() map[string]string {
	const (
		form  = "Content-Type: application/x-www-form-urlencoded\r\n"
		chunk = "6\r\ncode=1\r\n0\r\n\r\n"
		body  = "code=1"
	)
	post := func(version, fields, content string) string {
		return "POST /cb HTTP/" + version + "\r\nHost: " + authHost + "\r\n" + form + fields + "\r\n" + content
	}
	return map[string]string{
		"HTTP/1.0 with chunks":               post("1.0", "Transfer-Encoding: chunked\r\n", chunk),
		"HTTP/1.0 with chunks and a length":  post("1.0", "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", chunk),
		"HTTP/1.0 that goes on after a body": post("1.0", "Connection: keep-alive\r\nContent-Length: 6\r\n", body),
		"length, then chunks":                post("1.1", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", chunk),
		"chunks, then length":                post("1.1", "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", chunk),
		"two lengths":                        post("1.1", "Content-Length: 6\r\nContent-Length: 0\r\n", body),
		"two equal lengths":                  post("1.1", "Content-Length: 6\r\nContent-Length: 6\r\n", body),
		"signed length":                      post("1.1", "Content-Length: +6\r\n", body),
		"hexadecimal length":                 post("1.1", "Content-Length: 0x6\r\n", body),
		"listed length":                      post("1.1", "Content-Length: 6, 6\r\n", body),
		"unknown coding":                     post("1.1", "Transfer-Encoding: xchunked\r\n", chunk),
		"coding twice":                       post("1.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunk),
		"coding in a list":                   post("1.1", "Transfer-Encoding: chunked, identity\r\n", chunk),
		"coding before a vertical tab":       post("1.1", "Transfer-Encoding: \x0bchunked\r\n", chunk),
		"malformed chunk":                    post("1.1", "Transfer-Encoding: chunked\r\n", "zz\r\ncode=1\r\n0\r\n\r\n"),
		"chunk line that ends with LF":       post("1.1", "Transfer-Encoding: chunked\r\n", "6\ncode=1\n0\n\n"),
		"blank before the colon":             post("1.1", "Content-Length : 6\r\n", body),
		"folded line":                        post("1.1", "X-A: b\r\n c\r\nContent-Length: 6\r\n", body),
		"folded length":                      post("1.1", "Content-Length:\r\n 6\r\n", body),
		"line that ends with LF":             post("1.1", "X-A: b\nContent-Length: 6\r\n", body),
		"head that ends with LF LF":          "GET /cb?code=1 HTTP/1.1\r\nHost: " + authHost + "\n\n",
		"request line that ends with LF":     "GET /cb?code=1 HTTP/1.1\nHost: " + authHost + "\r\n\r\n",
		"CR in a value":                      post("1.1", "X-A: b\rTransfer-Encoding: chunked\r\nContent-Length: 6\r\n", body),
		"NUL in a value":                     post("1.1", "X-A: b\x00\r\nContent-Length: 6\r\n", body),
		"first line folded":                  "GET /cb?code=1 HTTP/1.1\r\n X: y\r\nHost: " + authHost + "\r\n\r\n",
		"two hosts":                          "GET /cb?code=1 HTTP/1.1\r\nHost: " + authHost + "\r\nHost: evil.test\r\n\r\n",
		"no host":                            "GET /cb?code=1 HTTP/1.1\r\nX-A: b\r\n\r\n",
		"blank in the target":                "GET /cb?code=1 2 HTTP/1.1\r\nHost: " + authHost + "\r\n\r\n",
		"two blanks":                         "GET  /cb?code=1 HTTP/1.1\r\nHost: " + authHost + "\r\n\r\n",
	}
}

// F76: a request that two servers can read in two ways gets the proxy's own 400,
// once, and the end of its connection, whatever follows. Nothing is delivered.
func TestF76_AmbiguousRequestsAreRefused(t *testing.T) {
	backend := startBackend(t)
	address := startProxy(t, options{backend: backend.address}).address
	const follows = "GET /cb?code=smuggled HTTP/1.1\r\nHost: " + authHost + "\r\n\r\n"
	for name, raw := range ambiguous() {
		got := exchange(t, address, raw+follows)
		response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
		if err != nil {
			t.Errorf("%s: %v, %.60q", name, err, got)
			continue
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		switch {
		case err != nil || response.StatusCode != http.StatusBadRequest || !response.Close || !strings.Contains(string(body), "This request is not valid"):
			t.Errorf("%s: %d, %v, closes %v, %.60q", name, response.StatusCode, err, response.Close, body)
		case strings.Count(got, "HTTP/1.1 ") != 1:
			t.Errorf("%s: %d responses", name, strings.Count(got, "HTTP/1.1 "))
		}
	}
	if n := backend.delivered("/cb"); n != 0 {
		t.Errorf("%d requests were delivered", n)
	}
	t.Logf("%d requests refused", len(ambiguous()))
	// The control: without ambiguity both are delivered.
	if got := exchange(t, address, fmt.Sprintf("GET /cb?code=1 HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", authHost)); !strings.HasPrefix(got, "HTTP/1.1 200 ") || backend.delivered("/cb") != 1 {
		t.Errorf("control: %.60q", got)
	}
}

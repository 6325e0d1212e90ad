// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/callbackproxy/callback-operator/proxy/metrics"
)

// echo starts a backend that responds with its number, the request line and the
// host, and returns its address.
func echo(t testing.TB, number int) string {
	t.Helper()
	b := newBackend(t, func(conn net.Conn, request string) {
		line, rest, _ := strings.Cut(request, "\r\n")
		_, after, _ := strings.Cut(rest, "Host: ")
		hostname, _, _ := strings.Cut(after, "\r\n")
		body := fmt.Sprintf("%d %s %s", number, line, hostname)
		_, _ = io.WriteString(conn, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	})
	return b.listener.Addr().String()
}

// counted returns the value of a series, or the empty string.
func counted(t testing.TB, m *metrics.Metrics, series string) string {
	t.Helper()
	for line := range strings.SplitSeq(scrape(t, m), "\n") {
		if value, found := strings.CutPrefix(line, series+" "); found {
			return value
		}
	}
	return ""
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/callbackproxy/callback-operator/test/callbacks"
)

// responseTimeout bounds one callback.
const responseTimeout = 10 * time.Second

// caller sends callbacks over one connection that stays open, with as little work
// of its own as possible: it shares two cores with the processes that it measures.
type caller struct {
	conn net.Conn
	in   *bufio.Reader
}

func newCaller(address string) (*caller, error) {
	conn, err := net.DialTimeout("tcp", address, responseTimeout)
	if err != nil {
		return nil, fmt.Errorf("connect to a proxy: %w", err)
	}
	return &caller{conn: conn, in: bufio.NewReader(conn)}, nil
}

func (c *caller) close() { _ = c.conn.Close() }

// callback is a request on the wire.
func (p place) callback() []byte {
	return fmt.Appendf(nil, "GET %s?%s HTTP/1.1\r\nHost: %s\r\n\r\n", p.path(), callbacks.Single(), hostname(p.fleet, p.host))
}

// send sends a request and returns the status and the body of the response.
func (c *caller) send(request []byte) (status int, body string, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(responseTimeout)); err != nil {
		return 0, "", err
	}
	if _, err := c.conn.Write(request); err != nil {
		return 0, "", fmt.Errorf("send a callback: %w", err)
	}
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, "", fmt.Errorf("read a response: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, "", fmt.Errorf("read a response: %w", err)
	}
	return response.StatusCode, string(content), nil
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// backend.go: a backend that costs as little as it can, on bare connections.

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
)

// found is the response to a login: a redirect with two cookies.
const found = "HTTP/1.1 302 Found\r\nDate: Sun, 29 Nov 2026 12:00:00 GMT\r\nLocation: /home\r\n" +
	"Set-Cookie: session=0123456789abcdef0123456789abcdef; Path=/; HttpOnly; Secure; SameSite=Lax\r\n" +
	"Set-Cookie: csrf=fedcba9876543210fedcba9876543210; Path=/; Secure; SameSite=Strict\r\nContent-Length: 0\r\n"

const maxMessage = 128 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, maxMessage); return &b }}

// backend responds to each request; without keep a connection gets one response.
type backend struct{ keep bool }

func (b backend) serve(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer func() { _ = conn.Close() }()
			lent := buffers.Get().(*[]byte)
			defer buffers.Put(lent)
			for b.respond(conn, *lent) == nil && b.keep {
			}
		}()
	}
}

// closing is the field that ends a connection, or nothing.
func (b backend) closing() string {
	if b.keep {
		return ""
	}
	return "Connection: close\r\n"
}

var errMessage = errors.New("the request is not readable")

// respond reads one request and responds. A request whose target has the
// parameter echo gets its own head as the body.
func (b backend) respond(conn net.Conn, buffer []byte) error {
	n, end := 0, -1
	for end < 0 {
		more, err := conn.Read(buffer[n:])
		if err != nil {
			return err
		}
		n += more
		end = bytes.Index(buffer[:n], []byte("\r\n\r\n"))
	}
	head := buffer[:end+len("\r\n\r\n")]
	length, err := lengthOf(head)
	if err != nil {
		return err
	}
	if rest := len(head) + length; n > rest || rest > len(buffer) {
		return errMessage
	} else if _, err := io.ReadFull(conn, buffer[n:rest]); err != nil {
		return err
	}
	response := []byte(found + b.closing() + "\r\n")
	if line, _, _ := bytes.Cut(head, []byte("\r\n")); bytes.Contains(line, []byte("echo=")) {
		response = append([]byte("HTTP/1.1 200 OK\r\n"+b.closing()+"Content-Length: "+strconv.Itoa(len(head))+"\r\n\r\n"), head...)
	}
	_, err = conn.Write(response)
	return err
}

// lengthOf returns the declared length of a body, 0 when there is none.
func lengthOf(head []byte) (int, error) {
	const name = "content-length:"
	for line := range bytes.Lines(head) {
		if len(line) < len(name) || !bytes.EqualFold(line[:len(name)], []byte(name)) {
			continue
		}
		length, err := strconv.Atoi(string(bytes.TrimSpace(line[len(name):])))
		if err != nil || length < 0 {
			return 0, errMessage
		}
		return length, nil
	}
	return 0, nil
}

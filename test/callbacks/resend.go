// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package callbacks

// resend.go: clients that send a callback again where browsers and proxies do.

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	// maxSendings is how often a browser sends one request: Chromium's limit.
	maxSendings = 3
	// maxIdle is how long a browser keeps a connection.
	maxIdle = 20 * time.Second
	// peekTime is how long a browser waits to see whether a kept connection ended.
	peekTime = time.Millisecond
	// maxInterim bounds the interim responses to one request.
	maxInterim = 5
)

// wire returns the bytes of a request, with its target as it is.
func (r request) wire(host string) []byte {
	var b bytes.Buffer
	_, _ = fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.method, r.path+"?"+r.query, host)
	for _, line := range r.fields {
		b.WriteString(line + "\r\n")
	}
	if r.body != "" {
		b.WriteString("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: " + strconv.Itoa(len(r.body)) + "\r\n")
	}
	b.WriteString("\r\n" + r.body)
	return b.Bytes()
}

// reply is what became of one sending of a request. Status 0 means that there was
// no whole response; body is then the reason.
type reply struct {
	status int
	body   string
	// wrote: a byte of the request was sent. began: a byte of the response came.
	// head: its whole head came.
	wrote, began, head bool
	// timedOut: this client did not wait any longer.
	timedOut bool
}

// link is a connection of a client.
type link struct {
	net.Conn
	from *bufio.Reader
	// since is when it began to be idle; zero: it is new.
	since time.Time
	ended bool
}

func dialLink(address string, deadline time.Time) (*link, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout, Deadline: deadline}).Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &link{Conn: conn, from: bufio.NewReader(conn)}, nil
}

// send sends a request and reads the response. The connection has ended
// afterwards unless the response keeps it.
func (l *link) send(wire []byte, method string, deadline time.Time) (r reply) {
	l.ended = true
	fail := func(err error) reply {
		r.status, r.body, r.timedOut = 0, err.Error(), errors.Is(err, os.ErrDeadlineExceeded)
		return r
	}
	if err := l.SetDeadline(deadline); err != nil {
		return fail(err)
	}
	n, err := l.Write(wire)
	if r.wrote = n > 0; err != nil {
		return fail(err)
	}
	if _, err := l.from.Peek(1); err != nil {
		return fail(err)
	}
	r.began = true
	response, err := l.readHead(method)
	if err != nil {
		return fail(err)
	}
	r.head = true
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	if err != nil {
		return fail(fmt.Errorf("the response of status %d ended early: %w", response.StatusCode, err))
	}
	l.ended, l.since = response.Close, time.Now()
	r.status, r.body = response.StatusCode, string(content)
	return r
}

// readHead returns the first response that is not an interim one.
func (l *link) readHead(method string) (*http.Response, error) {
	for range maxInterim {
		response, err := http.ReadResponse(l.from, &http.Request{Method: method})
		if err != nil || response.StatusCode >= http.StatusOK {
			return response, err
		}
		_ = response.Body.Close()
	}
	return nil, errors.New("too many interim responses")
}

// isUsable reports whether a kept connection is open and silent.
func (l *link) isUsable() bool {
	if time.Since(l.since) > maxIdle || l.SetReadDeadline(time.Now().Add(peekTime)) != nil {
		return false
	}
	_, err := l.from.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// browser keeps connections. Like Chromium it sends a request again, a POST too,
// when a connection that was used before ended without one byte of a response.
type browser struct {
	host string
	// warm is the path that it requests first on each new connection; empty: none.
	warm string

	mu   sync.Mutex
	idle map[string][]*link
}

// send returns the last reply, and how often the request was sent.
func (b *browser) send(address string, r request, deadline time.Time) (last reply, sendings int) {
	wire := r.wire(b.host)
	for {
		conn, err := b.connect(address, deadline)
		if err != nil {
			return reply{body: err.Error()}, max(sendings, 1)
		}
		used := !conn.since.IsZero()
		last = conn.send(wire, r.method, deadline)
		sendings++
		b.put(address, conn)
		if !used || last.began || last.timedOut || sendings == maxSendings {
			return last, sendings
		}
	}
}

// connect returns a kept connection, or a new one on which something was
// requested before.
func (b *browser) connect(address string, deadline time.Time) (*link, error) {
	for conn := b.take(address); conn != nil; conn = b.take(address) {
		if conn.isUsable() {
			return conn, nil
		}
		_ = conn.Close()
	}
	conn, err := dialLink(address, deadline)
	if err != nil || b.warm == "" {
		return conn, err
	}
	first := request{method: http.MethodGet, path: b.warm, query: "warm"}
	r := conn.send(first.wire(b.host), first.method, deadline)
	if r.status == 0 {
		_ = conn.Close()
		return nil, fmt.Errorf("the connection ended before the callback: %s", r.body)
	}
	if conn.ended {
		_ = conn.Close()
		return dialLink(address, deadline)
	}
	return conn, nil
}

func (b *browser) take(address string) *link {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.idle[address]
	if len(list) == 0 {
		return nil
	}
	b.idle[address] = list[:len(list)-1]
	return list[len(list)-1]
}

func (b *browser) put(address string, conn *link) {
	if conn.ended {
		_ = conn.Close()
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.idle[address] = append(b.idle[address], conn)
}

// close closes the kept connections.
func (b *browser) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, list := range b.idle {
		for _, conn := range list {
			_ = conn.Close()
		}
	}
	clear(b.idle)
}

// sendByFront sends a request as nginx does by default (proxy_next_upstream error
// timeout), over a new connection each time: when a server cannot be reached, or
// ends without the head of a response, the next one gets the request, a POST only
// when no byte of it was sent. A head that cannot be read counts as none. nginx
// waits a minute for a head, which is longer than a delivery may take: a client
// that stopped waiting does not send again.
func sendByFront(addresses []string, host string, r request, deadline time.Time) (last reply, sendings int) {
	wire := r.wire(host)
	for _, address := range addresses {
		sendings++
		conn, err := dialLink(address, deadline)
		if err != nil {
			last = reply{body: err.Error()}
			continue
		}
		last = conn.send(wire, r.method, deadline)
		_ = conn.Close()
		if last.head || last.timedOut || r.method == http.MethodPost && last.wrote {
			break
		}
	}
	return last, sendings
}

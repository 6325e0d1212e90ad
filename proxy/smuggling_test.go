// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// smuggled is what an attacker would have the backend see.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: " + host + "\r\nX: "

// vectors are requests that servers have been seen to frame in two ways, or to
// read under another host or path. {b} stands for a body that is a request.
func vectors() []string {
	post := func(fields string) string {
		return "POST /cb HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/x-www-form-urlencoded\r\n" + fields + "\r\n{b}"
	}
	var list []string
	for _, length := range []string{
		"+5", "-5", "0x5", "5,5", "5, 5", "5;", "5 5", "05x", "1e1", "\"5\"", "", " ", "٥", "5\x00", "99999999999999999999", "5\t6",
	} {
		list = append(list, post("Content-Length: "+length+"\r\n"))
	}
	for _, coding := range []string{
		"chunked", "Chunked", " chunked", "chunked ", "xchunked", "identity", "chunked, identity", "identity, chunked",
		"chunked,chunked", "gzip, chunked", "\x0bchunked", "chunked\x00", "\"chunked\"", "chunk", "chunked;q=1", "",
	} {
		list = append(list,
			post("Transfer-Encoding: "+coding+"\r\n"),
			post("Content-Length: 5\r\nTransfer-Encoding: "+coding+"\r\n"),
			post("Transfer-Encoding: "+coding+"\r\nContent-Length: 5\r\n"),
		)
	}
	for _, fields := range []string{
		"Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: 6\r\nContent-Length: 5\r\n", "Content-Length: 5\r\ncontent-length: 0\r\n",
		"Content-Length : 5\r\n", "Content-Length\t: 5\r\n", " Content-Length: 5\r\n", "Content-Length:\r\n 5\r\n", "Content-Length\r\n",
		"Content_Length: 5\r\n", "Content-Length: 5\r\nContent_Length: 50\r\n", "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n",
		"Transfer-Encoding : chunked\r\n", "Transfer-Encoding:\r\n chunked\r\n", "X: y\nTransfer-Encoding: chunked\r\n",
		"X: y\rTransfer-Encoding: chunked\r\n", "X: y\x00\r\nContent-Length: 5\r\n", ": empty\r\nContent-Length: 5\r\n",
		"Foo\r\nContent-Length: 5\r\n", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", "Expect: x\r\nContent-Length: 5\r\n",
		"Connection: Content-Length\r\nContent-Length: 5\r\n", "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
		"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Length: 5\r\n",
		"Host: evil.example\r\nContent-Length: 5\r\n", "host: " + host + "\r\nContent-Length: 5\r\n",
	} {
		list = append(list, post(fields))
	}
	return append(list,
		"GET /cb HTTP/1.1\r\nHost: "+host+" evil\r\n\r\n{b}", "GET /cb HTTP/1.1\r\nHost: evil@"+host+"\r\n\r\n{b}",
		"GET /cb HTTP/1.1\r\nHost: "+host+":80:80\r\n\r\n{b}", "GET /cb HTTP/1.1\r\nHost: "+host+",evil\r\n\r\n{b}",
		"GET /cb HTTP/1.1\r\nHost: "+host+"/cb\r\n\r\n{b}", "GET /cb HTTP/1.1\r\nHost: \r\n\r\n{b}", "GET /cb HTTP/1.1\r\n\r\n{b}",
		"GET http://"+host+"/cb HTTP/1.1\r\nHost: evil\r\n\r\n{b}", "GET //"+host+"/cb HTTP/1.1\r\nHost: "+host+"\r\n\r\n{b}",
		"GET /cb HTTP/1.2\r\nHost: "+host+"\r\nTransfer-Encoding: chunked\r\n\r\n{b}", "GET /cb HTTP/2.0\r\nHost: "+host+"\r\n\r\n{b}",
		"GET /cb HTTP/0.9\r\nHost: "+host+"\r\n\r\n{b}", "GET /cb\r\n\r\n{b}", "GET  /cb HTTP/1.1\r\nHost: "+host+"\r\n\r\n{b}",
		"GET\t/cb HTTP/1.1\r\nHost: "+host+"\r\n\r\n{b}", "GET /cb  HTTP/1.1\r\nHost: "+host+"\r\n\r\n{b}",
		"GET /cb?a b HTTP/1.1\r\nHost: "+host+"\r\n\r\n{b}", "GET /cb\x00 HTTP/1.1\r\nHost: "+host+"\r\n\r\n{b}",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{b}", "CONNECT "+host+":443 HTTP/1.1\r\nHost: "+host+"\r\n\r\n{b}",
		"GET /cb HTTP/1.1\r\nHost: "+host+"\r\nContent-Length: 5\r\n\r\n{b}", "GET /cb HTTP/1.1\r\nHost: "+host+"\r\nTransfer-Encoding: chunked\r\n\r\n{b}",
		"TRACE /cb HTTP/1.1\r\nHost: "+host+"\r\n\r\n{b}", "GET /cb HTTP/1.1\rHost: "+host+"\r\r{b}",
	)
}

// T6: whatever a client sends, no backend sees a request that the proxy did
// not mean to send: at most the callback itself, framed by its length.
func TestT6_NoSmuggledRequestReachesABackend(t *testing.T) {
	r := newRig(t)
	b := newBackend(t, func(conn net.Conn, _ string) {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		if rest, _ := io.ReadAll(conn); len(rest) > 0 {
			t.Errorf("after its request a connection carries %q", rest)
		}
	})
	r.lead(blueAddress, b)
	r.serve(newRoute(func(r *routetable.Route) { r.Protocol = routetable.Opaque }))
	delivered := 0
	for _, vector := range vectors() {
		for _, body := range []string{smuggled, "0\r\n\r\n" + smuggled, "5\r\nhello\r\n0\r\n\r\n" + smuggled} {
			before := len(b.seen())
			raw := strings.ReplaceAll(vector, "{b}", body)
			firstResponse(t, r.address, raw)
			for _, request := range b.seen()[before:] {
				delivered++
				target, fields, content := parts(t, request)
				if target != "/cb" || fields.Get("Host") != host || fields.Get("Transfer-Encoding") != "" {
					t.Errorf("%q makes the backend see %q", raw, request)
				}
				if length := fields["Content-Length"]; len(length) > 1 || strings.Contains(request, "POST") && len(length) != 1 {
					t.Errorf("%q is framed by %q, body %q", raw, length, content)
				}
				for name := range fields {
					if strings.Contains(name, "_") {
						t.Errorf("%q makes the backend see a field %q", raw, name)
					}
				}
			}
		}
	}
	t.Logf("%d requests, %d reached the backend", 3*len(vectors()), delivered)
}

// T6: of what is passed, the application sees as many requests as the proxy
// passed, each for what the proxy took it for.
func TestT6_NoSmuggledRequestReachesAnApplication(t *testing.T) {
	var seen atomic.Int64
	s := newSidecar(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		if r.Host == host && r.URL.Path == "/cb" {
			t.Errorf("a callback reached the application: %s %s", r.Method, r.RequestURI)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		respond200(w, r)
	}, newRoute(nil))
	var sending sync.WaitGroup
	for _, vector := range vectors() {
		sending.Go(func() {
			for _, body := range []string{smuggled, "0\r\n\r\n" + getBytes("/cb?code=1"), "5\r\nhello\r\n0\r\n\r\n" + getBytes("/cb?code=1")} {
				firstResponse(t, s.address, strings.ReplaceAll(strings.ReplaceAll(vector, "/cb", "/x"), "{b}", body))
			}
		})
	}
	sending.Wait()
	s.app.Close() // it finishes what it has
	if got, want := seen.Load(), s.passed(); got > want || got == 0 {
		t.Errorf("the application saw %d requests, %d were passed", got, want)
	}
	t.Logf("%d requests, %d passed, the application saw %d", 3*len(vectors()), s.passed(), seen.Load())
}

func (s *sidecar) passed() int64 {
	n, _ := strconv.ParseInt(counted(s.t, s.metrics, metrics.Passed), 10, 64)
	return n
}

// firstResponse sends bytes, closes its half when it has an answer or an end,
// and reads to the end.
func firstResponse(t *testing.T, address, raw string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, raw)
	_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	_, _ = io.ReadAll(conn)
}

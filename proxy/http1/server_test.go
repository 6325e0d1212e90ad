// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// server_test.go: requests and responses over real connections.

import (
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A client may send each byte alone.
func TestServer_ReadsFragments(t *testing.T) {
	s := newSite(t, echo)
	c := s.dial(t)
	raw := "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\none\r\n3\r\ntwo\r\n0\r\nA: b\r\n\r\n" +
		"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nthree\r\n" + get("/c", "Connection: close")
	for i := range len(raw) {
		c.send(raw[i : i+1])
	}
	for _, want := range []string{"POST /a onetwo", "POST /b three", "GET /c "} {
		if got := c.receive("GET"); got.body != want || got.status != 200 || got.err != nil {
			t.Errorf("response is %+v, want %q", got, want)
		}
	}
	if rest, err := c.rest(); rest != "" || err != nil {
		t.Errorf("then %q, %v", rest, err)
	}
}

// F55: a thousand requests at once get their responses in order.
func TestF55_PipeliningDepth1000(t *testing.T) {
	const depth = 1000
	s := newSite(t, echo)
	c := s.dial(t)
	var raw strings.Builder
	for i := range depth {
		if i%2 == 0 {
			raw.WriteString(get("/" + strconv.Itoa(i)))
			continue
		}
		raw.WriteString("POST /" + strconv.Itoa(i) + " HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nGET ")
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c.TCPConn, raw.String())
		sent <- err
	}()
	for i := range depth {
		want := "GET /" + strconv.Itoa(i) + " "
		if i%2 == 1 {
			want = "POST /" + strconv.Itoa(i) + " GET "
		}
		if got := c.receive("GET"); got.body != want || got.closes {
			t.Fatalf("response %d is %+v", i, got)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// An empty line before a request, as old clients send it after a form, is no
// request (RFC 9112 section 2.2). Two are.
func TestServer_SkipsOneEmptyLineBeforeARequest(t *testing.T) {
	s := newSite(t, echo)
	got, err := s.exchange(t, "\r\n"+get("/a")+"\r\n"+get("/b", "Connection: close"))
	if strings.Count(got, "HTTP/1.1 200 OK") != 2 || err != nil {
		t.Errorf("responses are %q, %v", got, err)
	}
	c := s.dial(t)
	c.send(get("/a"))
	if got := c.receive("GET"); got.status != 200 {
		t.Errorf("response is %+v", got)
	}
	c.send("\r")
	c.send("\n")
	c.send(get("/b"))
	if got := c.receive("GET"); got.status != 200 || got.body != "GET /b " {
		t.Errorf("response is %+v", got)
	}
	for _, raw := range []string{"\r\n\r\n", "\n" + get("/"), "\r\r\n" + get("/"), "\r\n\r\n" + get("/")} {
		if got, _ := s.exchange(t, raw); !strings.HasPrefix(got, "HTTP/1.1 400 ") || strings.Count(got, "HTTP/1.1") != 1 {
			t.Errorf("%q gets %q", raw, got)
		}
	}
}

func TestServer_RefusesOtherProtocols(t *testing.T) {
	s := newSite(t, echo)
	for raw, reason := range map[string]string{
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": "tlsOnPlainPort", proxyV2: "proxyProtocol", proxyV2 + get("/"): "proxyProtocol",
		"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get("/"): "proxyProtocol", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": "httpVersion",
	} {
		if got, err := s.exchange(t, raw); !strings.HasSuffix(got, "\r\n\r\n"+reason) || err != nil {
			t.Errorf("%q gets %q, %v", raw, got, err)
		}
	}
}

// A client that waits for 100 Continue gets it when its body is read, and only
// then.
func TestServer_SendsContinueWhenTheBodyIsRead(t *testing.T) {
	s := newSite(t, func(x *Exchange) {
		if x.Target == "/read" {
			echo(x)
			return
		}
		x.Begin(http.StatusExpectationFailed, "No")
		_ = x.Send(nil)
	})
	head := " HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
	c := s.dial(t)
	c.send("POST /read" + head)
	if got := c.receive("POST"); got.status != http.StatusContinue {
		t.Fatalf("response is %+v", got)
	}
	c.send("body")
	if got := c.receive("POST"); got.status != 200 || got.body != "POST /read body" || got.closes {
		t.Errorf("response is %+v", got)
	}
	c.send("POST /read" + head + "body") // it did not wait
	got := c.receive("POST")
	if got.status == http.StatusContinue { // the body came later than the head
		got = c.receive("POST")
	}
	if got.status != 200 || got.body != "POST /read body" {
		t.Errorf("response is %+v", got)
	}
	c.send("POST /refuse" + head)
	if got := c.receive("POST"); got.status != http.StatusExpectationFailed || !got.closes {
		t.Errorf("response is %+v", got)
	}
}

func TestServer_ReadsTrailers(t *testing.T) {
	s := newSite(t, func(x *Exchange) {
		body, err := x.ReadBody(growing, 100, time.Now().Add(patience))
		x.Begin(200, "OK")
		if err != nil || x.Start(-1, append(body, ' ')) != nil {
			return
		}
		_, _ = x.Write([]byte(x.Body().Trailer.Get("a")))
		_, _ = x.Write(nil) // no last chunk
		_ = x.End("B: c", "D: e")
	})
	got, err := s.exchange(t, "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\na: 1\r\nx: y\r\n\r\n")
	if want := "\r\n\r\n5\r\nbody \r\n1\r\n1\r\n0\r\nB: c\r\nD: e\r\n\r\n"; !strings.HasSuffix(got, want) || err != nil {
		t.Errorf("response is %q, %v", got, err)
	}
}

// A body that is too long ends the connection, and nothing of it is a request.
func TestServer_BoundsBodies(t *testing.T) {
	s := newSite(t, func(x *Exchange) {
		body, err := x.ReadBody(growing, 10, time.Now().Add(patience))
		x.Begin(200, "OK")
		if errors.Is(err, ErrBodyLength) {
			x.Begin(http.StatusRequestEntityTooLarge, "Too Large")
		}
		_ = x.Send(body[:min(len(body), 10)])
	})
	long := strings.Repeat(get("/smuggled"), 1000)
	for framing, want := range map[string]int{
		"Content-Length: 10\r\n\r\n0123456789":                                                         200,
		"Content-Length: 11\r\n\r\n0123456789a":                                                        413,
		"Transfer-Encoding: chunked\r\n\r\n9\r\n012345678\r\n1\r\n9\r\n0\r\n\r\n":                      200,
		"Transfer-Encoding: chunked\r\n\r\n9\r\n012345678\r\n2\r\n9a\r\n0\r\n\r\n":                     413,
		"Content-Length: " + strconv.Itoa(len(long)) + "\r\n\r\n" + long:                               413,
		"Content-Length: 999999999999\r\n\r\n" + long:                                                  413,
		"Transfer-Encoding: chunked\r\n\r\n" + strconv.FormatInt(int64(len(long)), 16) + "\r\n" + long: 413,
	} {
		c := s.dial(t)
		c.send("POST / HTTP/1.1\r\nHost: h\r\n" + framing)
		if got := c.receive("POST"); got.status != want || want == 200 && got.closes {
			t.Errorf("%.60q gets %+v", framing, got)
		}
		_ = c.CloseWrite()
		if rest, err := c.rest(); rest != "" || err != nil {
			t.Errorf("%.60q: then %.60q, %v", framing, rest, err)
		}
	}
}

// F77: a client that ended its half gets its response.
func TestF77_HalfClosedClientGetsItsResponse(t *testing.T) {
	waited := make(chan error, 1)
	s := newSite(t, func(x *Exchange) {
		waited <- x.WaitClient()
		x.Begin(200, "OK")
		_ = x.Start(-1, []byte("one "))
		_, _ = x.Write([]byte("two"))
		_ = x.End()
	})
	c := s.dial(t)
	c.send(get("/"))
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; !errors.Is(err, io.EOF) {
		t.Errorf("the handler gets %v", err)
	}
	if got := c.receive("GET"); got.body != "one two" || got.err != nil {
		t.Errorf("response is %+v", got)
	}
	if rest, err := c.rest(); rest != "" || err != nil {
		t.Errorf("then %q, %v", rest, err)
	}
}

// Bytes that a client sends while its request is served are kept, and Interrupt
// ends the wait.
func TestWaitClient_KeepsTheNextRequest(t *testing.T) {
	s := newSite(t, func(x *Exchange) {
		if x.Target == "/first" {
			waiting := make(chan error)
			go func() { waiting <- x.WaitClient() }()
			x.Begin(200, "OK")
			_ = x.Start(-1, []byte("first"))
			for !x.isNextBuffered() {
				runtime.Gosched()
			}
			x.Interrupt()
			if err := <-waiting; err == nil {
				t.Error("the wait ended by itself")
			}
			x.SetReadDeadline(time.Time{})
			_ = x.End()
			return
		}
		echo(x)
	})
	c := s.dial(t)
	c.send(get("/first") + get("/second"))
	for _, want := range []string{"first", "GET /second "} {
		if got := c.receive("GET"); got.body != want || got.err != nil {
			t.Errorf("response is %+v", got)
		}
	}
}

// isNextBuffered reports whether everything that the client sent was read.
func (x *Exchange) isNextBuffered() bool { return isSilent(x.conn.Conn) }

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// caller is a client's connection.
type caller struct {
	net.Conn
	from *bufio.Reader
}

func (r *rig) call(raw string) *caller {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	c := &caller{Conn: conn, from: bufio.NewReader(conn)}
	c.write(raw)
	return c
}

func (c *caller) write(raw string) { _, _ = io.WriteString(c, raw) }

// line reads one line without its end.
func (c *caller) line(t *testing.T) string {
	t.Helper()
	line, err := c.from.ReadString('\n')
	if err != nil {
		t.Errorf("read line: %v", err)
	}
	return strings.TrimRight(line, "\r\n")
}

const upgrade = "GET /ws HTTP/1.1\r\nHost: " + host + "\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// echoes switches the protocol as requested and sends back each line. ended is
// closed when the client is gone.
func echoes(ended chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer close(ended)
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+r.Header.Get("Upgrade")+
			"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		for {
			line, err := buffered.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "echo "+line)
		}
	}
}

func (c *caller) switched(t *testing.T) {
	t.Helper()
	if got := readResponse(c.from, "GET"); got.status != 101 || got.header.Get("Sec-Websocket-Accept") == "" || got.header.Get("Connection") != "Upgrade" {
		t.Fatalf("response is %d %v", got.status, got.header)
	}
}

func TestPassThrough_WebSocket(t *testing.T) {
	ended := make(chan struct{})
	s := newSidecar(t, echoes(ended), newRoute(nil))
	c := s.call(upgrade)
	c.switched(t)
	for i := range 100 {
		c.write(strconv.Itoa(i) + "\n")
		if got := c.line(t); got != "echo "+strconv.Itoa(i) {
			t.Fatalf("line %d came back as %q", i, got)
		}
	}
	_ = c.Close()
	<-ended
}

// Only WebSockets are switched to: in HTTP/2 callbacks could pass unseen.
func TestPassThrough_SwitchesToNothingElse(t *testing.T) {
	for _, protocol := range []string{"h2c", "HTTP/2.0", "TLS/1.2", "websocket, h2c"} {
		r, b := rawApp(t, ok("plain"))
		got := r.get("/x", "Connection: Upgrade, HTTP2-Settings", "Upgrade: "+protocol, "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
		_, fields, _ := parts(t, b.only(t))
		if got.status != 200 || fields["Upgrade"] != nil || fields["Connection"] != nil || fields["Http2-Settings"] != nil {
			t.Errorf("%s: answer is %d, the application saw %v", protocol, got.status, fields)
		}
		r, _ = rawApp(t, responds("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"))
		if got := r.get("/x", "Connection: Upgrade", "Upgrade: "+protocol); got.status != 502 {
			t.Errorf("%s: unasked 101 gets %d", protocol, got.status)
		}
	}
}

// F46: a WebSocket, or a response, that does not end is given some time. Then the
// proxy stops without an error.
func TestF46_DrainEndsStreams(t *testing.T) {
	for name, begin := range map[string]string{"WebSocket": upgrade, "response": getBytes("/events")} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			s := newSidecar(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/ws" {
					echoes(ended)(w, r)
					return
				}
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
				close(ended)
			}, newRoute(nil))
			const grace = 300 * time.Millisecond
			s.standBeforeFor(s.app.Listener.Addr(), grace)
			c := s.call(begin)
			for c.line(t) != "" { // the head of the response
			}
			begun := time.Now()
			s.stop()
			if name == "WebSocket" {
				c.write("still\n")
				if got := c.line(t); got != "echo still" {
					t.Errorf("while draining: %q", got)
				}
			}
			if err := <-s.stopped; err != nil {
				t.Errorf("stopped with %v", err)
			}
			s.stopped <- nil // for the cleanup
			if took := time.Since(begun); took < grace || took > 10*time.Second {
				t.Errorf("draining took %s", took)
			}
			<-ended
		})
	}
}

// Each event arrives before the next one is sent.
func TestPassThrough_ServerSentEvents(t *testing.T) {
	next := make(chan struct{})
	s := newSidecar(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 20 {
			_, _ = io.WriteString(w, "data: "+strconv.Itoa(i)+"\n\n")
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	}, newRoute(nil))
	c := s.call(getBytes("/events"))
	for i := range 20 {
		for c.line(t) != "data: "+strconv.Itoa(i) {
			if t.Failed() {
				return
			}
		}
		next <- struct{}{}
	}
}

// 64 MiB go through without being held.
func TestPassThrough_StreamsUploads(t *testing.T) {
	const size = 64 << 20
	for name, framing := range map[string]string{"length": "Content-Length: " + strconv.Itoa(size), "chunks": "Transfer-Encoding: chunked"} {
		t.Run(name, func(t *testing.T) {
			var most uint64
			s := newSidecar(t, func(w http.ResponseWriter, r *http.Request) {
				hash, buffer := sha256.New(), make([]byte, 1<<20)
				for {
					n, err := io.ReadFull(r.Body, buffer)
					hash.Write(buffer[:n])
					var memory runtime.MemStats
					runtime.ReadMemStats(&memory)
					most = max(most, memory.HeapInuse)
					if err != nil {
						break
					}
				}
				_, _ = io.WriteString(w, hex.EncodeToString(hash.Sum(nil)))
			}, newRoute(nil))
			runtime.GC()
			var before runtime.MemStats
			runtime.ReadMemStats(&before)
			hash, chunk := sha256.New(), make([]byte, 1<<20)
			c := s.call("PUT /upload HTTP/1.1\r\nHost: " + host + "\r\n" + framing + "\r\n\r\n")
			for i := range size / len(chunk) {
				chunk[0] = byte(i)
				hash.Write(chunk)
				if name == "chunks" {
					c.write(strconv.FormatInt(int64(len(chunk)), 16) + "\r\n")
				}
				_, _ = c.Write(chunk)
				if name == "chunks" {
					c.write("\r\n")
				}
			}
			if name == "chunks" {
				c.write("0\r\n\r\n")
			}
			if got := readResponse(c.from, "PUT"); got.body != hex.EncodeToString(hash.Sum(nil)) {
				t.Errorf("response is %+v", got)
			}
			if grown := int64(most) - int64(before.HeapInuse); grown > 16<<20 {
				t.Errorf("heap grew by %d MiB", grown>>20)
			}
		})
	}
}

// Trailers go both ways, announced or not, without those that only a proxy may set.
func TestPassThrough_Trailers(t *testing.T) {
	r, app := newRig(t), listen(t)
	t.Cleanup(func() { _ = app.Close() })
	r.standBefore(app.Addr())
	r.serve(newRoute(nil))
	received := make(chan string, 1)
	go func() {
		conn, err := app.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		from, all := bufio.NewReader(conn), strings.Builder{}
		for !strings.Contains(all.String(), "\r\n0\r\n") || !strings.HasSuffix(all.String(), "\r\n\r\n") {
			line, err := from.ReadString('\n')
			if all.WriteString(line); err != nil {
				break
			}
		}
		received <- all.String()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nX-Late: 8\r\n\r\n")
	}()
	c := r.call("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Check\r\nTE: trailers\r\n\r\n" +
		"5\r\nhello\r\n0\r\nX-Check: 9\r\nX-Extra: 10\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n")
	head, body, _ := strings.Cut(<-received, "\r\n\r\n")
	if !strings.Contains(head, "\r\nTrailer: X-Check") || !strings.Contains(head, "\r\nTE: trailers") || strings.Contains(head, "Content-Length") {
		t.Errorf("application's head is %q", head)
	}
	if body != "5\r\nhello\r\n0\r\nX-Check: 9\r\nX-Extra: 10\r\n\r\n" {
		t.Errorf("application's body is %q", body)
	}
	response, err := http.ReadResponse(c.from, &http.Request{Method: http.MethodPost})
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(response.Body)
	if string(content) != "ok" || err != nil || response.Trailer.Get("X-Sum") != "7" || response.Trailer.Get("X-Late") != "8" {
		t.Errorf("response is %q %v, %v", content, response.Trailer, err)
	}
}

// A client that waits for the application's word before it sends its body
// gets it, or the application's refusal.
func TestPassThrough_Expect100Continue(t *testing.T) {
	s := newSidecar(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" || r.Header.Get("Expect") != "100-continue" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		content, _ := io.ReadAll(r.Body)
		_, _ = w.Write(content)
	}, newRoute(nil))
	const head = " HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
	c := s.call("PUT /accept" + head)
	if got := c.line(t); got != "HTTP/1.1 100 Continue" {
		t.Fatalf("first line is %q", got)
	}
	c.line(t)
	c.write("hello")
	if got := readResponse(c.from, "PUT"); got.status != 200 || got.body != "hello" {
		t.Errorf("response is %+v", got)
	}
	if got := readResponse(s.call("PUT /refuse"+head).from, "PUT"); got.status != 401 {
		t.Errorf("refusal is %+v", got)
	}
}

// An answer that comes before the body is complete reaches a client that waits
// for it, and nothing waits for the body any more.
func TestPassThrough_AnswersBeforeTheBody(t *testing.T) {
	s := newSidecar(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "too large")
		_ = http.NewResponseController(w).Flush() // so that it is chunked
	}, newRoute(nil))
	c := s.call("PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nhello")
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if got := readResponse(c.from, "PUT"); got.status != 413 || got.body != "too large" || got.err != nil {
		t.Errorf("response is %+v", got)
	}
	if _, err := c.from.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("connection is not closed: %v", err)
	}
}

// An application may answer each part of a body before the next one is sent.
func TestPassThrough_TalksBothWays(t *testing.T) {
	s := newSidecar(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		for from := bufio.NewReader(r.Body); ; {
			line, err := from.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(w, "echo "+line)
			_ = control.Flush()
		}
	}, newRoute(nil))
	c := s.call("POST /talk HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
	for i := range 20 {
		c.write("2\r\n" + strconv.Itoa(i%10) + "\n\r\n")
		for c.line(t) != "echo "+strconv.Itoa(i%10) {
			if t.Failed() {
				return
			}
		}
	}
}

// F59: when the client leaves, the application hears of it; when the
// application breaks off, so does the answer.
func TestF59_AbortsArePassed(t *testing.T) {
	gone := make(chan struct{}, 2)
	s := newSidecar(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/wait":
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			gone <- struct{}{}
		case "/upload":
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				gone <- struct{}{}
			}
		default:
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}, newRoute(nil))
	c := s.call(getBytes("/wait"))
	c.line(t)
	_ = c.Close()
	<-gone
	_ = s.call("PUT /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf").Close()
	<-gone
	if got := s.get("/half"); got.err == nil || got.status != 200 || got.body != "half" {
		t.Errorf("half an answer came as %+v", got)
	}
}

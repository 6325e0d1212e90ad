// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// answer_test.go: how responses end, whole or cut.

import (
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A refused request may go on for a while: its client still reads the whole page.
func TestServer_LingersSoThatThePageIsRead(t *testing.T) {
	page := strings.Repeat("page", 32<<10)
	s := newSite(t, func(x *Exchange) {
		x.Begin(http.StatusBadRequest, "Bad Request")
		_ = x.Send([]byte(page))
	})
	for name, head := range map[string]string{
		"refused head": "POST / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
		"unread body":  "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t)
			c.send(head + strings.Repeat("x", 1<<20))
			if got := c.receive("POST"); got.body != page || !got.closes || got.err != nil {
				t.Errorf("response is %d, %d bytes, %v", got.status, len(got.body), got.err)
			}
			if rest, err := c.rest(); rest != "" || err != nil {
				t.Errorf("then %q, %v", rest, err)
			}
		})
	}
}

// The client's last request of a connection may be followed by an empty line.
func TestServer_LingersAfterAFormOfAnOldClient(t *testing.T) {
	sent := make(chan struct{})
	s := newSite(t, func(x *Exchange) {
		body, _ := x.ReadBody(growing, 100, time.Now().Add(patience))
		close(sent)
		for isSilent(x.conn.Conn) && x.conn.reader.Buffered() == 0 {
			runtime.Gosched()
		}
		x.Begin(200, "OK")
		_ = x.Send(body)
	})
	c := s.dial(t)
	c.send("POST / HTTP/1.0\r\nHost: h\r\nContent-Length: 4\r\n\r\nform")
	<-sent
	c.send("\r\n")
	got, err := c.rest()
	if !strings.HasSuffix(got, "form") || err != nil {
		t.Errorf("response is %q, %v", got, err)
	}
}

// A handler that does not respond makes no empty end of the connection.
func TestServer_RespondsForAHandlerThatDoesNot(t *testing.T) {
	s := newSite(t, func(x *Exchange) {
		if x.Target == "/begun" {
			x.Begin(200, "OK")
			x.Add("A", "b")
		}
	})
	for _, target := range []string{"/", "/begun"} {
		got, err := s.exchange(t, get(target)+get("/smuggled"))
		if got != "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" || err != nil {
			t.Errorf("%s gets %q, %v", target, got, err)
		}
	}
}

// A response that was not ended is cut, so that its client can see it, also when
// the client sent more meanwhile.
func TestServer_CutsVisibly(t *testing.T) { //nolint:gocyclo // a list of comparisons
	for name, c := range map[string]struct {
		request, more string
		length        int64
		reset         bool
		err           error
	}{
		"chunks":                     {request: get("/"), length: -1, err: io.ErrUnexpectedEOF},
		"chunks, more was sent":      {request: get("/"), length: -1, more: get("/more"), err: io.ErrUnexpectedEOF},
		"length":                     {request: get("/"), length: 10, err: io.ErrUnexpectedEOF},
		"length, more was sent":      {request: get("/"), length: 10, more: get("/more"), err: io.ErrUnexpectedEOF},
		"to the end":                 {request: "GET / HTTP/1.0\r\nHost: h\r\n\r\n", length: -1, reset: true},
		"to the end, more was sent":  {request: "GET / HTTP/1.0\r\nHost: h\r\n\r\n", length: -1, more: "x", reset: true},
		"length, HTTP/1.0, keep":     {request: "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", length: 10, err: io.ErrUnexpectedEOF},
		"to the end, HTTP/1.0, keep": {request: "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", length: -1, reset: true},
	} {
		for _, ends := range []string{"aborts", "returns", "ends"} {
			if ends == "ends" && c.length < 0 {
				continue // such a response is whole
			}
			t.Run(name+", "+ends, func(t *testing.T) {
				s := newSite(t, func(x *Exchange) {
					x.Begin(200, "OK")
					_ = x.Start(c.length, []byte("part"))
					for until := time.Now().Add(patience); c.more != "" && isSilent(x.conn.Conn) && time.Now().Before(until); {
						runtime.Gosched()
					}
					switch ends {
					case "aborts":
						x.Abort()
					case "ends":
						if x.End() == nil {
							t.Error("a short response ends without an error")
						}
					}
				})
				client := s.dial(t)
				client.send(c.request)
				response, err := http.ReadResponse(client.from, nil)
				if err != nil {
					t.Fatal(err)
				}
				part := make([]byte, 4)
				if _, err := io.ReadFull(response.Body, part); err != nil || string(part) != "part" {
					t.Fatalf("%q, %v", part, err)
				}
				if c.more != "" {
					client.send(c.more)
				}
				rest, err := io.ReadAll(response.Body)
				if c.reset != errors.Is(err, syscall.ECONNRESET) || !c.reset && !errors.Is(err, c.err) || len(rest) > 0 {
					t.Errorf("then %q, %v", rest, err)
				}
			})
		}
	}
}

// After a part of a response could not be sent, nothing else is sent: the client
// would take it for the rest.
func TestServer_SendsNothingAfterAFailedWrite(t *testing.T) {
	body := []byte(strings.Repeat("x", 16<<20))
	for name, respond := range map[string]func(x *Exchange){
		"send":  func(x *Exchange) { _ = x.Send(body) },
		"start": func(x *Exchange) { _ = x.Start(int64(len(body)), body); _ = x.End() },
		"write": func(x *Exchange) {
			_ = x.Start(int64(len(body)), nil)
			_, _ = x.Write(body)
			_ = x.End()
		},
		"chunk": func(x *Exchange) {
			_ = x.Start(-1, nil)
			_, _ = x.Write(body)
			_ = x.End()
		},
	} {
		t.Run(name, func(t *testing.T) {
			failed := make(chan struct{})
			s := newSite(t, func(x *Exchange) {
				if x.Target != "/" {
					t.Errorf("%s is served", x.Target)
				}
				x.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
				x.Begin(200, "OK")
				respond(x)
				x.SetWriteDeadline(time.Time{})
				close(failed)
			})
			c := s.dial(t)
			c.send(get("/") + get("/next"))
			<-failed
			got, _ := c.rest()
			if strings.Count(got, "HTTP/1.1") != 1 || len(got) >= len(body) {
				t.Errorf("%d bytes, with %d responses", len(got), strings.Count(got, "HTTP/1.1"))
			}
		})
	}
}

// No handler can send more than it declared.
func TestServer_SendsNoMoreThanDeclared(t *testing.T) {
	s := newSite(t, func(x *Exchange) {
		x.Begin(200, "OK")
		_ = x.Start(4, []byte("bo"))
		if n, err := x.Write([]byte("dyHTTP/1.1 200 OK")); err == nil {
			t.Errorf("%d bytes are written", n)
		}
		_ = x.End()
	})
	if got, _ := s.exchange(t, get("/")); !strings.HasSuffix(got, "\r\n\r\nbo") && !strings.HasSuffix(got, "\r\n\r\nbody") {
		t.Errorf("response is %q", got)
	}
}

// Responses without a body declare a length only where it means another
// response's (RFC 9110 section 8.6).
func TestServer_SendsBodilessResponses(t *testing.T) {
	s := newSite(t, func(x *Exchange) {
		switch x.Target {
		case "/204":
			x.Begin(204, "No Content")
		case "/304":
			x.Begin(304, "Not Modified")
		default:
			x.Begin(200, "OK")
		}
		if x.Fields.Get("send") != "" {
			_ = x.Send([]byte("body"))
			return
		}
		_ = x.Start(4, nil)
		_, _ = x.Write([]byte("body"))
		_ = x.End()
	})
	for request, want := range map[string]string{
		get("/204"):                          "HTTP/1.1 204 No Content\r\n\r\n",
		get("/204", "Send: 1"):               "HTTP/1.1 204 No Content\r\n\r\n",
		get("/304"):                          "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n",
		get("/304", "Send: 1"):               "HTTP/1.1 304 Not Modified\r\n\r\n",
		"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n": "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
		"HEAD / HTTP/1.1\r\nHost: h\r\nSend: 1\r\n\r\n":                           "HTTP/1.1 200 OK\r\n\r\n",
		"HEAD / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nSend: 1\r\n\r\n": "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n",
	} {
		c := s.dial(t)
		c.send(request)
		_ = c.CloseWrite()
		if got, err := c.rest(); got != want || err != nil {
			t.Errorf("%q gets %q, %v", request, got, err)
		}
	}
}

// A handler that recovers from its panic leaves the response to the server.
func TestServer_LeavesPanicsToTheHandler(t *testing.T) {
	s := newSite(t, func(x *Exchange) {
		defer func() { _ = recover() }()
		if x.Target == "/started" {
			x.Begin(200, "OK")
			_ = x.Start(-1, []byte("part"))
		}
		panic("handler")
	})
	if got, err := s.exchange(t, get("/")); !strings.HasPrefix(got, "HTTP/1.1 502 ") || err != nil {
		t.Errorf("response is %q, %v", got, err)
	}
	if got, err := s.exchange(t, get("/started")); !strings.HasSuffix(got, "part\r\n") || err != nil {
		t.Errorf("response is %q, %v", got, err)
	}
}

// Large responses leave no large buffer at an idle connection.
func TestServer_KeepsLittleMemoryPerConnection(t *testing.T) {
	sizes := make(chan [2]int, 1)
	s := newSite(t, func(x *Exchange) {
		if x.Target == "/last" {
			sizes <- [2]int{cap(x.out), cap(x.conn.reader.lent.fields)}
		}
		x.Begin(200, "OK")
		if x.Target == "/large" {
			x.Add("A", strings.Repeat("a", 1<<20))
		}
		_ = x.Send(nil)
	})
	c := s.dial(t)
	for _, raw := range []string{get("/large", strings.Repeat("a:\r\n", maxFields-2)+"b: c"), get("/last")} {
		c.send(raw)
		if got := c.receive("GET"); got.status != 200 {
			t.Fatalf("response is %+v", got)
		}
	}
	if got := <-sizes; got[0] > 2*joinBytes || got[1] > maxKeptFields {
		t.Errorf("an idle connection keeps %d bytes and %d fields", got[0], got[1])
	}
}

// The handler gets the connection, with what was read of it.
func TestTunnel_HandsTheConnectionOver(t *testing.T) {
	s := newSite(t, func(x *Exchange) {
		conn, early := x.Tunnel()
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "tunnel "+string(early)+" ")
		_, _ = io.Copy(struct{ net.Conn }{conn}, struct{ io.Reader }{conn})
	})
	c := s.dial(t)
	c.send(get("/") + "early")
	if got := make([]byte, len("tunnel early ")); true {
		if _, err := io.ReadFull(c.from, got); err != nil || string(got) != "tunnel early " {
			t.Fatalf("%q, %v", got, err)
		}
	}
	c.send("late")
	_ = c.CloseWrite()
	if got, err := c.rest(); got != "late" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

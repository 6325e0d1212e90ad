// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	secret = "CANARY-c0de"
	fine   = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
)

func callback() *Request {
	return &Request{
		Method: http.MethodPost, Target: "/cb?code=" + secret + ";x=%zz", Host: "auth.acme.com",
		Header: http.Header{"Cookie": {"session=" + secret}}, Body: []byte("state=" + secret),
	}
}

// attempt returns the answer with its body, or the error and whether it came
// before or in the body.
func attempt(t *testing.T, c *Client, total time.Duration, addresses ...string) (status int, body string, err error) {
	t.Helper()
	response, err := c.Attempt(t.Context(), plan(total, callback(), addresses...))
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

// wants fails unless the error is this one and holds nothing secret.
func wants(t *testing.T, err error, want Error) {
	t.Helper()
	var got *Error
	if !errors.As(err, &got) {
		t.Fatalf("error is %v, want %s", err, want.Reason)
	}
	if got.Reason != want.Reason || got.NotDelivered != want.NotDelivered || got.Timeout != want.Timeout {
		t.Errorf("error is %+v, want %+v", *got, want)
	}
	if strings.Contains(err.Error(), "CANARY") || strings.Contains(err.Error(), "/cb") {
		t.Errorf("error %q tells the request", err)
	}
}

func TestAttempt_SendsTheRequestAsItIs(t *testing.T) {
	b := newBackend(t, responds(fine))
	c := newTestClient(map[string]string{first: b.address()})
	status, body, err := attempt(t, c, time.Minute, first)
	if status != 200 || body != "ok" || err != nil {
		t.Fatalf("answer is %d %q %v", status, body, err)
	}
	want := "POST /cb?code=" + secret + ";x=%zz HTTP/1.1\r\nHost: auth.acme.com\r\nCookie: session=" + secret +
		"\r\nContent-Length: 17\r\nConnection: close\r\n\r\nstate=" + secret
	if got := b.seen(); len(got) != 1 || got[0] != want {
		t.Errorf("backend saw %q, want %q", got, want)
	}
}

func TestAttempt_SendsNoLengthWithGet(t *testing.T) {
	b := newBackend(t, responds(fine))
	c := newTestClient(map[string]string{first: b.address()})
	response, err := c.Attempt(t.Context(), plan(time.Minute, &Request{Method: http.MethodGet, Target: "/", Host: "h"}, first))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if got := b.seen()[0]; got != "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" {
		t.Errorf("backend saw %q", got)
	}
}

func TestAttempt_KeepsTheAnswerAsItIs(t *testing.T) {
	b := newBackend(t, responds("HTTP/1.1 302 Found\r\nSet-Cookie: a=1\r\nSet-Cookie: b=\xc3\xa9\r\n"+
		"Location: https://x/%zz?\xe9;a\r\nContent-Length: 0\r\n\r\n"))
	c := newTestClient(map[string]string{first: b.address()})
	response, err := c.Attempt(t.Context(), plan(time.Minute, callback(), first))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if got := strings.Join(response.Header["Set-Cookie"], "|"); got != "a=1|b=\xc3\xa9" {
		t.Errorf("cookies are %q", got)
	}
	if got := response.Header["Location"]; len(got) != 1 || got[0] != "https://x/%zz?\xe9;a" {
		t.Errorf("location is %q", got)
	}
}

func TestAttempt_RefusesWhatWouldBeTwoRequests(t *testing.T) {
	for name, change := range map[string]func(*Request){
		"line end in target": func(r *Request) { r.Target = "/ HTTP/1.1\r\n\r\nGET /" },
		"blank in target":    func(r *Request) { r.Target = "/a b" },
		"absolute target":    func(r *Request) { r.Target = "http://other/" },
		"no target":          func(r *Request) { r.Target = "" },
		"line end in host":   func(r *Request) { r.Host = "h\r\nX: y" },
		"line end in value":  func(r *Request) { r.Header["X"] = []string{"a\r\nb: c"} },
		"line end in name":   func(r *Request) { r.Header["X\r\nY"] = []string{"a"} },
		"colon in name":      func(r *Request) { r.Header["X: a"] = []string{"a"} },
		"blank in method":    func(r *Request) { r.Method = "GET /" },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, responds(fine))
			c := newTestClient(map[string]string{first: b.address()})
			request := callback()
			change(request)
			_, err := c.Attempt(t.Context(), plan(time.Minute, request, first))
			wants(t, err, Error{Reason: BadRequest, NotDelivered: true})
			if len(b.seen()) != 0 {
				t.Error("backend saw it")
			}
		})
	}
}

func TestF32_RefusedDialIsNotDelivered(t *testing.T) {
	c := newTestClient(map[string]string{first: refusing(t)})
	_, _, err := attempt(t, c, time.Minute, first)
	wants(t, err, Error{Reason: DialFailed, NotDelivered: true})
	if !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error %q does not say why", err)
	}
	_, _, err = attempt(t, c, time.Minute)
	wants(t, err, Error{Reason: NoAddress, NotDelivered: true})
}

// The second address is used only when the first cannot be dialled.
func TestF39_SecondAddressOnlyWhenTheFirstCannotBeDialled(t *testing.T) {
	good, other := newBackend(t, responds(fine)), newBackend(t, responds(fine))
	c := newTestClient(map[string]string{first: refusing(t), second: good.address(), third: other.address()})
	for range 4 {
		if status, _, err := attempt(t, c, time.Minute, first, second, third); status != 200 {
			t.Fatalf("answer is %d %v", status, err)
		}
	}
	if len(good.seen()) != 4 || len(other.seen()) != 0 {
		t.Errorf("backends saw %d and %d requests, want 4 and 0", len(good.seen()), len(other.seen()))
	}
}

func TestF36_ReadAndClosedIsSeenExactlyOnce(t *testing.T) {
	const attempts = 200
	closing, other := newBackend(t, func(net.Conn) {}), newBackend(t, responds(fine))
	c := newTestClient(map[string]string{first: closing.address(), second: other.address(), third: other.address()})
	for range attempts {
		p := plan(time.Minute, callback(), first, second)
		p.Choices = append(p.Choices, Choice{Addresses: []string{third}, Request: callback()})
		_, err := c.Attempt(t.Context(), p)
		wants(t, err, Error{Reason: ReadFailed})
	}
	if len(closing.seen()) != attempts || len(other.seen()) != 0 {
		t.Errorf("backends saw %d and %d requests for %d attempts", len(closing.seen()), len(other.seen()), attempts)
	}
}

func TestF35_ResetIsUnknown(t *testing.T) {
	b := newBackend(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-")
		_ = conn.(*net.TCPConn).SetLinger(0)
	})
	_, _, err := attempt(t, newTestClient(map[string]string{first: b.address()}), time.Minute, first)
	wants(t, err, Error{Reason: ReadFailed})
}

func TestF34_SilentBackendTimesOut(t *testing.T) {
	wait := make(chan struct{})
	b := newBackend(t, func(net.Conn) { <-wait })
	t.Cleanup(func() { close(wait) })
	_, _, err := attempt(t, newTestClient(map[string]string{first: b.address()}), 200*time.Millisecond, first)
	wants(t, err, Error{Reason: TimedOut, Timeout: true})
}

func TestF34_FirstByteWithinFifteenSecondsOrHalfOfTheTotal(t *testing.T) {
	for total, want := range map[time.Duration]time.Duration{
		time.Second: time.Second, 15 * time.Second: 15 * time.Second, 30 * time.Second: 15 * time.Second,
		60 * time.Second: 30 * time.Second, 300 * time.Second: 150 * time.Second,
	} {
		if got := firstByte(total); got != want {
			t.Errorf("firstByte(%s) = %s, want %s", total, got, want)
		}
	}
}

func TestF37_DrippingAnswerEndsWithTheTotal(t *testing.T) {
	b := newBackend(t, func(conn net.Conn) {
		_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
		for tick := time.NewTicker(10 * time.Millisecond); err == nil; <-tick.C {
			_, err = io.WriteString(conn, "x")
		}
	})
	status, _, err := attempt(t, newTestClient(map[string]string{first: b.address()}), 300*time.Millisecond, first)
	wants(t, err, Error{Reason: TimedOut, Timeout: true})
	if status != 200 {
		t.Errorf("status is %d", status)
	}
}

func TestF38_TruncatedBodyIsAnError(t *testing.T) {
	for name, answer := range map[string]string{
		"length":       "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
		"no body":      "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
		"chunk":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
		"last chunk":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"broken chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, responds(answer))
			status, _, err := attempt(t, newTestClient(map[string]string{first: b.address()}), time.Minute, first)
			if status != 200 || err == nil {
				t.Errorf("answer is %d %v, want an error in the body", status, err)
			}
			var e *Error
			if !errors.As(err, &e) || e.NotDelivered {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestAttempt_WholeBodies(t *testing.T) {
	for name, answer := range map[string]string{
		"length":        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc and more",
		"chunks":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
		"until closed":  "HTTP/1.1 200 OK\r\n\r\nabc",
		"HTTP/1.0":      "HTTP/1.0 200 OK\r\n\r\nabc",
		"after interim": strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n", 5) + "HTTP/1.1 200 OK\r\n\r\nabc",
		"after 100":     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nabc",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, responds(answer))
			status, body, err := attempt(t, newTestClient(map[string]string{first: b.address()}), time.Minute, first)
			if status != 200 || body != "abc" || err != nil {
				t.Errorf("answer is %d %q %v", status, body, err)
			}
		})
	}
}

func TestF40_HostileAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		answer string
		reason Reason
	}{
		"1 MiB of fields":    {"HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 1<<20/6), HeadTooLarge},
		"one field of 1 MiB": {"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 1<<20), HeadTooLarge},
		"endless first line": {"HTTP/1.1 200 " + strings.Repeat("b", 1<<20), HeadTooLarge},
		"interim flood":      {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100_000), TooManyInterim},
		"large interim":      {"HTTP/1.1 103 Early\r\nA: " + strings.Repeat("b", 1<<20), HeadTooLarge},
		"unsolicited 101":    {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", Switching},
		"status 099":         {"HTTP/1.1 099 Odd\r\n\r\n", Malformed},
		"another version":    {"HTTP/2.0 200 OK\r\n\r\n", Malformed},
		"no HTTP":            {"SSH-2.0-OpenSSH_9.2 " + secret + "\r\n", Malformed},
		"two lengths":        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", Malformed},
		"negative length":    {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Malformed},
		"odd coding":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + secret + "\r\n\r\n", Malformed},
		"nothing":            {"", ReadFailed},
		"half a head":        {"HTTP/1.1 200 OK\r\nA: b\r\n", ReadFailed},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, responds(tc.answer))
			_, _, err := attempt(t, newTestClient(map[string]string{first: b.address()}), time.Minute, first)
			wants(t, err, Error{Reason: tc.reason})
			if len(b.seen()) != 1 {
				t.Errorf("backend saw %d requests", len(b.seen()))
			}
		})
	}
}

func TestAttempt_LargestHeadPasses(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: "
	b := newBackend(t, responds(head+strings.Repeat("b", MaxHeadBytes-len(head)-4)+"\r\n\r\nok"))
	status, body, err := attempt(t, newTestClient(map[string]string{first: b.address()}), time.Minute, first)
	if status != 200 || body != "ok" {
		t.Errorf("answer is %d %q %v", status, body, err)
	}
}

// F59: a client that leaves ends the attempt wherever it stands.
func TestF59_ClientLeaves(t *testing.T) {
	t.Run("before dialling", func(t *testing.T) {
		b := newBackend(t, responds(fine))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c := newTestClient(map[string]string{first: b.address()})
		_, err := c.Attempt(ctx, plan(time.Minute, callback(), first, first))
		wants(t, err, Error{Reason: Canceled, NotDelivered: true})
		if len(b.seen()) != 0 {
			t.Error("backend saw it")
		}
	})
	t.Run("before the answer", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBackend(t, func(conn net.Conn) {
			cancel()
			_, _ = io.Copy(io.Discard, conn) // ends when the client closes
		})
		c := newTestClient(map[string]string{first: b.address()})
		_, err := c.Attempt(ctx, plan(time.Minute, callback(), first))
		wants(t, err, Error{Reason: Canceled})
	})
	t.Run("in the answer", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBackend(t, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\nabc")
			_, _ = io.Copy(io.Discard, conn)
		})
		c := newTestClient(map[string]string{first: b.address()})
		response, err := c.Attempt(ctx, plan(time.Minute, callback(), first))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		cancel()
		_, err = io.ReadAll(response.Body)
		wants(t, err, Error{Reason: Canceled})
	})
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	secret = "CANARY-c0de"
	fine   = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
)

// attempt returns the answer with its body, or the error and whether it came
// before or in the body.
func attempt(t *testing.T, c *Client, total time.Duration, addresses ...string) (status int, body string, err error) {
	t.Helper()
	response, err := c.Attempt(t.Context(), callback(total, addresses...))
	if err != nil {
		return 0, "", err
	}
	defer response.Close()
	content, err := io.ReadAll(response)
	return response.Status, string(content), err
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

// Lines stand as they are given, in their order, and the framing is what the plan
// declares.
func TestAttempt_SendsWhatThePlanHolds(t *testing.T) {
	large := strings.Repeat("x", 3*joinBytes)
	for name, tc := range map[string]struct {
		plan Plan
		want string
	}{
		"GET":           {Plan{Method: "GET"}, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"},
		"length 0":      {Plan{Method: "POST", Framed: true}, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
		"other methods": {Plan{Method: "PROPFIND"}, "PROPFIND / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"},
		"order and spelling": {
			Plan{Method: "GET", Lines: []string{"b:1", "A:\t2 ", "b: \xe9", "x_y:", "a: 3:4"}},
			"GET / HTTP/1.1\r\nHost: h\r\nb:1\r\nA:\t2 \r\nb: \xe9\r\nx_y:\r\na: 3:4\r\nConnection: close\r\n\r\n",
		},
		"large body": {
			Plan{Method: "POST", Framed: true, Body: []byte(large)},
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 49152\r\nConnection: close\r\n\r\n" + large,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, responds(fine))
			c := newTestClient(map[string]string{first: b.address()})
			p := tc.plan
			p.Total, p.Choices = time.Minute, []Choice{{Addresses: []string{first}, Target: "/", Host: "h"}}
			response, err := c.Attempt(t.Context(), &p)
			if err != nil {
				t.Fatal(err)
			}
			response.Close()
			if got := b.seen(); len(got) != 1 || got[0] != tc.want {
				t.Errorf("backend saw %.200q", got)
			}
		})
	}
}

func TestAttempt_KeepsTheResponseAsItIs(t *testing.T) {
	lines := []string{
		"Set-Cookie: a=1", "set-cookie:b=\xc3\xa9 ", "Location: https://x/%zz?\xe9;a", "Content-Length: 0", "X_y:", "A: b", "SET-COOKIE: c",
	}
	b := newBackend(t, responds("HTTP/1.1 302 Found  here \r\n"+strings.Join(lines, "\r\n")+"\r\n\r\n"))
	c := newTestClient(map[string]string{first: b.address()})
	response, err := c.Attempt(t.Context(), callback(time.Minute, first))
	if err != nil {
		t.Fatal(err)
	}
	if response.Status != http.StatusFound || response.Reason != "Found  here " {
		t.Errorf("status line is %d %q", response.Status, response.Reason)
	}
	var got []string
	for _, field := range response.Fields {
		got = append(got, field.Line)
	}
	if !slices.Equal(got, lines) {
		t.Errorf("lines are %q, want %q", got, lines)
	}
	if got := response.Fields.Get("set-cookie"); got != "a=1" || response.Fields.Count("set-cookie") != 3 {
		t.Errorf("cookies are %q", got)
	}
	response.Close()
	if len(response.Fields) != 0 {
		t.Errorf("after Close there are %d fields", len(response.Fields))
	}
	if _, err := response.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("after Close: %v", err)
	}
	response.Close()
}

func TestAttempt_RefusesWhatWouldBeTwoRequests(t *testing.T) {
	for name, change := range map[string]func(*Plan){
		"line end in target":   func(p *Plan) { p.Choices[0].Target = "/ HTTP/1.1\r\n\r\nGET /" },
		"LF in target":         func(p *Plan) { p.Choices[0].Target = "/\nX:" },
		"blank in target":      func(p *Plan) { p.Choices[0].Target = "/a b" },
		"tab in target":        func(p *Plan) { p.Choices[0].Target = "/a\tb" },
		"absolute target":      func(p *Plan) { p.Choices[0].Target = "http://other/" },
		"no target":            func(p *Plan) { p.Choices[0].Target = "" },
		"no host":              func(p *Plan) { p.Choices[0].Host = "" },
		"line end in host":     func(p *Plan) { p.Choices[0].Host = "h\r\nX: y" },
		"blank in host":        func(p *Plan) { p.Choices[0].Host = "h y" },
		"line end in value":    func(p *Plan) { p.Lines = append(p.Lines, "X: a\r\nb: c") },
		"CR in value":          func(p *Plan) { p.Lines = append(p.Lines, "X: a\rb: c") },
		"NUL in value":         func(p *Plan) { p.Lines = append(p.Lines, "X: a\x00") },
		"line end in name":     func(p *Plan) { p.Lines = append(p.Lines, "X\nY: a") },
		"folded line":          func(p *Plan) { p.Lines = append(p.Lines, " x: a") },
		"line folded by a tab": func(p *Plan) { p.Lines = append(p.Lines, "\tx: a") },
		"blank behind a name":  func(p *Plan) { p.Lines = append(p.Lines, "Content-Length : 5") },
		"no name":              func(p *Plan) { p.Lines = append(p.Lines, ": a") },
		"no colon":             func(p *Plan) { p.Lines = append(p.Lines, "a") },
		"empty line":           func(p *Plan) { p.Lines = append(p.Lines, "") },
		"no method":            func(p *Plan) { p.Method = "" },
		"blank in method":      func(p *Plan) { p.Method = "GET /" },
		"line end in method":   func(p *Plan) { p.Method = "GET\r\n" },
		"second choice":        func(p *Plan) { p.Choices = append(p.Choices, Choice{Target: "/a b", Host: "h"}) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, responds(fine))
			c := newTestClient(map[string]string{first: b.address()})
			p := callback(time.Minute, first)
			change(p)
			_, err := c.Attempt(t.Context(), p)
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
		p := callback(time.Minute, first, second)
		p.Choices = append(p.Choices, Choice{Addresses: []string{third}, Target: target, Host: "h"})
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
		"no HTTP":            {"SSH-2.0-OpenSSH_9.2 " + secret + "\r\n\r\n", Malformed},
		"no HTTP, cut":       {"SSH-2.0-OpenSSH_9.2 " + secret + "\r\n", ReadFailed},
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

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// fuzz_test.go: net/http is the oracle of what messages mean.

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// message is what a reader makes of the bytes of a connection.
type message struct {
	start   string // of a request or a response
	host    string
	fields  map[string][]string
	body    string
	bodyErr error
	trailer map[string][]string
	left    string // on the connection, after the message
	close   bool
}

// apart are fields that net/http removes or adds. Their meaning is compared by
// the body and by what is left.
var apart = []string{"Host", "Content-Length", "Transfer-Encoding", "Trailer", "Connection"}

func byName(fields Fields) map[string][]string {
	m := map[string][]string{}
	for _, f := range fields {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		m[name] = append(m[name], f.Value)
	}
	return tidy(m)
}

func tidy(m map[string][]string) map[string][]string {
	tidied := map[string][]string{}
	for name, values := range m {
		if slices.Contains(apart, name) || name == "Cache-Control" && m["Pragma"] != nil {
			continue
		}
		for _, value := range values {
			// Folded lines are unfolded with one blank, or with several.
			tidied[name] = append(tidied[name], strings.Join(strings.FieldsFunc(value, func(c rune) bool { return c == ' ' || c == '\t' }), " "))
		}
	}
	return tidied
}

// readOurs reads a request as a server does. Sizes of reads must not matter, so
// the connection gives its bytes in parts.
func readOurs(raw []byte, part int) (m message, r Request, err error) {
	reader := NewReader(&parts{raw, part})
	defer reader.Release()
	head, err := reader.readHead(1<<20, nil)
	if err != nil {
		return m, r, err
	}
	r, refusal := parseRequest(head, nil)
	if refusal != nil {
		return m, r, refusal
	}
	m = message{start: fmt.Sprint(r.Method, " ", r.Target, " ", r.Minor), host: r.Host, fields: byName(r.Fields), close: r.Close}
	body := reader.bodyOfRequest(&r)
	content, bodyErr := body.readAll(growing, 1<<20)
	left := leftOn(reader, bodyErr)
	m.body, m.bodyErr, m.trailer, m.left = string(content), bodyErr, byName(body.Trailer), left
	if (bodyErr == nil) != body.Ended() {
		return m, r, fmt.Errorf("body ended: %v, but %v", body.Ended(), bodyErr) //nolint:errorlint // of a test
	}
	return m, r, nil
}

// leftOn reads what follows a message. Nothing follows a broken one.
func leftOn(from io.Reader, bodyErr error) string {
	if bodyErr != nil {
		return ""
	}
	left, _ := io.ReadAll(from)
	return string(left)
}

// parts is a connection that gives so many bytes with each read.
type parts struct {
	raw  []byte
	size int
}

func (p *parts) Read(b []byte) (int, error) {
	if len(p.raw) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.raw[:min(p.size, len(p.raw))])
	p.raw = p.raw[n:]
	return n, nil
}

func readTheirs(raw []byte) (m message, err error) {
	from := bufio.NewReader(bytes.NewReader(raw))
	r, err := http.ReadRequest(from)
	if err != nil {
		return m, err
	}
	m = message{start: fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.ProtoMinor), host: r.Host, fields: tidy(r.Header), close: r.Close}
	content, bodyErr := io.ReadAll(r.Body)
	left := leftOn(from, bodyErr)
	m.body, m.bodyErr, m.trailer, m.left = string(content), bodyErr, tidy(r.Trailer), left
	return m, nil
}

// differences lists how two readings of one message differ.
func differences(ours, theirs message) (list []string) {
	add := func(what string, a, b any) {
		if fmt.Sprint(a) != fmt.Sprint(b) {
			list = append(list, fmt.Sprintf("%s: %q, net/http %q", what, a, b))
		}
	}
	add("start", ours.start, theirs.start)
	add("host", ours.host, theirs.host)
	add("fields", ours.fields, theirs.fields)
	add("close", ours.close, theirs.close)
	if ours.bodyErr == nil && theirs.bodyErr == nil {
		add("body", ours.body, theirs.body)
		add("trailer", ours.trailer, theirs.trailer)
		add("left", ours.left, theirs.left)
	}
	return list
}

// stricter are the reasons for which a request is refused that net/http's reader
// reads, with a condition that must hold for each.
var stricter = map[*Error]func(head string, r Request) bool{
	errRequestLine: func(head string, _ Request) bool { return strings.HasPrefix(head, "CONNECT  ") }, // net/http needs no target there
	errLineEnding:  func(head string, _ Request) bool { return strings.Contains(strings.ReplaceAll(head, "\r\n", ""), "\n") },
	errFolding: func(head string, _ Request) bool {
		return strings.Contains(head, "\n ") || strings.Contains(head, "\n\t")
	},
	errHTTPVersion: func(head string, _ Request) bool { return !strings.Contains(head, " HTTP/1.1\r\n") },
	errNoHost:      func(_ string, r Request) bool { return strings.Trim(r.Fields.Get("host"), " \t") == "" },
	errHost:        func(_ string, r Request) bool { return r.Fields.Count("host") == 1 },
	errFraming: func(_ string, r Request) bool {
		return r.Fields.Count("transfer-encoding")+r.Fields.Count("content-length") > 1 || r.Minor == 0 || r.Fields.Count("trailer") > 0 ||
			len(r.Fields.Get("content-length")) > 18
	},
	errFieldValue: func(head string, _ Request) bool {
		return strings.ContainsFunc(head, func(c rune) bool { return c < ' ' && c != '\n' && c != '\t' || c == 0x7f })
	},
	errFieldName: func(head string, _ Request) bool { // its server refuses them, its reader does not
		for line := range strings.SplitSeq(head, "\n") {
			if name, _, found := strings.Cut(line, ":"); found && strings.Contains(name, " ") {
				return true
			}
		}
		return false
	},
	errProxyLine: func(head string, _ Request) bool { return strings.HasPrefix(head, "PROXY ") },
}

// requests are those that the fuzzer begins with, besides those of its corpus.
var requests = []string{
	browserGet,
	"GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive, close\r\n\r\nrest",
	"GET /sale/50% HTTP/1.1\r\nhost: h\r\nPragma: no-cache\r\nA: \xe4\r\na: 2\r\n\r\n",
	"GET http://other/x HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
	"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: [::1]:80\r\nTrailer: A\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nA: b\r\nC: d\r\n\r\nGET / HTTP/1.1\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\nConnection: a,,b\r\nContent-Length: 00\r\n\r\n",
}

// FuzzRequest_AgainstNetHTTP compares readings of the same bytes. A request that
// both read means the same; net/http reads all that is read here, except targets
// that are no URL; and a request that only it reads is refused for a reason in
// the list.
func FuzzRequest_AgainstNetHTTP(f *testing.F) { //nolint:gocyclo // a list of comparisons
	for _, raw := range requests {
		f.Add([]byte(raw))
	}
	for raw := range f76 {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		ours, r, err := readOurs(raw, len(raw)+1)
		if again, _, againErr := readOurs(raw, 1); fmt.Sprint(again, againErr) != fmt.Sprint(ours, err) {
			t.Fatalf("%q depends on the sizes of reads:\n%+v %v\n%+v %v", raw, ours, err, again, againErr)
		}
		theirs, theirErr := readTheirs(raw)
		var refusal *Error
		switch {
		case errors.As(err, &refusal):
			if theirErr != nil {
				return
			}
			head := raw[:headEnd(raw, 0)]
			if allowed := stricter[refusal]; allowed == nil || !allowed(string(head), r) {
				t.Errorf("%q is refused by %v, net/http reads %+v", raw, refusal, theirs)
			}
			return
		case err != nil:
			if theirErr == nil {
				t.Errorf("%q cannot be read: %v, net/http reads %+v", raw, err, theirs)
			}
			return
		}
		checkEarly(t, raw)
		if !isURL(&r) {
			// The target begins after the method and one space.
			at := len(r.Method) + 1
			raw = slices.Concat(raw[:at], []byte("/"), raw[at+len(r.Target):])
			theirs, theirErr = readTheirs(raw)
			ours.start = fmt.Sprint(r.Method, " / ", r.Minor)
		}
		if theirErr != nil {
			t.Fatalf("%q: only we read it: %v", raw, theirErr)
		}
		if u, err := url.ParseRequestURI(r.Target); err == nil && u.Host != "" || r.Method == http.MethodConnect {
			theirs.host = r.Host // net/http takes it from the target; the gate refuses such requests
		}
		if ours.bodyErr == nil && theirs.bodyErr != nil {
			t.Errorf("%q: only we read its body %q: %v", raw, ours.body, theirs.bodyErr)
		}
		if list := differences(ours, theirs); list != nil {
			t.Errorf("%q\n%s", raw, strings.Join(list, "\n"))
		}
	})
}

func isURL(r *Request) bool {
	target := r.Target
	if r.Method == http.MethodConnect && target[0] != '/' {
		target = "http://" + target
	}
	_, err := url.ParseRequestURI(target)
	return err == nil
}

// checkEarly requires that no part of a head that is read is refused early.
func checkEarly(t *testing.T, raw []byte) {
	t.Helper()
	for n := 1; n <= headEnd(raw, 0); n++ {
		lineBytes := 0
		if err := checkPart(raw[:n], Limits{TargetBytes: len(raw), HeaderBytes: len(raw)}, &lineBytes); err != nil {
			t.Fatalf("%q is refused after %d bytes: %v", raw, n, err)
		}
	}
}

// FuzzResponse_AgainstNetHTTP: what both read as a response means the same.
func FuzzResponse_AgainstNetHTTP(f *testing.F) {
	for _, raw := range responses {
		f.Add([]byte(raw), false)
		f.Add([]byte(raw), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, head bool) {
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		ours, r, err := readOurResponse(raw, method, len(raw)+1)
		if again, _, againErr := readOurResponse(raw, method, 1); fmt.Sprint(again, againErr) != fmt.Sprint(ours, err) {
			t.Fatalf("%q depends on the sizes of reads:\n%+v %v\n%+v %v", raw, ours, err, again, againErr)
		}
		from := bufio.NewReader(bytes.NewReader(raw))
		response, theirErr := http.ReadResponse(from, &http.Request{Method: method})
		if err != nil || theirErr != nil {
			return
		}
		reason := strings.TrimLeft(strings.TrimPrefix(response.Status, fmt.Sprintf("%03d", response.StatusCode)), " ")
		theirs := message{
			start:  fmt.Sprint(response.ProtoMajor, response.ProtoMinor, response.StatusCode, reason),
			fields: tidy(response.Header), close: response.Close,
		}
		content, bodyErr := io.ReadAll(response.Body)
		left := leftOn(from, bodyErr)
		theirs.body, theirs.bodyErr, theirs.trailer, theirs.left = string(content), bodyErr, tidy(response.Trailer), left
		if list := differences(ours, theirs); list != nil {
			t.Errorf("%q to %s\n%s\n%+v", raw, method, strings.Join(list, "\n"), r)
		}
	})
}

func readOurResponse(raw []byte, method string, part int) (m message, r *Response, err error) {
	reader := NewReader(&parts{raw, part})
	defer reader.Release()
	if r, err = reader.ReadResponse(method, 1<<20); err != nil {
		return m, r, err
	}
	m = message{
		start:  fmt.Sprint(1, r.Minor, r.Status, strings.TrimLeft(r.Reason, " ")),
		fields: byName(r.Fields), close: r.Close,
	}
	body := reader.BodyOf(r)
	content, bodyErr := io.ReadAll(&body)
	left := leftOn(reader, bodyErr)
	m.body, m.bodyErr, m.trailer, m.left = string(content), bodyErr, byName(body.Trailer), left
	return m, r, nil
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package edges

// wire_test.go: a recorder of the bytes that the proxy sends, and a strict reading of them.

import (
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// recorder is between the proxy and an origin.
type recorder struct {
	address string

	mu      sync.Mutex
	sent    []*strings.Builder // by connection
	running sync.WaitGroup
}

func startRecorder(t *testing.T, to string) *recorder {
	t.Helper()
	r := &recorder{}
	r.address = serve(t, func(conn *net.TCPConn) {
		onward, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer func() { _ = onward.Close() }()
		sent := r.add()
		defer r.running.Done()
		var back sync.WaitGroup
		back.Go(func() { _, _ = io.Copy(conn, onward); _ = conn.CloseWrite() })
		_, _ = io.Copy(io.MultiWriter(onward, sent), conn)
		_ = onward.(*net.TCPConn).CloseWrite()
		back.Wait()
	})
	return r
}

func (r *recorder) add() *strings.Builder {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running.Add(1)
	r.sent = append(r.sent, &strings.Builder{})
	return r.sent[len(r.sent)-1]
}

// connections returns what was sent on each connection, when all of them ended.
func (r *recorder) connections() (list []string) {
	r.running.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, sent := range r.sent {
		list = append(list, sent.String())
	}
	return list
}

// sentRequest is one request that the proxy sent.
type sentRequest struct {
	target, message string
	// whole: all of its body was sent.
	whole bool
}

// The grammar of RFC 9112, and nothing that it lets a recipient tolerate. Targets
// and values may have the bytes above 0x7f that clients send.
var (
	strictLine  = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+) (/[\\x21-\\x7e\\x80-\\xff]*) HTTP/1\\.1$")
	strictField = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\\x21-\\x7e\\x80-\\xff](?:[ \t\\x21-\\x7e\\x80-\\xff]*[\\x21-\\x7e\\x80-\\xff])?)?)[ \t]*$")
	strictSize  = regexp.MustCompile("^[0-9a-fA-F]{1,15}$")
	strictCount = regexp.MustCompile("^[0-9]{1,18}$")
)

// endsHere are the fields that no request may take beyond the proxy.
var endsHere = []string{"keep-alive", "proxy-connection", "upgrade", "http2-settings", "proxy"}

// framing is what the fields of a request declare.
type framing struct {
	length          int
	chunked         bool
	hosts, declared int
}

// readSent reads the requests on a connection. The last one may not be whole. An
// error is a violation of the grammar.
func readSent(raw string) (list []sentRequest, err error) {
	for raw != "" {
		head, rest, found := strings.Cut(raw, "\r\n\r\n")
		if !found {
			return append(list, sentRequest{}), nil
		}
		lines := strings.Split(latin1(head), "\r\n")
		start := strictLine.FindStringSubmatch(lines[0])
		if start == nil {
			return list, fmt.Errorf("request line %q", lines[0])
		}
		f, err := readFraming(lines[1:])
		if err != nil {
			return list, err
		}
		body, rest, whole, err := f.cutBody(rest)
		if err != nil {
			return list, err
		}
		method, target, _ := strings.Cut(head[:strings.Index(head+"\r\n", "\r\n")], " ")
		target = strings.TrimSuffix(target, " HTTP/1.1")
		list = append(list, sentRequest{target, method + " " + target + "\n" + body, whole})
		raw = rest
	}
	return list, nil
}

// latin1 makes each byte a character, for regular expressions.
func latin1(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

func readFraming(lines []string) (f framing, err error) {
	for _, line := range lines {
		field := strictField.FindStringSubmatch(line)
		if field == nil {
			return f, fmt.Errorf("field line %q", line)
		}
		name, value := strings.ToLower(field[1]), field[2]
		switch name {
		case "host":
			f.hosts++
		case "content-length":
			f.declared++
			if !strictCount.MatchString(value) {
				return f, fmt.Errorf("length %q", value)
			}
			f.length, err = strconv.Atoi(value)
		case "transfer-encoding":
			f.declared++
			f.chunked = true
			if value != "chunked" {
				err = fmt.Errorf("coding %q", value)
			}
		case "connection":
			if value != "close" {
				err = fmt.Errorf("connection %q", value)
			}
		}
		for _, ends := range endsHere {
			if name == ends {
				err = fmt.Errorf("field %q goes beyond its connection", name)
			}
		}
		if err != nil {
			return f, err
		}
	}
	if f.hosts != 1 || f.declared > 1 {
		return f, fmt.Errorf("%d hosts, %d declarations of the body", f.hosts, f.declared)
	}
	return f, nil
}

// cutBody cuts the body off what follows a head.
func (f framing) cutBody(raw string) (body, rest string, whole bool, err error) {
	if !f.chunked {
		if len(raw) < f.length {
			return raw, "", false, nil
		}
		return raw[:f.length], raw[f.length:], true, nil
	}
	for {
		line, after, found := strings.Cut(raw, "\r\n")
		if !found {
			return body, "", false, nil
		}
		if !strictSize.MatchString(line) {
			return body, "", false, fmt.Errorf("size of a chunk %q", line)
		}
		size, err := strconv.ParseInt(line, 16, 64)
		if err != nil {
			return body, "", false, err
		}
		if size == 0 {
			rest, whole, err := cutTrailer(after)
			return body, rest, whole, err
		}
		if int64(len(after)) < size+int64(len("\r\n")) {
			return body, "", false, nil
		}
		body, raw = body+after[:size], after[size:]
		if raw, found = strings.CutPrefix(raw, "\r\n"); !found {
			return body, "", false, errors.New("no line end after a chunk")
		}
	}
}

func cutTrailer(raw string) (rest string, whole bool, err error) {
	for {
		line, after, found := strings.Cut(raw, "\r\n")
		switch {
		case !found:
			return "", false, nil
		case line == "":
			return after, true, nil
		}
		field := strictField.FindStringSubmatch(latin1(line))
		if field == nil {
			return "", false, fmt.Errorf("trailer %q", line)
		}
		switch strings.ToLower(field[1]) {
		case "content-length", "transfer-encoding", "host", "connection", "trailer", "upgrade", "expect":
			return "", false, fmt.Errorf("trailer %q", field[1])
		}
		raw = after
	}
}

// The strict reading finds what it is there for.
func TestReadSent_FindsWhatIsMalformed(t *testing.T) {
	const host = "Host: h\r\n"
	for _, raw := range []string{
		"GET /x HTTP/1.1\n" + host + "\r\n", "GET /x HTTP/1.1\r\n\r\n", "GET /x HTTP/1.0\r\n" + host + "\r\n", "GET  /x HTTP/1.1\r\n" + host + "\r\n",
		"GET /x HTTP/1.1\r\n" + host + host + "\r\n", "GET /x HTTP/1.1\r\n" + host + "A: b\nC: d\r\n\r\n", "GET /x HTTP/1.1\r\n" + host + " A: b\r\n\r\n",
		"GET /x HTTP/1.1\r\n" + host + "A : b\r\n\r\n", "GET /x HTTP/1.1\r\n" + host + "A: \x00\r\n\r\n", "GET /x HTTP/1.1\r\n" + host + "Upgrade: h2c\r\n\r\n",
		"POST /x HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "POST /x HTTP/1.1\r\n" + host + "Content-Length: +1\r\n\r\na",
		"POST /x HTTP/1.1\r\n" + host + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
		"POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1;a\r\na\r\n0\r\n\r\n", "POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n",
		"POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n\r\n", "POST /x HTTP/1.1\r\n" + host + "Content-Length: 1\r\n\r\naGET /y\r\n\r\n",
	} {
		if list, err := readSent(raw); err == nil {
			t.Errorf("%q is read as %+v", raw, list)
		}
	}
	list, err := readSent("POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: b\r\n\r\nGET /y?\xe4 HTTP/1.1\r\n" + host + "A: \xe4\r\n\r\nPOST /z HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\na")
	want := []sentRequest{{"/x", "POST /x\na", true}, {"/y?\xe4", "GET /y?\xe4\n", true}, {"/z", "POST /z\na", false}}
	if err != nil || fmt.Sprint(list) != fmt.Sprint(want) {
		t.Errorf("%+v, %v", list, err)
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// response_test.go: which responses are read, and what they are read as.

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// responses are those that the fuzzer begins with.
var responses = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhellorest",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
	"HTTP/1.1 200\nContent-Length: 5\n\nhello",
	"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\nrest",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
	"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\n\r\nto the end",
	"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.0 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nrest",
	"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\nrest",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nframes",
	"HTTP/1.1 299 Odd reason \xe4\r\nA: b\r\n c\r\n\td\r\nB:\r\n e\r\nSet-Cookie: 1\r\nSet-Cookie: 2\r\n\r\n",
	"HTTP/1.1 200 OK\r\nConnection: close, x\r\nContent-Length: 0\r\n\r\n",
}

// readResponse1 reads a response to a GET.
func readResponse1(raw string) (*Response, *Reader, error) {
	reader := NewReader(strings.NewReader(raw))
	r, err := reader.ReadResponse("GET", 1<<20)
	return r, reader, err
}

func TestParseResponse_Refuses(t *testing.T) {
	const line = "HTTP/1.1 200 OK\r\n"
	for raw, want := range map[string]string{
		"HTTP/2.0 200 OK\r\n\r\n":                "statusLine",
		"HTTP/1.2 200 OK\r\n\r\n":                "statusLine",
		"http/1.1 200 OK\r\n\r\n":                "statusLine",
		"HTTP/1.1  200 OK\r\n\r\n":               "statusLine",
		"HTTP/1.1 20 OK\r\n\r\n":                 "statusLine",
		"HTTP/1.1 2000 OK\r\n\r\n":               "statusLine",
		"HTTP/1.1 099 OK\r\n\r\n":                "statusLine",
		"HTTP/1.1 +20 OK\r\n\r\n":                "statusLine",
		"HTTP/1.1 200 O\rK\r\n\r\n":              "statusLine",
		"ICY 200 OK\r\n\r\n":                     "statusLine",
		"\r\n\r\n":                               "statusLine",
		line + " A: b\r\n\r\n":                   "lineFolding",
		line + "A : b\r\n\r\n":                   "fieldName",
		line + "A: b\rc\r\n\r\n":                 "fieldValue",
		line + "A: b\r\n c\x00\r\n\r\n":          "fieldValue",
		line + "Content-Length: 5, 5\r\n\r\n":    "framing",
		line + "Transfer-Encoding: gzip\r\n\r\n": "framing",
		line + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n": "framing",
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n":                   "framing",
		line + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n":                   "framing",
	} {
		_, reader, err := readResponse1(raw)
		reader.Release()
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", raw, err, want)
		}
	}
	for _, raw := range []string{"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n"} {
		_, reader, err := readResponse1(raw)
		reader.Release()
		if want := map[bool]error{true: io.EOF, false: io.ErrUnexpectedEOF}[raw == ""]; !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", raw, err, want)
		}
	}
}

func TestParseResponse_UnfoldsLines(t *testing.T) {
	r, reader, err := readResponse1("HTTP/1.1 200 OK\r\nA: b \r\n  c\r\n\t\r\n d \r\nB:\n e\r\nContent-Length:\r\n 1\r\n\r\n")
	defer reader.Release()
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Fields.Get("a"); got != "b c d" {
		t.Errorf("A is %q", got)
	}
	if got := r.Fields.Get("b"); got != "e" || r.Length != 1 {
		t.Errorf("B is %q, length %d", got, r.Length)
	}
	for _, f := range r.Fields {
		if strings.ContainsAny(f.Line, "\r\n") {
			t.Errorf("line %q", f.Line)
		}
	}
}

// A server cannot make the proxy copy its head again and again.
func TestParseResponse_UnfoldsInLinearTime(t *testing.T) {
	raw := "HTTP/1.1 200 OK\r\nA: b\r\n" + strings.Repeat(" c\n", 340_000) + "\r\n"
	start := time.Now()
	r, reader, err := readResponse1(raw)
	defer reader.Release()
	if err != nil || len(r.Fields) != 1 || len(r.Fields[0].Value) != 1+2*340_000 {
		t.Fatalf("%v, %d fields", err, len(r.Fields))
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// A reader keeps little memory for the next message, however large the last one was.
func TestReader_KeepsLittleMemory(t *testing.T) {
	large := "HTTP/1.1 200 OK\r\n" + strings.Repeat("a:\r\n", 20_000) + "Content-Length: 0\r\n\r\n"
	next := "HTTP/1.1 204 No Content\r\n\r\n"
	reader := NewReader(strings.NewReader(large + next + next))
	defer reader.Release()
	for range 3 {
		if _, err := reader.ReadResponse("GET", 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := reader.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // as a reader gives it
		t.Fatal(err)
	}
	if cap(reader.lent.fields) > 64 || len(reader.buf) > smallBuffer {
		t.Errorf("memory of %d fields and of %d bytes is kept", cap(reader.lent.fields), len(reader.buf))
	}
}

// The memory of a reader holds nothing of its messages when the next one gets it.
func TestReader_ReleaseForgetsTheFields(t *testing.T) {
	reader := NewReader(strings.NewReader("HTTP/1.1 200 OK\r\nSet-Cookie: session=1\r\nContent-Length: 0\r\n\r\n"))
	if _, err := reader.ReadResponse("GET", 1<<20); err != nil {
		t.Fatal(err)
	}
	lent := reader.lent
	reader.Release()
	for _, field := range lent.fields[:cap(lent.fields)] {
		if field != (Field{}) {
			t.Fatalf("the memory holds %q", field.Line)
		}
	}
	if cap(lent.fields) == 0 {
		t.Error("no memory is kept")
	}
}

// slow is a connection on which each second read runs out of time.
type slow struct {
	parts
	reads int
}

func (s *slow) Read(b []byte) (int, error) {
	if s.reads++; s.reads%2 == 1 {
		return 0, os.ErrDeadlineExceeded
	}
	return s.parts.Read(b)
}

// A body that is read with deadlines is the same.
func TestBody_GoesOnAfterATimeout(t *testing.T) {
	for _, raw := range []string{"5\r\nhello\r\n6;x\r\n world\r\n0\r\nA: b\r\n\r\n", "hello world"} {
		reader := NewReader(&slow{parts: parts{[]byte(raw), 1}})
		response := &Response{Length: -1, Chunked: raw[0] == '5'}
		if !response.Chunked {
			response.Length = 11
		}
		body := reader.BodyOf(response)
		var got []byte
		timeouts := 0
		for {
			part := make([]byte, 4)
			n, err := body.Read(part)
			got = append(got, part[:n]...)
			if errors.Is(err, io.EOF) {
				break
			}
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded):
				timeouts++
			case err != nil:
				t.Fatal(err)
			}
		}
		if string(got) != "hello world" || timeouts < 10 || !body.Ended() || response.Chunked && body.Trailer.Get("a") != "b" {
			t.Errorf("body is %q after %d timeouts, trailer %v", got, timeouts, body.Trailer)
		}
		reader.Release()
	}
}

func TestBody_RefusesMalformedChunks(t *testing.T) {
	for raw, want := range map[string]error{
		"5\nhello\r\n0\r\n\r\n":                                             errChunk,
		"5\r\nhello\n0\r\n\r\n":                                             errChunk,
		"5\r\nhello0\r\n\r\n":                                               errChunk,
		"5\r\nhello\r\n0\r\n\n":                                             errChunk,
		"5\r\nhello\r\n0\r\nA: b\n\r\n":                                     errChunk,
		"5\r\nhello\r\n0\r\nA b\r\n\r\n":                                    errChunk,
		"5\r\nhello\r\n0\r\n A: b\r\n\r\n":                                  errChunk,
		"5 \r\nhello\r\n0\r\n\r\n":                                          errChunk,
		" 5\r\nhello\r\n0\r\n\r\n":                                          errChunk,
		"+5\r\nhello\r\n0\r\n\r\n":                                          errChunk,
		"0x5\r\nhello\r\n0\r\n\r\n":                                         errChunk,
		"\r\nhello\r\n0\r\n\r\n":                                            errChunk,
		";x\r\nhello\r\n0\r\n\r\n":                                          errChunk,
		"5;x\ry\r\nhello\r\n0\r\n\r\n":                                      errChunk,
		"g\r\nhello\r\n0\r\n\r\n":                                           errChunk,
		"0000000000000005\r\nhello\r\n0\r\n\r\n":                            errChunk,
		"ffffffffffffffff\r\nhello":                                         errChunk,
		"5;" + strings.Repeat("x", maxChunkLine) + "\r\nhello\r\n0\r\n\r\n": errChunk,
		"5\r\nhello\r\n0\r\n" + strings.Repeat("a: b\r\n", maxTrailer/4) + "\r\n": errChunk,
		"5\r\nhello\r\n0\r\n" + strings.Repeat("a", 2*maxTrailer):                 errChunk,
		"5\r\nhel":                    io.ErrUnexpectedEOF,
		"5\r\nhello":                  io.ErrUnexpectedEOF,
		"5\r\nhello\r\n":              io.ErrUnexpectedEOF,
		"5\r\nhello\r\n0\r\n":         io.ErrUnexpectedEOF,
		"5\r\nhello\r\n0\r\nA: b\r\n": io.ErrUnexpectedEOF,
	} {
		for _, size := range []int{1, 7, 1 << 20} {
			reader := NewReader(&parts{[]byte(raw), size})
			body := reader.bodyOfRequest(&Request{Chunked: true})
			if got, err := body.readAll(growing, 1<<20); !errors.Is(err, want) || body.Ended() {
				t.Errorf("%.40q by %d bytes: %q, %v, want %v", raw, size, got, err, want)
			}
			if _, err := body.Read(make([]byte, 1)); !errors.Is(err, want) {
				t.Errorf("%.40q: then %v", raw, err)
			}
			reader.Release()
		}
	}
}

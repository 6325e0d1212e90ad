// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

// pause_test.go: reading of a response whose backend pauses.

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	headOfLength = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"
	headOfChunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	headToClose  = "HTTP/1.1 200 OK\r\n\r\n"
	// pauseOf is how long a backend pauses, patience how long a reader waits.
	pauseOf, patience = 10 * time.Millisecond, 3 * time.Millisecond
)

// inBubble runs an exchange with a backend that sends parts with a pause after
// each, and closes. An empty part is a longer pause.
func inBubble(t *testing.T, parts []string, test func(t *testing.T, r *Response)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = readRequest(far)
			for _, part := range parts {
				if part != "" {
					_, _ = io.WriteString(far, part)
				}
				time.Sleep(pauseOf)
			}
			_ = far.Close()
		}()
		p := callback(time.Minute, first)
		deadline := time.Now().Add(p.Total)
		x := newExchange(t.Context(), near, deadline)
		defer func() { x.close(); <-ended }()
		response, err := x.run(p, &p.Choices[0], deadline)
		if err != nil {
			t.Fatal(err)
		}
		test(t, response)
	})
}

// readPaused reads a body to its end, and counts the pauses.
func readPaused(r *Response, size int) (body string, pauses int, err error) {
	buffer := make([]byte, size)
	for {
		n, err := r.ReadUntil(buffer, time.Now().Add(patience))
		body += string(buffer[:n])
		switch {
		case errors.Is(err, ErrPause):
			pauses++
		case errors.Is(err, io.EOF):
			return body, pauses, nil
		case err != nil:
			return body, pauses, err
		}
	}
}

// Each byte comes alone, so that pauses are in chunks, in their lines, in line
// ends and in trailers. No byte is lost, and none comes twice.
func TestReadUntil_GoesOnAfterAPauseAnywhere(t *testing.T) {
	for name, tc := range map[string]struct{ head, rest, body, trailer string }{
		"length":          {headOfLength, "abcdefg", "abcdefg", ""},
		"until closed":    {headToClose, "abcdefg", "abcdefg", ""},
		"chunks":          {headOfChunks, "3\r\nabc\r\n00004\r\ndefg\r\n0\r\n\r\n", "abcdefg", ""},
		"extension":       {headOfChunks, "2 ;a=\"b;c\"\r\nab\r\n5;x\r\ncdefg\r\n0;last\r\n\r\n", "abcdefg", ""},
		"line ends of LF": {headOfChunks, "3\nabc\n4\ndefg\n0\nA: b\n\n", "abcdefg", "A: b"},
		"trailer":         {headOfChunks, "7\r\nabcdefg\r\n0\r\nA: b\r\nLong-Name:c d \r\n\r\n", "abcdefg", "A: b|Long-Name:c d "},
		"no bytes":        {headOfChunks, "0\r\nA: b\r\n\r\n", "", "A: b"},
		"like chunks":     {headOfChunks, "a\r\n\r\n0\r\n\r\n0\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n0\r\n", ""},
	} {
		for _, size := range []int{1, 2, 3, 512} {
			t.Run(name, func(t *testing.T) {
				parts := append([]string{tc.head}, strings.Split(tc.rest, "")...)
				inBubble(t, parts, func(t *testing.T, r *Response) {
					t.Helper()
					body, pauses, err := readPaused(r, size)
					if body != tc.body || err != nil {
						t.Errorf("body is %q, want %q (%v)", body, tc.body, err)
					}
					if pauses < 3*len(tc.rest) {
						t.Errorf("%d pauses for %d bytes", pauses, len(tc.rest))
					}
					var trailer []string
					for _, field := range r.body.Trailer {
						trailer = append(trailer, field.Line)
					}
					if got := strings.Join(trailer, "|"); got != tc.trailer {
						t.Errorf("trailer is %q, want %q", got, tc.trailer)
					}
					// A pipe that was closed by its other end has no deadlines.
					if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) && tc.head != headToClose {
						t.Errorf("after the end: %d %v", n, err)
					}
				})
			})
		}
	}
}

// Errors are not taken for pauses, and pauses hide no error.
func TestReadUntil_ErrorsAfterPauses(t *testing.T) {
	for name, tc := range map[string]struct {
		head, rest, body string
		reason           Reason
	}{
		"short":             {headOfLength, "abc", "abc", ReadFailed},
		"short chunk":       {headOfChunks, "5\r\nabc", "abc", ReadFailed},
		"short line":        {headOfChunks, "3\r\nabc\r\n1", "abc", ReadFailed},
		"short trailer":     {headOfChunks, "3\r\nabc\r\n0\r\nA:", "abc", ReadFailed},
		"no last line":      {headOfChunks, "3\r\nabc\r\n0\r\n", "abc", ReadFailed},
		"no line end":       {headOfChunks, "3\r\nabcX\r\n0\r\n\r\n", "abc", Malformed},
		"no size":           {headOfChunks, "3\r\nabc\r\n\r\n0\r\n\r\n", "abc", Malformed},
		"negative size":     {headOfChunks, "3\r\nabc\r\n-1\r\n\r\n", "abc", Malformed},
		"endless extension": {headOfChunks, "3\r\nabc\r\n1;" + strings.Repeat("x", 300), "abc", Malformed},
		"endless trailer":   {headOfChunks, "3\r\nabc\r\n0\r\n" + strings.Repeat("A: b\r\n", 1100) + "\r\n", "abc", Malformed},
		"no trailer":        {headOfChunks, "3\r\nabc\r\n0\r\n b\r\n\r\n", "abc", Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			by := ""
			if len(tc.rest) > 1000 {
				by = "\n" // all of it within the total time
			}
			inBubble(t, append([]string{tc.head}, strings.SplitAfter(tc.rest, by)...), func(t *testing.T, r *Response) {
				t.Helper()
				body, _, err := readPaused(r, 512)
				if body != tc.body {
					t.Errorf("body is %q, want %q", body, tc.body)
				}
				wants(t, err, Error{Reason: tc.reason})
				_, again := r.ReadUntil(make([]byte, 1), time.Now().Add(patience))
				wants(t, again, Error{Reason: tc.reason})
			})
		})
	}
}

// A time that is over returns what was read already, and then the pause.
func TestReadUntil_InThePast(t *testing.T) {
	for name, parts := range map[string][]string{
		"length": {headOfLength + "abc", "defg"},
		"chunks": {headOfChunks + "3\r\nabc\r\n4", "\r\ndefg\r\n0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, parts, func(t *testing.T, r *Response) {
				t.Helper()
				past, buffer := time.Unix(1, 0), make([]byte, 512)
				if n, err := r.ReadUntil(buffer, past); string(buffer[:n]) != "abc" || err != nil {
					t.Errorf("read %q %v", buffer[:n], err)
				}
				for range 3 {
					if n, err := r.ReadUntil(buffer, past); n != 0 || !errors.Is(err, ErrPause) {
						t.Errorf("read %q %v", buffer[:n], err)
					}
				}
				if rest, err := io.ReadAll(r); string(rest) != "defg" || err != nil {
					t.Errorf("the rest is %q %v", rest, err)
				}
			})
		})
	}
}

// The total time ends a response that pauses, however short the reader waits.
func TestF37_PausesEndWithTheTotal(t *testing.T) {
	for name, wait := range map[string]time.Duration{"short waits": 7 * time.Second, "one wait": time.Hour, "to the end": time.Minute} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, append([]string{headOfLength}, make([]string, 10_000)...), func(t *testing.T, r *Response) {
				t.Helper()
				start := time.Now()
				_, err := r.ReadUntil(make([]byte, 1), start.Add(wait))
				for errors.Is(err, ErrPause) {
					_, err = r.ReadUntil(make([]byte, 1), time.Now().Add(wait))
				}
				wants(t, err, Error{Reason: TimedOut, Timeout: true})
				if took := time.Since(start); took > time.Minute || took < 59*time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// response.go: the head of a response. Pure.

import (
	"net/http"
	"strings"
)

// Response is the head of a response, and the framing of its body.
type Response struct {
	Status int
	// Reason is the reason phrase, as it came.
	Reason string
	Minor  int
	Fields Fields
	// Length is the declared length of the body; -1: none is declared.
	Length  int64
	Chunked bool
	// Close: the connection ends after this response.
	Close bool
	// KeepAlive: the server announced in words that the connection goes on.
	KeepAlive bool
	// Bodiless: no body follows, whatever the fields declare.
	Bodiless bool
}

// parseResponse reads the head of a response to a request with a method.
//
// It is more lenient than parseRequest, as clients are: lines may end with LF
// alone, folded lines are unfolded, and a length that is declared twice alike
// counts once.
func parseResponse(head, method string, fields Fields) (r Response, err *Error) {
	r = Response{Length: -1, Fields: fields}
	line, rest := cutLenient(head)
	if err := r.parseStatusLine(line); err != nil {
		return r, err
	}
	for {
		line, rest = cutLenient(rest)
		if line == "" {
			break
		}
		if beginsBlank(rest) {
			line, rest = unfold(line, rest)
		}
		field, err := parseField(line)
		if err != nil {
			return r, err
		}
		r.Fields = append(r.Fields, field)
	}
	for i := len(fields); i < len(r.Fields); i++ {
		if err := r.note(&r.Fields[i]); err != nil {
			return r, err
		}
	}
	r.settle(method)
	return r, nil
}

// settle decides what all fields mean together.
func (r *Response) settle(method string) {
	if r.Chunked {
		r.Length = -1 // RFC 9112 section 6.3: chunks override a length
	}
	r.Bodiless = method == http.MethodHead || r.Status < http.StatusOK || r.Status == http.StatusNoContent || r.Status == http.StatusNotModified
	r.Close = r.Close || !r.Bodiless && !r.Chunked && r.Length < 0 || r.Minor == 0 && !r.KeepAlive
}

func beginsBlank(s string) bool { return s != "" && (s[0] == ' ' || s[0] == '\t') }

// unfold joins a line and those that continue it. It copies each byte once.
func unfold(line, rest string) (unfolded, after string) {
	var b strings.Builder
	b.WriteString(strings.TrimRight(line, " \t"))
	for beginsBlank(rest) {
		line, rest = cutLenient(rest)
		if line = trimBlanks(line); line != "" {
			b.WriteByte(' ')
			b.WriteString(line)
		}
	}
	return b.String(), rest
}

// cutLenient takes the first line off a head. It may end with LF alone.
func cutLenient(head string) (line, rest string) {
	line, rest, _ = strings.Cut(head, "\n")
	return strings.TrimSuffix(line, "\r"), rest
}

func (r *Response) parseStatusLine(line string) *Error {
	const form = "HTTP/1.1 200"
	if len(line) < len(form) || line[:7] != "HTTP/1." || line[8] != ' ' || len(line) > len(form) && line[len(form)] != ' ' {
		return errStatusLine
	}
	switch line[7] {
	case '1':
		r.Minor = 1
	case '0':
	default:
		return errStatusLine
	}
	for _, c := range []byte(line[9:12]) {
		if c < '0' || c > '9' {
			return errStatusLine
		}
		r.Status = r.Status*10 + int(c-'0')
	}
	if r.Status < 100 {
		return errStatusLine
	}
	if len(line) > len(form) {
		r.Reason = line[len(form)+1:]
	}
	if !isAll(r.Reason, valueByte) {
		return errStatusLine
	}
	return nil
}

func (r *Response) note(f *Field) *Error {
	switch {
	case f.Is("content-length"):
		length, ok := parseLength(f.Value)
		if !ok || r.Length >= 0 && r.Length != length {
			return errFraming
		}
		r.Length = length
	case f.Is("transfer-encoding"):
		if !EqualFold(f.Value, "chunked") || r.Chunked || r.Minor == 0 {
			return errFraming
		}
		r.Chunked = true
	case f.Is("connection"):
		r.Close = r.Close || HasToken(f.Value, "close")
		r.KeepAlive = r.KeepAlive || HasToken(f.Value, "keep-alive")
	case f.Is("keep-alive"): // of HTTP/1.0 it means nothing without the option
		r.KeepAlive = r.KeepAlive || r.Minor == 1
	}
	return nil
}

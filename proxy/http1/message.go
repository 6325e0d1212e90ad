// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package http1 reads and writes HTTP/1.0 and HTTP/1.1 messages (RFC 9112). In:
// connections; out: the heads of messages with their field lines as they came,
// and bodies by their framing. It refuses each request that two servers could
// read in two ways, and it relays without parsing what it does not need. I/O on
// connections that it is given.
package http1

// message.go: field lines, which requests and responses have in common. Pure.

import (
	"net/http"
	"strings"
)

// Field is one field line of a message.
type Field struct {
	// Line is the line as it came, without its end.
	Line string
	// Name is the name as it was spelled, Value the value without the blanks
	// around it. Both are parts of Line.
	Name, Value string
}

// Is reports whether the field has a name, given in lower case.
func (f *Field) Is(name string) bool { return EqualFold(f.Name, name) }

// Fields are the field lines of a message, in their order.
type Fields []Field

// Get returns the value of the first field with a name in lower case, or "".
func (s Fields) Get(name string) string {
	for i := range s {
		if s[i].Is(name) {
			return s[i].Value
		}
	}
	return ""
}

// Count returns how many fields have a name in lower case.
func (s Fields) Count(name string) int {
	n := 0
	for i := range s {
		if s[i].Is(name) {
			n++
		}
	}
	return n
}

// EqualFold reports whether s equals a name in lower case, ASCII letters of
// either case being the same.
func EqualFold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c-'A' < 26 {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// HasToken reports whether a list of tokens, divided by commas, holds one, given
// in lower case.
func HasToken(list, token string) bool {
	for list != "" {
		var element string
		element, list, _ = strings.Cut(list, ",")
		if EqualFold(trimBlanks(element), token) {
			return true
		}
	}
	return false
}

// Error is why a message cannot be read. Its reason is constant text, so it may
// be logged and counted.
type Error struct {
	// Status is the HTTP status code of the refusal.
	Status int
	Reason string
}

func (e *Error) Error() string { return e.Reason }

// The refusals of a head.
var (
	errRequestLine  = &Error{http.StatusBadRequest, "requestLine"}
	errHTTPVersion  = &Error{http.StatusHTTPVersionNotSupported, "httpVersion"}
	errTLS          = &Error{http.StatusBadRequest, "tlsOnPlainPort"}
	errProxyLine    = &Error{http.StatusBadRequest, "proxyProtocol"}
	errLineEnding   = &Error{http.StatusBadRequest, "lineEnding"}
	errFolding      = &Error{http.StatusBadRequest, "lineFolding"}
	errFieldName    = &Error{http.StatusBadRequest, "fieldName"}
	errFieldValue   = &Error{http.StatusBadRequest, "fieldValue"}
	errNoHost       = &Error{http.StatusBadRequest, "noHost"}
	errTwoHosts     = &Error{http.StatusBadRequest, "headerTwice"}
	errHost         = &Error{http.StatusBadRequest, "hostMalformed"}
	errFraming      = &Error{http.StatusBadRequest, "framing"}
	errTargetLength = &Error{http.StatusRequestURITooLong, "targetTooLong"}
	errHeadLength   = &Error{http.StatusRequestHeaderFieldsTooLarge, "headerTooLarge"}
	errStatusLine   = &Error{http.StatusBadGateway, "statusLine"}
	errChunk        = &Error{http.StatusBadRequest, "chunkMalformed"}
)

// ErrHeadTooLarge is returned for a head that is larger than its limit.
var ErrHeadTooLarge error = errHeadLength

// The classes of bytes.
const (
	tokenByte  = 1 << iota // of a method or a field name, RFC 9110 section 5.6.2
	targetByte             // of a request target: no control and no blank
	valueByte              // of a field value, RFC 9110 section 5.5
	hostByte               // of a Host field
)

var classes = func() (table [256]uint8) {
	for c := range 256 {
		if c > ' ' && c != 0x7f {
			table[c] |= targetByte
		}
		if c >= ' ' && c != 0x7f || c == '\t' {
			table[c] |= valueByte
		}
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	for _, c := range []byte(letters + "!#$%&'*+-.^_`|~") {
		table[c] |= tokenByte
	}
	for _, c := range []byte(letters + "!$%&'()*+,-.:;=[]_~") { // RFC 3986 section 3.2.2, and the port
		table[c] |= hostByte
	}
	return table
}()

// IsHost reports whether s can be the value of a Host field.
func IsHost(s string) bool { return s != "" && isAll(s, hostByte) }

// isAll reports whether all bytes of s are of a class.
func isAll(s string, class uint8) bool {
	for i := range len(s) {
		if classes[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

// trimBlanks removes spaces and tabs at both ends.
func trimBlanks(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// parseField reads one field line.
func parseField(line string) (Field, *Error) {
	colon := strings.IndexByte(line, ':')
	if colon <= 0 || !isAll(line[:colon], tokenByte) {
		if line != "" && (line[0] == ' ' || line[0] == '\t') {
			return Field{}, errFolding
		}
		return Field{}, errFieldName
	}
	value := trimBlanks(line[colon+1:])
	if !isAll(value, valueByte) {
		return Field{}, errFieldValue
	}
	return Field{Line: line, Name: line[:colon], Value: value}, nil
}

// cutLine takes the first line, which ends with CR LF, off a head.
func cutLine(head string) (line, rest string, err *Error) {
	end := strings.IndexByte(head, '\n')
	if end < 1 || head[end-1] != '\r' {
		return "", head, errLineEnding
	}
	return head[:end-1], head[end+1:], nil
}

// parseLength reads the value of Content-Length: digits only.
func parseLength(s string) (int64, bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

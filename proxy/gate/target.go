// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gate

// target.go: rules for the bytes of a request target.

import (
	"net/http"
	"strings"
)

// checkTargetBytes refuses paths that two parsers could read as two different
// ones, unless the path is declared in this very spelling. The query is not
// interpreted: only bytes that cannot stand in a request line are refused in it.
// Bytes above ASCII can: browsers send them as they are in a link's query.
func checkTargetBytes(h *Head) *Refusal {
	path, query, _ := SplitTarget(h.Target)
	if !h.PathDeclared && !IsCanonicalPath(path) {
		return &Refusal{http.StatusBadRequest, PathNotCanonical}
	}
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c == 0x7f || c == '#' {
			return &Refusal{http.StatusBadRequest, QueryBytes}
		}
	}
	return nil
}

// IsCanonicalPath reports whether a path has one reading only: no empty, "."
// or ".." segment, no parameters (";"), and no escape whose decoding would
// make or hide any of these.
func IsCanonicalPath(path string) bool {
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c <= ' ' || c >= 0x7f || c == ';' || c == '\\' || c == '#':
			return false
		case c == '%':
			if i+2 >= len(path) || !isHarmlessEscape(path[i+1], path[i+2]) {
				return false
			}
			i += 2
		}
	}
	return !strings.Contains(path, "//") && !hasDotSegment(path)
}

func hasDotSegment(path string) bool {
	for {
		at := strings.Index(path, "/.")
		if at < 0 {
			return false
		}
		path = path[at+len("/."):]
		rest := strings.TrimPrefix(path, ".")
		if rest == "" || rest[0] == '/' {
			return true
		}
	}
}

// isHarmlessEscape reports whether %XX stands for a byte that has to be
// escaped and that has no meaning in a path. Escapes of unreserved characters
// are refused because RFC 3986 section 6.2.2.2 makes them equal to the
// characters: "%2e" is ".".
func isHarmlessEscape(high, low byte) bool {
	h, okHigh := unhex(high)
	l, okLow := unhex(low)
	if !okHigh || !okLow {
		return false
	}
	c := h<<4 | l
	switch {
	case c < ' ' || c == 0x7f:
		return false
	case isUnreserved(c):
		return false
	case c == '/' || c == '\\' || c == '%' || c == ';':
		return false
	}
	return true
}

// isUnreserved is RFC 3986 section 2.3.
func isUnreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

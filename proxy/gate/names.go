// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gate

// names.go: the names of parameters, as they are spelled and as servers read them.

import "strings"

const (
	minName = len("iss")
	maxName = len("error_description")
)

// index finds a known parameter by its name, and folded one that decides by
// what PHP, Rails, Express and ASP.NET make of its name.
var index, folded = func() (map[string]uint, map[string]uint) {
	exact, fold := make(map[string]uint, len(known)), make(map[string]uint, deciding)
	for i, name := range known {
		exact[name] = uint(i)
		if i < deciding {
			fold[strings.ToLower(name)] = uint(i)
		}
	}
	return exact, fold
}()

// find returns the known parameter that has a raw name.
func find(raw string) (parameter uint, is bool) {
	var name [maxName]byte
	n := 0
	for ; raw != ""; n++ {
		if n == maxName {
			return 0, false
		}
		name[n], raw = decode(raw)
	}
	if n < minName {
		return 0, false
	}
	parameter, is = index[string(name[:n])]
	return parameter, is
}

// decode returns the first byte of a raw name that is not empty, and the rest. An
// escape that is malformed stands for itself.
func decode(raw string) (c byte, rest string) {
	switch {
	case raw[0] == '+':
		return ' ', raw[1:]
	case raw[0] == '%' && len(raw) > 2:
		high, okHigh := unhex(raw[1])
		low, okLow := unhex(raw[2])
		if okHigh && okLow {
			return high<<4 | low, raw[3:]
		}
	}
	return raw[0], raw[1:]
}

// findAlike returns the parameter that decides and whose name some framework
// makes of a raw name.
func findAlike(raw string) (parameter uint, is bool) {
	parameter, is, bracketed := findFolded(raw, false)
	if !is && bracketed {
		parameter, is, _ = findFolded(raw, true)
	}
	return parameter, is
}

// findFolded reads a name as frameworks do: PHP drops blanks before it, reads
// dots and blanks in it as underscores and ends it at a NUL or a bracket; Rails
// and Express end it at a bracket, and drop brackets before it; ASP.NET compares
// without regard to case. With open, a bracket that is not closed is an
// underscore, as for PHP. bracketed reports whether a bracket ended the name.
//
// A name of any length is read: all of these cut parts off.
func findFolded(raw string, open bool) (parameter uint, is, bracketed bool) { //nolint:gocyclo // one loop over the bytes of a name
	var name [maxName]byte
	n := 0
	for raw != "" {
		var c byte
		c, raw = decodeWide(raw)
		switch {
		case n == 0 && (c == ' ' || c >= '\t' && c <= '\r' || c == '[' || c == ']'):
			continue
		case c == '[' && !open:
			raw, bracketed = "", true
			continue
		case c == ']' && open:
			return 0, false, true
		case c == 0 || c == ']':
			raw = ""
			continue
		case c == '.' || c == ' ' || c == '[':
			c = '_'
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		if n == maxName {
			return 0, false, false
		}
		name[n] = c
		n++
	}
	if n < minName {
		return 0, false, bracketed
	}
	parameter, is = folded[string(name[:n])]
	return parameter, is, bracketed
}

// decodeWide is decode, and also reads %uXXXX, as ASP.NET does.
func decodeWide(raw string) (c byte, rest string) {
	const escape = "%u0000"
	if len(raw) >= len(escape) && raw[:len("%u00")] == "%u00" {
		high, okHigh := unhex(raw[4])
		low, okLow := unhex(raw[5])
		if okHigh && okLow {
			return high<<4 | low, raw[len(escape):]
		}
	}
	return decode(raw)
}

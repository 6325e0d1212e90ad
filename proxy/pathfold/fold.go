// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package pathfold

// fold.go: the readings of a path.

import (
	"encoding/hex"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// reading is one reading of a path: its segments in a form in which two that some
// server takes for the same are the same.
type reading struct {
	segments []string
	// several: a server may drop any of the segments.
	several bool
}

// scripts are the extensions of programs that read the rest of a path as the path
// of their own, as a front controller does: /index.php/login.
var scripts = []string{".php", ".cgi", ".fcgi", ".pl", ".py", ".asp", ".aspx", ".ashx", ".dll"}

// fold appends the readings of a path. Segments are decoded, in lower case, without
// parameters, without dots and spaces at their end. One slash at the end of a path
// means nothing. It reports false for a path that no honest client sends.
func fold(readings []reading, path string) (all []reading, legible bool) {
	decoded, ok := decodeFully(path)
	if !ok {
		return nil, false
	}
	slashes := strings.Count(path, "/")
	if isASCII(decoded) {
		return appendReadings(readings, decoded, slashes), true
	}
	readings = appendReadings(readings, foldUnicode(decoded), slashes)
	if !utf8.ValidString(decoded) {
		readings = appendReadings(readings, foldUnicode(decodeOverlong(decoded)), slashes)
		readings = appendReadings(readings, foldUnicode(decodeLatin1(decoded)), slashes)
	}
	return readings, true
}

// appendReadings appends the readings of a decoded path that had some slashes as it
// came.
func appendReadings(readings []reading, decoded string, slashes int) []reading {
	r := reading{several: strings.ContainsAny(decoded, `;?#\%`) || strings.Count(decoded, "/") != slashes}
	decoded = strings.ReplaceAll(decoded, `\`, "/")
	decoded = strings.TrimSuffix(strings.TrimPrefix(decoded, "/"), "/")
	if decoded == "" {
		return append(readings, r)
	}
	r.segments = make([]string, 0, 8)
	script := -1
	for segment := range strings.SplitSeq(decoded, "/") {
		if cut := strings.IndexAny(segment, ";?#"); cut >= 0 {
			segment = segment[:cut]
		}
		segment = strings.ToLower(strings.TrimRight(segment, ". "))
		if segment == "" {
			r.several = true // it was ".", "..", or empty
			continue
		}
		r.several = r.several || isSession(segment)
		if script < 0 && isScript(segment) {
			script = len(r.segments)
		}
		r.segments = append(r.segments, segment)
	}
	readings = append(readings, r)
	if script >= 0 && script+1 < len(r.segments) {
		rest := r.segments[script+1:]
		readings = append(readings, reading{segments: rest, several: r.several})
		if script > 0 {
			below := append(append([]string{}, r.segments[:script]...), rest...)
			readings = append(readings, reading{segments: below, several: r.several})
		}
	}
	return readings
}

func isScript(segment string) bool {
	for _, extension := range scripts {
		if strings.HasSuffix(segment, extension) {
			return true
		}
	}
	return false
}

// isSession reports whether a segment holds the session of a client without
// cookies, which ASP.NET drops: /(S(abc))/login.
func isSession(segment string) bool {
	return len(segment) > 4 && segment[0] == '(' && segment[1]-'a' < 26 && segment[2] == '(' && strings.HasSuffix(segment, "))")
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// foldUnicode returns a text in which letters, digits and signs that servers take
// for those of ASCII are those of ASCII: accents, wide forms and other variants are
// dropped (NFKD), and so are other blanks than the space and what is not seen.
func foldUnicode(text string) string {
	text = strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf && (r == utf8.RuneError || unicode.IsSpace(r)) {
			return -1
		}
		return r
	}, text)
	var out strings.Builder
	for _, r := range norm.NFKD.String(text) {
		switch {
		case r < utf8.RuneSelf:
			out.WriteRune(r)
		case unicode.Is(unicode.M, r), unicode.Is(unicode.C, r):
		case r == '\u2044', r == '\u2215', r == '\u2571', r == '\u29f8': // slashes
			out.WriteByte('/')
		case r == '\u2216', r == '\u29f5', r == '\u29f9': // backslashes
			out.WriteByte('\\')
		case r == '\u0131': // a dotless i, whose upper case is I
			out.WriteByte('i')
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// decodeOverlong replaces the spellings of ASCII in two or three bytes that UTF-8
// forbids and some decoders take. Other bytes that are no UTF-8 stay.
func decodeOverlong(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch rest := s[i:]; {
		case len(rest) > 1 && (rest[0] == 0xc0 || rest[0] == 0xc1) && isContinuation(rest[1]):
			out = append(out, rest[0]&1<<6|rest[1]&0x3f)
			i++
		case len(rest) > 2 && rest[0] == 0xe0 && (rest[1] == 0x80 || rest[1] == 0x81) && isContinuation(rest[2]):
			out = append(out, rest[1]&1<<6|rest[2]&0x3f)
			i += 2
		default:
			out = append(out, s[i])
		}
	}
	return string(out)
}

func isContinuation(b byte) bool { return b&0xc0 == 0x80 }

// decodeLatin1 reads each byte as a character.
func decodeLatin1(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

// maxDecoding is how often a path is decoded. No honest client escapes more
// often.
const maxDecoding = 3

// decodeFully resolves escapes until there are none. It reports false for a path
// that has more, and for one with control characters: some servers drop them,
// others end the path there.
func decodeFully(path string) (string, bool) {
	for range maxDecoding {
		next, found := decodeOnce(path)
		if !found {
			break
		}
		path = next
	}
	if _, found := decodeOnce(path); found {
		return "", false
	}
	for i := range len(path) {
		if path[i] < ' ' || path[i] == 0x7f {
			return "", false
		}
	}
	return path, true
}

// wideEscape is the form of an escape that servers of Microsoft resolve.
const wideEscape = "%uXXXX"

func decodeWide(s string) (rune, bool) {
	if len(s) < len(wideEscape) || s[0] != '%' || s[1]|0x20 != 'u' {
		return 0, false
	}
	code, err := strconv.ParseUint(s[2:len(wideEscape)], 16, 16)
	return rune(code), err == nil
}

// decodeOnce resolves escapes once and reports whether there was one. A percent
// sign without two digits stays as it is.
func decodeOnce(s string) (string, bool) {
	percent := strings.IndexByte(s, '%')
	if percent < 0 {
		return s, false
	}
	out, found := append(make([]byte, 0, len(s)), s[:percent]...), false
	for i := percent; i < len(s); i++ {
		if wide, is := decodeWide(s[i:]); is {
			out, found = utf8.AppendRune(out, wide), true
			i += len(wideEscape) - 1
			continue
		}
		if s[i] == '%' && i+2 < len(s) {
			if b, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				out, found = append(out, b...), true
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out), found
}

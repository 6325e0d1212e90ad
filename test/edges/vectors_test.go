// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package edges

// vectors_test.go: the raw requests of testdata/vectors.txt.

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// way is how a request is sent on.
type way int

const (
	asCallback way = iota // of a fleet, to a backend, over a connection of its own
	asPassed              // by a sidecar, to the application, over a connection that is kept
)

// fate is what becomes of one request of a vector.
type fate struct {
	// status is that of a refusal; 0: the request reaches the origin.
	status int
	// goesOn: the connection goes on after a refusal.
	goesOn bool
	// body is the one that reaches the origin.
	body string
	// open: the origin decides. cut: the request is not whole.
	open, cut bool
}

// vector is one line of the file.
type vector struct {
	name string
	// fates are those of its requests, by the way.
	fates [2][]fate
	raw   string
}

const vectorFile = "testdata/vectors.txt"

// readVectors returns the vectors of the file.
func readVectors(t *testing.T) []vector {
	t.Helper()
	content, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	for i, line := range strings.Split(string(content), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		v, err := parseVector(line)
		if err != nil {
			t.Fatalf("%s:%d: %v", vectorFile, i+1, err)
		}
		list = append(list, v)
	}
	return list
}

func parseVector(line string) (v vector, err error) {
	columns := strings.SplitN(line, " | ", 4)
	if len(columns) != 4 {
		return v, fmt.Errorf("%d columns", len(columns))
	}
	v.name, v.raw = columns[0], columns[3]
	for way := range v.fates {
		if v.fates[way], err = parseFates(columns[1+way]); err != nil {
			return v, err
		}
	}
	_, err = strconv.Unquote(`"` + v.raw + `"`)
	return v, err
}

func parseFates(column string) (list []fate, err error) {
	for word := range strings.FieldsSeq(column) {
		var f fate
		body, forwarded := strings.CutPrefix(word, "=")
		switch {
		case forwarded:
			f.body = body
		case word == "?":
			f.open = true
		case word == "cut":
			f.cut = true
		default:
			word, f.goesOn = strings.CutSuffix(word, "+")
			if f.status, err = strconv.Atoi(word); err != nil {
				return nil, err
			}
		}
		list = append(list, f)
	}
	return list, nil
}

// target is that of a request with an identity.
func (w way) target(id string) string {
	if w == asCallback {
		return "/cb?code=" + id
	}
	return "/x?n=" + id
}

const (
	hostLine = " HTTP/1.1\r\nHost: " + authHost + "\r\n"
	steal    = "GET /cb?code=stolen" + hostLine + "\r\n"
)

// next is the identity of the second request of a vector.
func next(id string) string { return id + "b" }

// get is a whole request with an identity.
func (w way) get(id string) string { return "GET " + w.target(id) + hostLine + "\r\n" }

// expand returns the bytes of a vector, and of its fates' bodies.
func expand(text string, w way, id string) string {
	target := w.target(id)
	words := map[string]string{
		"path": target, "path1": target[1:], "query": target[strings.IndexByte(target, '?')+1:], "host": authHost, "HOST": strings.ToUpper(authHost),
		"get": "GET " + target + hostLine, "post": "POST " + target + hostLine, "next": w.get(next(id)),
		"steal": steal, "len steal": strconv.Itoa(len(steal)), "hex steal": strconv.FormatInt(int64(len(steal)), 16),
		"over": "100000", "over chunk": "fffff\r\nnot whole", "lb": "{", "rb": "}", "pipe": "|",
	}
	text, err := strconv.Unquote(`"` + text + `"`)
	if err != nil {
		panic(err) // the line was parsed
	}
	return inBraces.ReplaceAllStringFunc(text, func(word string) string {
		word = word[1 : len(word)-1]
		if known, ok := words[word]; ok {
			return known
		}
		count, content, _ := strings.Cut(word, " ")
		times, err := strconv.Atoi(count)
		if err != nil {
			panic("no word: " + word)
		}
		return strings.Repeat(content, times)
	})
}

var inBraces = regexp.MustCompile(`\{[^}]*\}`)

// The file has at least 300 vectors, each with a name of its own, and no word in
// braces that is not known.
func TestVectors_AreReadable(t *testing.T) {
	names := map[string]bool{}
	refused := 0
	for _, v := range readVectors(t) {
		if names[v.name] {
			t.Errorf("two vectors have the name %q", v.name)
		}
		names[v.name] = true
		for w, fates := range v.fates {
			_ = expand(v.raw, way(w), "v1")
			for i, f := range fates {
				if f.status != 0 {
					refused++
				}
				if (f.status != 0 || f.open || f.cut) && i != len(fates)-1 {
					t.Errorf("%s: something follows a fate that ends the connection", v.name)
				}
			}
		}
	}
	if len(names) < 300 || refused < 300 {
		t.Errorf("%d vectors, %d refusals", len(names), refused)
	}
}

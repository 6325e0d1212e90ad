// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package pathfold

// query.go: whether a query may have the parameters of a callback.

import (
	"strings"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// foldQuery returns the parameters of a callback, folded.
func foldQuery(q routetable.Query) []routetable.Parameter {
	parameters := q.Parameters()
	for i := range parameters {
		p := &parameters[i]
		name, value := decodeText(p.Name), decodeText(p.Value)
		p.Name, p.Value = foldName(name), foldValue(value)
	}
	return parameters
}

// mayHave reports whether some server reads all parameters of the callback out of
// a raw query: it takes any of several with one name.
func (c *claim) mayHave(query string) bool {
	for _, wanted := range c.query {
		if !mayHaveOne(query, wanted) {
			return false
		}
	}
	return true
}

func mayHaveOne(query string, wanted routetable.Parameter) bool {
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, _ := strings.Cut(pair, "=")
		if isFoldOf(name, wanted.Name, foldName) && isFoldOf(value, wanted.Value, foldValue) {
			return true
		}
	}
	return false
}

// isFoldOf reports whether a raw text, decoded once or more often, folds to
// another.
func isFoldOf(raw, folded string, fold func(string) string) bool {
	for range maxDecoding + 1 {
		if fold(raw) == folded {
			return true
		}
		next := decodeText(raw)
		if next == raw {
			return false
		}
		raw = next
	}
	return false
}

// decodeText resolves the escapes of a query once.
func decodeText(raw string) string {
	decoded, _ := decodeOnce(strings.ReplaceAll(raw, "+", " "))
	return decoded
}

// foldName reads a name as PHP, Rails, Express and ASP.NET do: without blanks
// before it, up to a bracket or NUL, with dots and blanks as underscores, in lower
// case.
func foldName(name string) string {
	name = strings.TrimLeft(name, " \t\r\n\v\f[")
	if end := strings.IndexAny(name, "[]\x00"); end >= 0 {
		name = name[:end]
	}
	return strings.ToLower(strings.NewReplacer(".", "_", " ", "_").Replace(name))
}

// foldValue reads a value without blanks around it and up to NUL, in lower case.
func foldValue(value string) string {
	value, _, _ = strings.Cut(value, "\x00")
	return strings.ToLower(strings.TrimSpace(value))
}

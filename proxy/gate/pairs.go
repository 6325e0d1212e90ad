// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gate

// pairs.go: the pairs of a query or a form.

import "strings"

// pairs are the pairs of a query or a form, in one pass over it. Both & and ;
// divide, as some servers have it.
type pairs struct {
	form string
	at   int
	// ampersand and semicolon are the next of each.
	ampersand, semicolon int
	// name and value are the present pair, raw.
	name, value string
	// searched counts the bytes that were searched: a test proves by it that the
	// work is linear.
	searched int
}

func newPairs(form string) pairs { return pairs{form: form, ampersand: -1, semicolon: -1} }

// next goes to the next pair that is not empty, and reports whether there is one.
func (p *pairs) next() bool {
	for p.at < len(p.form) && (p.form[p.at] == '&' || p.form[p.at] == ';') {
		p.at++
	}
	if p.at >= len(p.form) {
		return false
	}
	end := min(p.divider(&p.ampersand, '&'), p.divider(&p.semicolon, ';'))
	p.name, p.value, _ = strings.Cut(p.form[p.at:end], "=")
	p.at = end + 1
	return true
}

// divider returns where the next byte c is. It searches only behind the one that
// it found before.
func (p *pairs) divider(found *int, c byte) int {
	if *found < p.at {
		if *found = strings.IndexByte(p.form[p.at:], c); *found < 0 {
			*found = len(p.form)
		} else {
			*found += p.at
		}
		p.searched += *found - p.at
	}
	return *found
}

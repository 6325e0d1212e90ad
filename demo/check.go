// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
)

// Check is one thing that the demo says about the running system.
type Check struct {
	Name string
	Held bool
	// Seen is what there was instead, when it did not hold.
	Seen string
}

// checks are those of one run, in order.
type checks []Check

// require records whether a check held, and how to describe what was seen when
// it did not.
func (c *checks) require(held bool, name, seen string, args ...any) {
	*c = append(*c, Check{Name: name, Held: held, Seen: fmt.Sprintf(seen, args...)})
}

// failed says whether any check did not hold, or none was made at all.
func (c *checks) failed() bool {
	for _, check := range *c {
		if !check.Held {
			return true
		}
	}
	return len(*c) == 0
}

// table writes one line for each check.
func (c *checks) table(w io.Writer) {
	width := 0
	for _, check := range *c {
		width = max(width, len(check.Name))
	}
	for _, check := range *c {
		verdict := "ok"
		if !check.Held {
			verdict = "FAILED: " + strings.ReplaceAll(check.Seen, "\n", "\n      ")
		}
		_, _ = fmt.Fprintf(w, "  %-*s  %s\n", width, check.Name, verdict)
	}
}

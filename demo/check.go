// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// check.go holds the checks of one run and prints them as a table.

import (
	"fmt"
	"io"
	"strings"
)

// Check is one property of the running system and whether it held.
type Check struct {
	Name string
	Held bool
	// Observed describes the system when the check did not hold.
	Observed string
}

// checks are the checks of one run, in order.
type checks []Check

// add records a check. The format and its arguments describe what was observed
// and are shown when the check did not hold.
func (c *checks) add(held bool, name, observed string, args ...any) {
	*c = append(*c, Check{Name: name, Held: held, Observed: fmt.Sprintf(observed, args...)})
}

// haveFailed reports whether any check did not hold, or none was made at all.
func (c *checks) haveFailed() bool {
	for _, check := range *c {
		if !check.Held {
			return true
		}
	}
	return len(*c) == 0
}

// print writes one line for each check.
func (c *checks) write(w io.Writer) {
	width := 0
	for _, check := range *c {
		width = max(width, len(check.Name))
	}
	for _, check := range *c {
		verdict := "ok"
		if !check.Held {
			verdict = "FAILED: " + strings.ReplaceAll(check.Observed, "\n", "\n      ")
		}
		_, _ = fmt.Fprintf(w, "  %-*s  %s\n", width, check.Name, verdict)
	}
}

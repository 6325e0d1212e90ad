// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// table_test.go: the table of faults, results and figures.

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
)

// table is what TestMain prints after all tests.
var table results

// results has a row for each fault of this run.
type results struct {
	mu   sync.Mutex
	rows []*row
}

// row is one fault, its result and its figures.
type row struct {
	fault, result string
	figures       []string
}

// enter adds a row for a test to the table. Its result is ok without a failure.
func enter(t testing.TB, fault string) *row {
	t.Helper()
	r := &row{fault: fault, result: "?"}
	table.mu.Lock()
	table.rows = append(table.rows, r)
	table.mu.Unlock()
	t.Cleanup(func() {
		table.mu.Lock()
		defer table.mu.Unlock()
		switch {
		case t.Failed():
			r.result = "FAILED"
		case t.Skipped():
			r.result = "SKIPPED"
		default:
			r.result = "ok"
		}
	})
	return r
}

// record adds a figure to the row and to the test's log.
func (r *row) record(t testing.TB, format string, args ...any) {
	t.Helper()
	t.Logf(r.fault+": "+format, args...)
	table.mu.Lock()
	defer table.mu.Unlock()
	r.figures = append(r.figures, fmt.Sprintf(format, args...))
}

func (r *results) print(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rows) == 0 {
		return
	}
	scale := "fast scale"
	if full {
		scale = "whole scale"
	}
	slices.SortStableFunc(r.rows, func(a, b *row) int { return cmp.Compare(a.fault, b.fault) })
	_, _ = fmt.Fprintf(w, "\nfault result  figures (%s)\n", scale)
	for _, row := range r.rows {
		for i, figure := range append(slices.Clone(row.figures), "")[:max(1, len(row.figures))] {
			fault, result := row.fault, row.result
			if i > 0 {
				fault, result = "", ""
			}
			_, _ = fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-5s %-7s %s", fault, result, figure), " "))
		}
	}
}

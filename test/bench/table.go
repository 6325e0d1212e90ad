// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

// table.go: the result of a run, as text and as Markdown. Pure.

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// cell is one measurement of one load.
type cell struct{ cpu, p50, p99 time.Duration }

// row is one proxy.
type row struct {
	name     string
	upstream upstream
	// cells are the measurements of each load, one for each round.
	cells [][]cell
	// idle and peak are its resident memory in MB.
	idle, peak int
}

// Table is the result of a run.
type Table struct {
	loads []load
	rows  []row
}

func newTableOf(b *bench, runners []*runner) *Table {
	t := &Table{loads: b.loads}
	for _, r := range runners {
		t.rows = append(t.rows, row{name: r.name, upstream: r.upstream, cells: make([][]cell, len(b.loads))})
	}
	return t
}

// reference is the proxy to which the ratios are.
const reference = "nginx"

// lines returns the table as cells of text: first those for fresh connections to
// the backend, then those for kept ones.
func (t *Table) lines(u upstream) [][]string {
	head := []string{"proxy"}
	for _, l := range t.loads {
		head = append(head, l.name+" CPU us", "ratio", l.name+" p50/p99 ms")
	}
	lines := [][]string{append(head, "RSS idle/peak MB")}
	for i := range t.rows {
		r := &t.rows[i]
		if r.upstream != u {
			continue
		}
		line := []string{r.name}
		for n := range t.loads {
			line = append(line,
				fmt.Sprintf("%.1f", float64(medianOf(r.cells[n], func(c cell) time.Duration { return c.cpu }).Nanoseconds())/1000),
				t.ratio(r, n),
				fmt.Sprintf("%.2f / %.2f",
					milliseconds(medianOf(r.cells[n], func(c cell) time.Duration { return c.p50 })),
					milliseconds(medianOf(r.cells[n], func(c cell) time.Duration { return c.p99 }))))
		}
		lines = append(lines, append(line, fmt.Sprintf("%d / %d", r.idle, r.peak)))
	}
	if u == kept && len(lines) > 1 {
		none := slices.Repeat([]string{"n/a"}, len(lines[0]))
		none[0] = "callbackproxy"
		lines = append(lines, none)
	}
	return lines
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// ratio returns the median, over the rounds, of a row's CPU time divided by that
// of the reference in the same round.
func (t *Table) ratio(r *row, load int) string {
	for i := range t.rows {
		base := &t.rows[i]
		if base.name != reference || base.upstream != r.upstream {
			continue
		}
		ratios := make([]float64, 0, len(r.cells[load]))
		for round, c := range r.cells[load] {
			ratios = append(ratios, float64(c.cpu)/float64(base.cells[load][round].cpu))
		}
		return fmt.Sprintf("%.2f", medianOf(ratios, func(ratio float64) float64 { return ratio }))
	}
	return "-"
}

// medianOf returns the median of a value of all elements.
func medianOf[E any, V cmp.Ordered](elements []E, value func(E) V) V {
	values := make([]V, 0, len(elements))
	for _, e := range elements {
		values = append(values, value(e))
	}
	slices.Sort(values)
	if len(values) == 0 {
		var none V
		return none
	}
	return values[len(values)/2]
}

// titles are those of the two parts.
var titles = map[upstream]string{
	fresh: "A fresh connection to the backend for each callback",
	kept:  "Connections to the backend are kept",
}

// WriteText writes the table for a terminal.
func (t *Table) WriteText(w io.Writer) error {
	for _, u := range []upstream{fresh, kept} {
		lines := t.lines(u)
		if len(lines) == 1 {
			continue
		}
		columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintf(columns, "\n%s\n", titles[u])
		for _, line := range lines {
			_, _ = fmt.Fprintln(columns, strings.Join(line, "\t"))
		}
		if err := columns.Flush(); err != nil {
			return fmt.Errorf("write the table: %w", err)
		}
	}
	return nil
}

// WriteMarkdown writes the table for a page.
func (t *Table) WriteMarkdown(w io.Writer) error {
	for _, u := range []upstream{fresh, kept} {
		lines := t.lines(u)
		if len(lines) == 1 {
			continue
		}
		var text strings.Builder
		text.WriteString("\n" + titles[u] + ":\n\n")
		for i, line := range lines {
			text.WriteString("| " + strings.Join(line, " | ") + " |\n")
			if i == 0 {
				text.WriteString("|---|" + strings.Repeat("---:|", len(line)-1) + "\n")
			}
		}
		if _, err := io.WriteString(w, text.String()); err != nil {
			return fmt.Errorf("write the table: %w", err)
		}
	}
	return nil
}

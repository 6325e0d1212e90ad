// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"io"
	"os"
	"testing"
	"time"
)

// table is what TestMain prints after the story.
var table results

type results struct {
	rows []*row
	// firstCallback is the time from nothing to a callback.
	firstCallback string
}

// row is one step, what became of it and what was measured.
type row struct {
	id, shows, result string
	took              time.Duration
	figures           []string
}

func TestMain(m *testing.M) {
	code := m.Run()
	table.print(os.Stdout)
	os.Exit(code)
}

func (r *results) print(w io.Writer) {
	if len(r.rows) == 0 {
		return
	}
	_, _ = fmt.Fprintf(w, "\n%-4s %-8s %6s  %s\n", "step", "result", "time", "what it shows, and figures")
	var whole time.Duration
	for _, row := range r.rows {
		whole += row.took
		_, _ = fmt.Fprintf(w, "%-4s %-8s %5.0f s  %s\n", row.id, row.result, row.took.Seconds(), row.shows)
		for _, figure := range row.figures {
			_, _ = fmt.Fprintf(w, "%22s- %s\n", "", figure)
		}
	}
	_, _ = fmt.Fprintf(w, "%-4s %-8s %5.0f s\n", "all", "", whole.Seconds())
	if r.firstCallback != "" {
		_, _ = fmt.Fprintln(w, r.firstCallback)
	}
}

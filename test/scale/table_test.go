// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// figure is one measured value of one run.
type figure struct {
	name  string
	value string
	// limit is the limit in words; empty: there is none.
	limit string
	ok    bool
}

// table shows the figures of several runs side by side.
type table struct {
	sizes   []int
	columns []map[string]figure
	names   []string
	limits  map[string]string
}

func (t *table) add(n int, figures []figure) {
	if t.limits == nil {
		t.limits = map[string]string{}
	}
	column := map[string]figure{}
	for _, f := range figures {
		if _, known := t.limits[f.name]; !known {
			t.names = append(t.names, f.name)
		}
		t.limits[f.name] = f.limit
		column[f.name] = f
	}
	t.sizes, t.columns = append(t.sizes, n), append(t.columns, column)
}

func (t *table) String() string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "routes")
	for _, n := range t.sizes {
		fmt.Fprintf(w, "\t%d", n)
	}
	fmt.Fprintln(w, "\tmust be")
	for _, name := range t.names {
		fmt.Fprint(w, name)
		for _, column := range t.columns {
			fmt.Fprint(w, "\t"+column[name].shown())
		}
		fmt.Fprintln(w, "\t"+t.limits[name])
	}
	_ = w.Flush()
	return out.String()
}

func (f figure) shown() string {
	switch {
	case f.limit == "":
		return f.value
	case f.ok:
		return f.value + " ok"
	}
	return f.value + " FAILED"
}

// missed names the figures that miss their limit.
func (t *table) missed() []string {
	var out []string
	for i, column := range t.columns {
		for _, name := range t.names {
			if f := column[name]; f.limit != "" && !f.ok {
				out = append(out, fmt.Sprintf("%d routes: %s is %s, must be %s", t.sizes[i], name, f.value, f.limit))
			}
		}
	}
	return out
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func millis(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

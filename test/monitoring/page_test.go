// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	. "github.com/onsi/gomega"
)

// metricRow matches a metric's row: name, labels, meaning, and a query.
var (
	metricRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (.*?) ?\\| (.*?) \\| `(.*)` \\|$")
	word      = regexp.MustCompile("`(\\w+)`")
)

type row struct{ meaning, query string }

// readPage returns the metrics of docs/metrics.md with their labels, meanings
// and queries.
func readPage(t *testing.T) (registered, map[string]row) {
	t.Helper()
	content, err := os.ReadFile(filepath.FromSlash(root + "/docs/metrics.md"))
	if err != nil {
		t.Fatalf("read page: %v", err)
	}
	names, texts := registered{}, map[string]row{}
	for _, cells := range metricRow.FindAllStringSubmatch(string(content), -1) {
		name := cells[1]
		if _, twice := names[name]; twice {
			t.Errorf("the page describes %s twice", name)
		}
		names[name] = []string{}
		for _, label := range word.FindAllStringSubmatch(cells[2], -1) {
			names[name] = append(names[name], label[1])
		}
		texts[name] = row{meaning: cells[3], query: cells[4]}
	}
	return names, texts
}

func TestPage_DescribesEachMetricAndNoOther(t *testing.T) {
	g := NewWithT(t)
	page, _ := readPage(t)
	exported := metricsOfBoth(t)
	for name, labels := range exported {
		g.Expect(page).To(HaveKeyWithValue(name, ConsistOf(labels)), "the labels of %s in docs/metrics.md", name)
	}
	for name := range page {
		g.Expect(exported).To(HaveKey(name), "docs/metrics.md describes a metric that is not exported")
	}
}

func TestPage_QueriesUseExportedMetrics(t *testing.T) {
	g := NewWithT(t)
	all := metricsOfBoth(t)
	_, texts := readPage(t)
	for name, text := range texts {
		g.Expect(text.meaning).To(MatchRegexp(`^\S.{10,}\.$`), name)
		g.Expect(text.query).To(ContainSubstring(name), name)
		problems, _ := all.check(text.query)
		g.Expect(problems).To(BeEmpty(), "%s: %s", name, text.query)
	}
}

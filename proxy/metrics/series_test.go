// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"fmt"
	"slices"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// value returns the value of a series.
func (m *Metrics) value(t *testing.T, counter string, labels ...string) float64 {
	t.Helper()
	var read dto.Metric
	if err := m.counters[counter].WithLabelValues(labels...).Write(&read); err != nil {
		t.Fatal(err)
	}
	return read.GetCounter().GetValue()
}

// seriesOf returns how many series some counters have.
func (m *Metrics) seriesOf(t *testing.T, counters ...string) (n int) {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if slices.Contains(counters, family.GetName()) {
			n += len(family.GetMetric())
		}
	}
	return n
}

// F72: the series of routes have a maximum; what would exceed it counts for the route
// "other". A series that ends makes room.
func TestF72_SeriesHaveAMaximum(t *testing.T) {
	m := New()
	m.routes.most = 10
	for i := range 100 {
		m.Count(Requests, fmt.Sprintf("tenant/route-%d", i), fmt.Sprintf("backend-%d", i), "2xx", "delivered")
		m.CountIf(false, Callbacks, fmt.Sprintf("tenant/route-%d", i))
	}
	if n := m.seriesOf(t, Requests, Callbacks); n != 12 {
		t.Errorf("there are %d series", n)
	}
	if got := m.value(t, Requests, "other", "", "2xx", "delivered"); got != 95 {
		t.Errorf("other has %v", got)
	}
	m.Count(Requests, "tenant/route-1", "backend-1", "2xx", "delivered")
	if got := m.value(t, Requests, "tenant/route-1", "backend-1", "2xx", "delivered"); got != 2 {
		t.Errorf("a series that is known has %v", got)
	}
	m.routes.drop(func(s *series) bool { return s.labels[0] == "tenant/route-0" })
	m.Count(Callbacks, "tenant/route-99")
	if got := m.value(t, Callbacks, "tenant/route-99"); got != 1 {
		t.Errorf("a new series has %v", got)
	}
	m.Count(Refused, "noRoute") // has no route, and is not bounded by it
	if got := m.value(t, Refused, "noRoute"); got != 1 {
		t.Errorf("refusals are %v", got)
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

// series.go: the series of routes, of which there is a maximum.

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// maxRouteSeries is how many series all routes of an instance may have. A scrape of
// that many is about 8 MB.
const maxRouteSeries = 50_000

// otherRoute is the route of what would exceed maxRouteSeries. No route has this
// name: a route's has a slash.
const otherRoute = "other"

// maxLabels is how many labels a counter of routes may have.
const maxLabels = 4

// series names one series of a counter of routes. The first label is the route.
type series struct {
	counter string
	labels  [maxLabels]string
}

// routeSeries are the series of all counters with the label route. A series begins
// at its first use.
type routeSeries struct {
	counters map[string]*prometheus.CounterVec
	labels   map[string][]string // of each counter, in their order
	most     int

	mu    sync.RWMutex
	known map[series]prometheus.Counter
}

// get returns the counter of a series, or the one of otherRoute when there are too
// many.
func (r *routeSeries) get(counter string, labels []string) prometheus.Counter {
	s := series{counter: counter}
	copy(s.labels[:], labels)
	r.mu.RLock()
	c, found := r.known[s]
	r.mu.RUnlock()
	if found {
		return c
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, found = r.known[s]; found {
		return c
	}
	if len(r.known) >= r.most {
		return r.counters[counter].WithLabelValues(r.others(counter, labels)...)
	}
	c = r.counters[counter].WithLabelValues(labels...)
	r.known[s] = c
	return c
}

// others are the labels of otherRoute: names that tenants choose are left out.
func (r *routeSeries) others(counter string, labels []string) []string {
	values := make([]string, len(labels))
	for i, name := range r.labels[counter] {
		switch name {
		case "route":
			values[i] = otherRoute
		case "backend":
		default:
			values[i] = labels[i]
		}
	}
	return values
}

// backendOf returns the backend of a series; empty when it has none.
func (r *routeSeries) backendOf(s *series) string {
	if at := slices.Index(r.labels[s.counter], "backend"); at >= 0 {
		return s.labels[at]
	}
	return ""
}

// drop ends the series that match.
func (r *routeSeries) drop(matches func(*series) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.known {
		if matches(&s) {
			r.counters[s.counter].DeleteLabelValues(s.labels[:len(r.labels[s.counter])]...)
			delete(r.known, s)
		}
	}
}

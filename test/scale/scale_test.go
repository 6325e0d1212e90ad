// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// settings come from the environment.
type settings struct {
	// sizes are how many routes there are in each run: SCALE_ROUTES, by
	// default 100,1000,10000.
	sizes []int
	// steady is how long writes are counted while nothing changes:
	// SCALE_STEADY, by default a minute, to which the count is scaled.
	steady time.Duration
	// profiles is a directory for CPU profiles of the manager and of the API
	// server during the creation: SCALE_PROFILES, by default none are taken.
	profiles string
}

func readSettings() (settings, error) {
	s := settings{sizes: []int{100, 1000, 10000}, steady: time.Minute, profiles: os.Getenv("SCALE_PROFILES")}
	if text := os.Getenv("SCALE_ROUTES"); text != "" {
		s.sizes = nil
		for field := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(field))
			if err != nil || n < changes {
				return s, fmt.Errorf("read SCALE_ROUTES: %q is not a number of routes from %d on", field, changes)
			}
			s.sizes = append(s.sizes, n)
		}
	}
	if text := os.Getenv("SCALE_STEADY"); text != "" {
		var err error
		if s.steady, err = time.ParseDuration(text); err != nil || s.steady < time.Second {
			return s, fmt.Errorf("read SCALE_STEADY: %q is not a duration from 1s on", text)
		}
	}
	return s, nil
}

// BenchmarkScale brings up one installation for each size, fills it, changes
// it, leaves it alone and lets all its routes end in the same second. It
// fails when a figure misses its limit.
func BenchmarkScale(b *testing.B) {
	g := NewWithT(b)
	s, err := readSettings()
	g.Expect(err).NotTo(HaveOccurred())
	var all table
	// The figures are printed even when a later phase fails.
	defer func() { fmt.Fprintln(os.Stdout, all.String()) }()
	for _, n := range s.sizes {
		r := newRun(b, s, n)
		r.measure(&all)
	}
	b.ReportMetric(0, "ns/op")
	for _, miss := range all.missed() {
		b.Error(miss)
	}
}

// measure goes through all phases.
func (r *run) measure(all *table) {
	r.b.Helper()
	defer func() { all.add(r.n, r.figures) }()
	defer r.close()
	r.create()
	r.change()
	r.rest()
	r.sunset()
	r.sum()
	r.expectConsistent()
}

// BenchmarkFloor measures what the API server alone takes on this machine: the
// creation of the routes without a manager, and one status for each of them.
func BenchmarkFloor(b *testing.B) {
	g := NewWithT(b)
	s, err := readSettings()
	g.Expect(err).NotTo(HaveOccurred())
	var all table
	for _, n := range s.sizes {
		r := newFloor(b, s, n)
		r.floor()
		r.close()
		all.add(n, r.figures)
	}
	b.ReportMetric(0, "ns/op")
	fmt.Fprintln(os.Stdout, all.String())
}

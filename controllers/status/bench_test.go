// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status_test

import (
	"testing"

	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/test/scenario"
)

// BenchmarkStatuses measures the statuses of a pass in which nothing changed.
func BenchmarkStatuses(b *testing.B) {
	s := scenario.Large(b, "testdata/minimal.in.yaml")
	result := compile.Compile(&s.Snapshot, s.Now)
	fleet := s.ObserveFleet(b, result.Table)
	for i := range result.Verdicts {
		v := &result.Verdicts[i]
		v.Route.Status = status.ComputeRoute(v, s.Observe(v.Route, fleet), s.Now)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		for i := range result.Verdicts {
			v := &result.Verdicts[i]
			computed := status.ComputeRoute(v, s.Observe(v.Route, fleet), s.Now)
			if status.CompareRoute(&v.Route.Status, &computed) != status.Unchanged {
				b.Fatal("the status differs")
			}
		}
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile_test

import (
	"testing"

	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/test/scenario"
)

func BenchmarkCompile(b *testing.B) {
	for name, prepare := range map[string]func(*scenario.Scenario){
		"first": func(*scenario.Scenario) {},
		"again": func(s *scenario.Scenario) { s.Snapshot.Previous = compile.Compile(&s.Snapshot, s.Now).Table },
	} {
		b.Run(name, func(b *testing.B) {
			s := scenario.Large(b, "../status/testdata/minimal.in.yaml")
			prepare(s)
			b.ReportAllocs()
			for b.Loop() {
				if plan := compile.Compile(&s.Snapshot, s.Now); len(plan.Table.Routes) != 10_000 {
					b.Fatalf("%d routes are accepted", len(plan.Table.Routes))
				}
			}
		})
	}
}

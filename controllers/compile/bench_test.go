// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile_test

import (
	"testing"

	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/test/scenario"
)

func BenchmarkCompile(b *testing.B) {
	s := scenario.Large(b, "../status/testdata/minimal.in.yaml")
	b.ReportAllocs()
	for b.Loop() {
		if result := compile.Compile(&s.Snapshot, s.Now); len(result.Table.Routes) != 10_000 {
			b.Fatalf("%d routes are accepted", len(result.Table.Routes))
		}
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package scale measures an installation with up to ten thousand routes: the
// real manager, a real API server and one real proxy process for each of
// twenty fleets, on this machine. It holds benchmarks only, so that a plain
// go test runs none of it; make bench-scale runs it and prints the table.
package scale

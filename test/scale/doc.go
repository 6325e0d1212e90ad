// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package scale measures an installation with up to ten thousand routes: the
// real manager, a real API server and one real proxy process for each of
// twenty fleets, all on this machine, which must be a Linux. Only benchmarks
// start one, so a plain go test does not; make bench-scale prints the table.
package scale

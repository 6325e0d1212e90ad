// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package injection holds the tests of the admission policies in
// config/injection: what a real API server makes of pods that ask for a
// sidecar, and that it is what package workload builds.
package injection

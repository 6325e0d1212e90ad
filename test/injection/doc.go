// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package injection tests the admission policies in config/injection on a real
// API server: the injected sidecar equals that of package workload.
package injection

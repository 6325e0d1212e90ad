// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cluster has no code, only the suite that installs the operator on a
// real cluster by Helm and goes with it from the first day to the last. See
// README.md.
package cluster

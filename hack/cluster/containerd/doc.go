// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package containerd is the go.mod beside it, which pins the container runtime
// of the test node.
package containerd

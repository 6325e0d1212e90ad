// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package dockerlint proves the Dockerfile without a container engine: its
// tests run BuildKit's own linter over it and its go build commands over a
// copy of what it copies. A module of its own, because nothing else here
// needs BuildKit.
package dockerlint

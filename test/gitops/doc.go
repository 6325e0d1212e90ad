// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gitops tests docs/gitops.md with the libraries of the tools: Flux's
// kstatus and API types, and the Lua interpreter of Argo CD. A module of its own,
// so that the operator depends on none of them.
package gitops

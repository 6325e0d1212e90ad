// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package caddy is the go.mod beside it, which pins the program of that name. It
// is built as its users have it, with its own versions of libraries.
package caddy

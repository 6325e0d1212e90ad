// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package promtool is the go.mod beside it, which pins the program of that
// name. In the module of the tests it would be built with this project's
// versions of libraries, and with those it does not compile.
package promtool

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package house holds tests of the tree itself: that its lists name what is
// there, that every file carries its license, and that no page points to
// nothing. They read files and compute nothing else.
package house

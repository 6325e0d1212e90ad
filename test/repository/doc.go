// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package repository tests the files of the repository: license headers, file
// sizes, modules, PROJECT, links and test names in pages, and the words of its
// prose. The tests read files and run no other code.
package repository

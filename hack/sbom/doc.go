// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sbom pins the program that lists what our binaries are made of, and
// tests what it lists.
package sbom

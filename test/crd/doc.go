// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package crd holds the tests of the CRDs as the API server understands them:
// what each rule accepts and refuses, what is stored, what is printed, and
// that nothing is stored which Go cannot read.
package crd

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package consumer is an example of tests for CallbackRoutes outside of this
// project. docs/test-your-routes.md shows these files, and a test compares them.
package consumer

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package consumer is how somebody outside of this project tests their routes:
// docs/test-your-routes.md shows these files, and a test keeps them equal.
package consumer

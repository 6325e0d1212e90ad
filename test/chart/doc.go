// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chart tests the Helm chart: its renderings for many values, their
// acceptance by a real API server, the Pod Security level of its pods, the
// rights in its roles, and installing, upgrading and uninstalling it. It is a
// module of its own, so that Helm is no dependency of the product.
package chart

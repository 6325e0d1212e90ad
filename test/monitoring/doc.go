// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package monitoring tests config/monitoring and docs/metrics.md: that every
// expression names metrics and labels that the manager and the proxy have, that
// each alert fires when it should and not when it should not, and that the page
// says neither more nor less. It has no code of its own; it is a module of its
// own because of Prometheus.
package monitoring

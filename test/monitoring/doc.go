// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package monitoring tests config/monitoring and docs/metrics.md: expressions
// use exported metrics and labels, each alert fires in its case and not in
// others, and the page describes all metrics. It is a module of its own because
// it depends on Prometheus.
package monitoring

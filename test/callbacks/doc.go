// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package callbacks sends callbacks at a constant rate and judges what became
// of them. Input: proxies to send to and backends that record; output: an
// [Outcome]. All of it is I/O. The same load and the same oracle serve tests in
// this process and, as the commands of cmd/callbacks, pods in a cluster.
package callbacks

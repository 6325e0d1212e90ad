// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package edges tests the proxy between parties that this project did not write:
// Chromium and nginx in front of it, and backends that break off behind it. In:
// the programs that are installed on this machine; out: how often each callback
// reached a backend. It has tests only. A test without its program is skipped.
package edges

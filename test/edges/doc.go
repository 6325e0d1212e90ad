// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package edges tests the proxy between parties that this project did not write:
// Chromium, nginx, HAProxy, Apache httpd and Caddy in front of it, and backends that
// break off behind it. In: the programs that are installed on this machine; out: how
// often each callback reached a backend, and what people see when it did not. It has
// tests only. A test without its program is skipped.
package edges

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package edges tests the proxy between parties that this project did not write:
// Chromium, nginx, HAProxy, Apache httpd and Caddy in front of it, backends that
// break off behind it, and five servers behind it to which raw requests are sent. In:
// the programs that are installed on this machine; out: how often each callback
// reached a backend, what people see when it did not, and whether the proxy and each
// server agree where a request ends. It has tests only. A test without its program is
// skipped.
package edges

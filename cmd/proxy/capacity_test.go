// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"
	"math"
	"runtime/debug"
	"testing"

	"github.com/callbackproxy/callback-operator/proxy"
)

// F51: the memory of the runtime is bounded by 0.8 of the limit, unless the
// environment bounds it.
func TestF51_RuntimeIsBoundedByTheLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	const limit = 1 << 30
	for environment, want := range map[string]int64{"": proxy.RuntimeBytes(limit), "2GiB": math.MaxInt64} {
		debug.SetMemoryLimit(math.MaxInt64)
		t.Setenv("GOMEMLIMIT", environment)
		capacity := readCapacity(limit, slog.New(slog.DiscardHandler))
		if got := debug.SetMemoryLimit(-1); got != want {
			t.Errorf("GOMEMLIMIT=%q: the runtime has %d bytes, want %d", environment, got, want)
		}
		if capacity.RequestBytes != limit/4 || capacity.Connections < 8 {
			t.Errorf("capacity is %+v", capacity)
		}
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// capacity.go: the limits of the container or of the machine. I/O.

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/callbackproxy/callback-operator/proxy"
)

// readCapacity returns what this process can hold, and bounds the memory of the Go
// runtime, unless the environment does. declared is a limit on the memory in bytes;
// 0: that of the container, if it has one.
func readCapacity(declared uint64, log *slog.Logger) proxy.Capacity {
	memory := declared
	if memory == 0 {
		memory = containerMemory(log)
	}
	if memory > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(proxy.RuntimeBytes(memory))
	}
	capacity := proxy.CapacityOf(memory, descriptors(log))
	log.Info("limits read", "memoryBytes", memory, "requestBytes", capacity.RequestBytes, "connections", capacity.Connections)
	return capacity
}

// containerMemory returns the limit of the container, version 1 or 2 of cgroups;
// 0: there is none.
func containerMemory(log *slog.Logger) uint64 {
	limit, err := memlimit.FromCgroup()
	switch {
	case err == nil:
		return limit
	case errors.Is(err, memlimit.ErrNoLimit), errors.Is(err, memlimit.ErrNoCgroup), errors.Is(err, memlimit.ErrCgroupsNotSupported):
	default:
		log.Warn("limit of the memory cannot be read: set --memory-limit", "error", err)
	}
	return 0
}

// descriptors returns the limit on descriptors; 0: it is not known.
func descriptors(log *slog.Logger) uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		log.Warn("limit on descriptors cannot be read", "error", err)
		return 0
	}
	return min(limit.Cur, math.MaxInt32)
}

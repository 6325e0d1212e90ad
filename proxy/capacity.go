// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// capacity.go: what an instance can hold at once. Pure.

const (
	// unlimitedBytes stands for the memory of an instance that has no limit.
	unlimitedBytes = 1 << 30
	// connectionBytes is what a connection may take, with its request in flight and
	// the buffers of both.
	connectionBytes = 64 << 10
	// reservedDescriptors are those of listeners, health checks, disk, admin port
	// and API server.
	reservedDescriptors = 64
	// leastConnections are allowed in any case.
	leastConnections = 8
)

// Capacity is what an instance can hold at once.
type Capacity struct {
	// RequestBytes is what heads and bodies of requests may hold together. One
	// route may have half of it.
	RequestBytes int64
	// Connections is how many clients may be connected.
	Connections int
}

// CapacityOf returns the capacity of a memory limit in bytes, and of a limit on
// descriptors; 0: there is none. Heads and bodies may have a quarter of the memory,
// connections the rest. Each connection takes two descriptors, one of them towards a
// backend.
func CapacityOf(memory, descriptors uint64) Capacity {
	if memory == 0 {
		memory = unlimitedBytes
	}
	connections := memory / 4 * 3 / connectionBytes
	if descriptors > 0 {
		connections = min(connections, (descriptors-min(reservedDescriptors, descriptors/4))/2)
	}
	const most = 1 << 30
	return Capacity{RequestBytes: int64(min(memory, 1<<62) / 4), Connections: int(min(max(connections, leastConnections), most))}
}

// RuntimeBytes is what the memory of the Go runtime may grow to under a limit: the
// buffers of sockets are outside of it.
func RuntimeBytes(memory uint64) int64 {
	return int64(min(memory, 1<<62) / 10 * 8) //nolint:gosec // bounded
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package guard

// key.go: what makes two responses the same one.

import (
	"hash/maphash"
)

// Key identifies a response on this instance: two hashes with seeds of their own.
// It holds nothing of the response, and cannot be computed elsewhere.
type Key struct{ a, b uint64 }

var seedA, seedB = maphash.MakeSeed(), maphash.MakeSeed()

// KeyOf returns the key of a response: its route, method, raw path, and the raw
// values of the parameters that decide.
func KeyOf(routeUID, method, path string, values []string) Key {
	return Key{hash(seedA, routeUID, method, path, values), hash(seedB, routeUID, method, path, values)}
}

func hash(seed maphash.Seed, routeUID, method, path string, values []string) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, part := range [...]string{routeUID, method, path} {
		write(&h, part)
	}
	for _, value := range values {
		write(&h, value)
	}
	return h.Sum64()
}

// write adds a part so that no other parts make the same bytes.
func write(h *maphash.Hash, part string) {
	var length [8]byte
	for i := range length {
		length[i] = byte(len(part) >> (8 * i)) //nolint:gosec // the lowest byte is meant
	}
	_, _ = h.Write(length[:])
	_, _ = h.WriteString(part)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package guard

// key.go: what makes two responses the same one.

import (
	"encoding/binary"
	"hash/maphash"
)

// Key identifies a response on this instance: a hash with a seed of its own. It
// holds nothing of the response, and cannot be computed elsewhere. A new response
// has the key of one that is remembered with a probability of 1 in 2^48. One that
// is made to have the key of another takes the bytes of the other to make.
type Key uint64

var seed = maphash.MakeSeed()

// KeyOf returns the key of a response: its route, method, raw path, and the raw
// values of the parameters that decide.
func KeyOf(routeUID, method, path string, values []string) Key {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, part := range [...]string{routeUID, method, path} {
		write(&h, part)
	}
	for _, value := range values {
		write(&h, value)
	}
	return Key(h.Sum64())
}

// write adds a part as its hash: each part has 8 bytes, so other parts make other
// bytes. Package maphash hashes a string at once much faster than in pieces, and
// the values of SAML have 60 KB.
func write(h *maphash.Hash, part string) {
	var sum [8]byte
	binary.LittleEndian.PutUint64(sum[:], maphash.String(seed, part))
	_, _ = h.Write(sum[:])
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/system/interposer"
)

// Half of all writes get a conflict: each change converges within 30 s, with at
// most three times the writes that the same changes need without the fault.
func TestF03_HalfOfTheWritesConflict(t *testing.T) {
	t.Parallel()
	s := start(t, "F03", options{alone: true})
	api := s.managers[0].api
	changes := times(10, 100)
	run := func() (writes int, slowest time.Duration) {
		began := time.Now()
		for n := range changes {
			s.flip(n)
			slowest = max(slowest, s.converges(30*time.Second))
		}
		return api.Count(interposer.And(interposer.Writes, interposer.Since(began))), slowest
	}
	run() // creates the routes that the next runs change
	least, _ := run()

	seed := uint64(time.Now().UnixNano())
	api.Set(interposer.Rule{Match: interposer.And(interposer.Writes, coin(seed)), Refuse: interposer.Conflict})
	writes, slowest := run()
	refused := api.Count(func(c interposer.Call) bool { return c.IsWrite() && !c.Forwarded })
	s.set()
	s.record("%d changes, each converged in %.1f s at most; %d writes, %d without the fault; %d refused (seed %d)",
		changes, slowest.Seconds(), writes, least, refused, seed)
	s.Expect(writes).To(BeNumerically("<=", 3*least))
	s.Expect(refused).To(BeNumerically("~", writes/2, writes/4), "the fault was there")
	s.finish()
}

// coin matches half of the calls, by chance.
func coin(seed uint64) interposer.Match {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0))
	return func(interposer.Call) bool {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(2) == 0
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/system/interposer"
)

// failpoint is where the manager is killed: at its n-th write of a kind, before
// the API server gets it, or after that and before the manager gets the
// response.
type failpoint struct {
	verb, resource, subresource string
	n                           int
	after                       bool
	// prepare makes the write happen.
	prepare func(*system)
}

func (f failpoint) String() string {
	when := "before"
	if f.after {
		when = "after"
	}
	return fmt.Sprintf("%s %s %s/%s #%d", when, f.verb, f.resource, f.subresource, f.n)
}

// shardsInF08 is in how many shards the routes of F08 fit.
const shardsInF08 = 4

// failpoints are before and after each kind of write that the manager makes,
// and between any two shards.
func failpoints() []failpoint {
	const configs = "callbackproxyconfigs"
	var points []failpoint
	add := func(f failpoint) {
		for _, f.after = range []bool{false, true} {
			points = append(points, f)
		}
	}
	for n := 1; n <= shardsInF08; n++ {
		add(failpoint{verb: interposer.Create, resource: configs, n: n})
		add(failpoint{verb: interposer.Delete, resource: configs, n: n})
	}
	add(failpoint{verb: interposer.Update, resource: configs, n: 1})
	add(failpoint{verb: interposer.Create, resource: configs, n: shardsInF08 + 1, prepare: (*system).loseConfig})
	for n := 1; n <= 3; n++ {
		add(failpoint{verb: interposer.Patch, resource: "callbackroutes", subresource: "status", n: n})
	}
	add(failpoint{verb: interposer.Patch, resource: "callbackproxies", subresource: "status", n: 1})
	return points
}

// The manager is killed before and after each of its writes, also between the
// shards of one config: the next process publishes the same bytes as without the
// kill, and no proxy adopts half of a commit.
func TestF08_TheManagerIsKilledAtEachWrite(t *testing.T) {
	t.Parallel()
	s := start(t, "F08", options{alone: true})
	for i := range 150 {
		s.put(route{name: fmt.Sprintf("large-%d", i), active: "blue", large: true})
	}
	s.converges(patience)
	inEachShard := s.oneOfEachShard()
	s.Expect(inEachShard).To(HaveLen(shardsInF08))

	points := failpoints()
	s.Expect(len(points)).To(BeNumerically(">=", 25))
	m := s.managers[0]
	var slowest time.Duration
	for round, point := range points {
		m.Kill()
		for _, name := range inEachShard {
			s.put(route{name: name, active: []string{"green", "blue"}[round%2], large: true})
		}
		if point.prepare != nil {
			point.prepare(s)
		}
		killed := s.arm(point)
		m.start()
		s.Eventually(killed.Load, patience, 10*time.Millisecond).Should(BeTrue(), "%s was not reached: %s", point, m.logTail())
		m.api.Clear()
		m.start()
		slowest = max(slowest, s.converges(patience))
	}
	s.record("%d of %d failpoints converged to the oracle's bytes, within %.1f s at most", len(points), len(points), slowest.Seconds())
	s.finish()
}

// arm kills the manager at a failpoint; the returned value is true afterwards.
func (s *system) arm(point failpoint) *atomic.Bool {
	var once sync.Once
	var seen atomic.Int64
	var killed atomic.Bool
	m := s.managers[0]
	kill := func() { once.Do(func() { m.Kill(); killed.Store(true) }) }
	var chosen sync.Map // by the call's number
	m.api.Set(interposer.Rule{
		Match: func(c interposer.Call) bool {
			return c.Verb == point.verb && c.Resource == point.resource && c.Subresource == point.subresource
		},
		Before: func(c interposer.Call) bool {
			if killed.Load() || seen.Add(1) != int64(point.n) {
				return !killed.Load()
			}
			if point.after {
				chosen.Store(c.N, true)
				return true
			}
			kill()
			return false
		},
		After: func(c interposer.Call) bool {
			if _, is := chosen.Load(c.N); is {
				kill()
			}
			return !killed.Load()
		},
	})
	return &killed
}

// oneOfEachShard returns the name of a large route of each stored shard.
func (s *system) oneOfEachShard() []string {
	s.t.Helper()
	encoded, _, err := s.compile()
	s.Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, shard := range encoded.Shards {
		var content struct {
			Routes []struct{ Name, InfoURL string }
		}
		s.Expect(json.Unmarshal([]byte(shard.Data), &content)).To(Succeed())
		for _, r := range content.Routes {
			if r.InfoURL != "" {
				names = append(names, r.Name)
				break
			}
		}
	}
	return names
}

// loseConfig deletes the index and all shards, as an administrator may.
func (s *system) loseConfig() {
	s.t.Helper()
	var parts callbackv1alpha1.CallbackProxyConfigList
	s.Expect(s.Client.List(s.ctx, &parts)).To(Succeed())
	for i := range parts.Items {
		s.Expect(s.Client.Delete(s.ctx, &parts.Items[i])).To(Succeed())
	}
}

// The manager is killed at random moments while routes change: the published
// config in the end is the declared one, and nothing is left over.
func TestF08_TheManagerIsKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	s := start(t, "F08", options{alone: true})
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	kills := times(12, 100)
	m := s.managers[0]
	for n := range kills {
		s.flip(n)
		s.wait(time.Duration(random.IntN(60)) * time.Millisecond)
		m.Kill()
		m.start()
		m.ready()
	}
	took := s.converges(patience)
	s.record("%d kills at random moments (seed %d): converged %.1f s after the last one", kills, seed, took.Seconds())
	s.finish()
}

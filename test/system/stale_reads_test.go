// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/system/interposer"
)

// Everything that manager and proxies read is half a minute old, also right
// after a restart of the manager: no proxy returns to an older config.
func TestF07_ReadsAreStale(t *testing.T) {
	t.Parallel()
	s := start(t, "F07", options{alone: true})
	lag := lasting(8*time.Second, 30*time.Second)
	history := s.remember()
	s.change(lag)

	// A watch whose history is gone makes every client list again: the past.
	s.set(interposer.Rule{Match: interposer.Watches, Refuse: interposer.Gone})
	s.cutWatches()
	s.wait(time.Second)
	s.set(
		interposer.Rule{Match: func(c interposer.Call) bool {
			return c.Verb == interposer.Watch && strings.Contains(c.URI, "sendInitialEvents")
		}, Refuse: interposer.NoWatchList},
		interposer.Rule{Match: interposer.CallsOf(interposer.List, ""), ListAt: func() string { return history.at(time.Now().Add(-lag)) }},
		interposer.Rule{Match: interposer.Watches, Lag: lag},
	)
	changes := s.change(lag)
	s.managers[0].Kill()
	s.managers[0].start()
	changes += s.change(lag)
	s.set()
	s.cutWatches()
	took := s.converges(time.Minute)

	older := 0
	for i := range s.proxies {
		for _, a := range s.adoptions(i) {
			if a.Reason == routetable.RefusedOlder {
				older++
			}
		}
	}
	s.Expect(older).To(BeNumerically(">", 0), "the fault was there: an older config was offered")
	s.record("%s behind: %d changes, %d older configs offered and refused, converged %.1f s after", lag, changes, older, took.Seconds())
	s.finish()
}

// past has the newest resource version of each moment.
type past struct {
	mu       sync.Mutex
	versions []string
	times    []time.Time
}

// remember polls the newest resource version.
func (s *system) remember() *past {
	s.t.Helper()
	p := &past{}
	look := func() {
		var list callbackv1alpha1.CallbackProxyConfigList
		if s.Client.List(s.ctx, &list) == nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.versions, p.times = append(p.versions, list.ResourceVersion), append(p.times, time.Now())
		}
	}
	look()
	go func() {
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-s.ctx.Done():
				return
			case <-ticker.C:
				look()
			}
		}
	}()
	return p
}

// at returns the version of a time, or the first known one.
func (p *past) at(t time.Time) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	version := p.versions[0]
	for i := range p.versions {
		if p.times[i].After(t) {
			break
		}
		version = p.versions[i]
	}
	return version
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// A sunset comes while a callback is under way: that one finishes. One that
// is sent a millisecond after the sunset gets 410, and reaches nobody.
func TestF45_TheSunsetComesDuringARequest(t *testing.T) {
	s := shared(t, "F45")
	s.moods().slow.Store(int64(2500 * time.Millisecond))
	rounds := times(4, 60)
	first := time.Now().Add(6 * time.Second).Truncate(time.Second)
	for n := range rounds {
		s.declare(claim{
			namespace: "identity", name: fmt.Sprintf("ends-%d", n), host: "auth.acme.test", path: fmt.Sprintf("/ends-%d/slow", n),
			service: "moody-idp", sunset: first.Add(time.Duration(n) * time.Second),
		})
	}
	s.settles(time.Until(first.Add(-2 * time.Second)))

	var group sync.WaitGroup
	var mu sync.Mutex
	inFlight, later := map[int]int{}, map[int]int{}
	var finished time.Duration // after the sunset, the last one
	for n := range rounds {
		sunset, path := first.Add(time.Duration(n)*time.Second), fmt.Sprintf("/ends-%d/slow", n)
		for i := range s.proxies {
			group.Go(func() {
				s.lives(time.Until(sunset.Add(-time.Second)))
				status, _ := s.call(i, "auth.acme.test", path)
				after := time.Since(sunset)
				mu.Lock()
				defer mu.Unlock()
				inFlight[status]++
				finished = max(finished, after)
			})
			group.Go(func() {
				s.lives(time.Until(sunset.Add(time.Millisecond)))
				status, _ := s.call(i, "auth.acme.test", path)
				mu.Lock()
				defer mu.Unlock()
				later[status]++
			})
		}
	}
	group.Wait()
	reached := s.backends["moody"].Count()
	s.record("%d sunsets: callbacks sent 1 s before were answered %v, up to %.1f s after it; those sent 1 ms after %v",
		rounds, inFlight, finished.Seconds(), later)
	all := rounds * len(s.proxies)
	s.Expect(inFlight).To(Equal(map[int]int{http.StatusOK: all}))
	s.Expect(later).To(Equal(map[int]int{http.StatusGone: all}))
	s.Expect(reached).To(Equal(all), "nothing reached the backend but what was sent before")
	s.finish()
}

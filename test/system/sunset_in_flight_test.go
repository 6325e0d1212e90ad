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

// A sunset passes while a callback is in flight: that one finishes. One that is
// sent a millisecond after the sunset gets 410 and reaches no backend.
func TestF45_TheSunsetComesDuringARequest(t *testing.T) {
	s := shared(t, "F45")
	s.moods.slow.Store(int64(2500 * time.Millisecond))
	rounds := times(4, 60)
	first := time.Now().Add(6 * time.Second).Truncate(time.Second)
	for n := range rounds {
		s.declare(claim{
			namespace: "identity", name: fmt.Sprintf("ends-%d", n), host: authHost, path: fmt.Sprintf("/ends-%d/slow", n),
			service: "moody-idp", sunset: first.Add(time.Duration(n) * time.Second),
		})
	}
	s.converges(time.Until(first.Add(-2 * time.Second)))

	var group sync.WaitGroup
	var mu sync.Mutex
	inFlight, later := map[int]int{}, map[int]int{}
	var finished time.Duration // after the sunset, the last one
	for n := range rounds {
		sunset, path := first.Add(time.Duration(n)*time.Second), fmt.Sprintf("/ends-%d/slow", n)
		for i := range s.proxies {
			group.Go(func() {
				s.wait(time.Until(sunset.Add(-time.Second)))
				status, _ := s.call(i, authHost, path)
				after := time.Since(sunset)
				mu.Lock()
				defer mu.Unlock()
				inFlight[status]++
				finished = max(finished, after)
			})
			group.Go(func() {
				s.wait(time.Until(sunset.Add(time.Millisecond)))
				status, _ := s.call(i, authHost, path)
				mu.Lock()
				defer mu.Unlock()
				later[status]++
			})
		}
	}
	group.Wait()
	reached := len(s.Backends["moody"].Received())
	s.record("%d sunsets: callbacks sent 1 s before got %v, up to %.1f s after it; those sent 1 ms after got %v",
		rounds, inFlight, finished.Seconds(), later)
	all := rounds * len(s.proxies)
	s.Expect(inFlight).To(Equal(map[int]int{http.StatusOK: all}))
	s.Expect(later).To(Equal(map[int]int{http.StatusGone: all}))
	s.Expect(reached).To(Equal(all), "only callbacks from before the sunset reached the backend")
	s.finish()
}

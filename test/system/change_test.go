// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"time"
)

// change changes routes for a time, twice a second, and returns how often:
// routes come, flip from blue to green and back, and go.
func (s *system) change(during time.Duration) (changes int) {
	s.t.Helper()
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(during); time.Now().Before(end); changes++ {
		s.flip(changes)
		if changes%7 == 6 {
			s.remove(fmt.Sprintf("changing-%d", changes%5))
		}
		<-ticker.C
	}
	return changes
}

// flip makes the n-th change: no two following ones are the same.
func (s *system) flip(n int) {
	s.t.Helper()
	s.put(route{name: fmt.Sprintf("changing-%d", n%5), active: []string{"blue", "green"}[n/5%2]})
}

// lives waits while a fault lasts.
func (s *system) lives(during time.Duration) {
	s.t.Helper()
	timer := time.NewTimer(during)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	}
}

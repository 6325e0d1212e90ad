// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// change_test.go: a sequence of changes while a fault lasts.

import (
	"fmt"
	"time"
)

// change changes routes twice a second for a time, and returns the number of
// changes: it creates routes, flips them between blue and green, and deletes
// them.
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

// flip makes the n-th change. Consecutive ones differ.
func (s *system) flip(n int) {
	s.t.Helper()
	s.put(route{name: fmt.Sprintf("changing-%d", n%5), active: []string{"blue", "green"}[n/5%2]})
}

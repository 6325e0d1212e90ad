// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// readiness_test.go: a watch of the proxies' readiness during the whole test.

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/callbacks"
)

// sentinel polls the readiness of the proxies.
type sentinel struct {
	stop chan struct{}
	end  func()
	done sync.WaitGroup
	// excused are proxies that the test itself takes down.
	excused [2]atomic.Bool

	mu       sync.Mutex
	polls    int
	failures []string
}

func (s *system) watchReadiness() {
	s.sentinel = &sentinel{stop: make(chan struct{})}
	s.sentinel.end = sync.OnceFunc(func() { close(s.sentinel.stop) })
	s.t.Cleanup(s.sentinel.end)
	for i, p := range s.proxies {
		s.sentinel.done.Go(func() { s.sentinel.watch(i, p.Admin) })
	}
}

func (w *sentinel) watch(i int, admin string) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-ticker.C:
		}
		// Excused before or after the poll: the response may date from between.
		excused := w.excused[i].Load()
		status, body := callbacks.Get(context.Background(), admin, admin, "/readyz")
		excused = excused || w.excused[i].Load()
		w.mu.Lock()
		w.polls++
		if !excused && status != http.StatusOK {
			w.failures = append(w.failures, fmt.Sprintf("proxy %d at %s: status %d, %s", i, time.Now().UTC().Format(time.RFC3339Nano), status, body))
		}
		w.mu.Unlock()
	}
}

// endReadinessWatch fails the test if a proxy was not ready at any time.
func (s *system) endReadinessWatch() {
	s.t.Helper()
	s.sentinel.end()
	s.sentinel.done.Wait()
	s.Expect(s.sentinel.polls).To(BeNumerically(">", 10))
	s.Expect(s.sentinel.failures).To(BeEmpty(), "every proxy is ready all the time")
}

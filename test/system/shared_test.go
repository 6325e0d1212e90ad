// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// common is the installation that the tests share whose fault leaves an
// installation as it was. They run one after another, before the parallel
// ones; nil: there is none yet, or a test failed in the last one.
var common *commonSystem

// commonSystem outlives the test that started it.
type commonSystem struct {
	*system
	host *host
}

// host is the testing.TB of something that lives longer than one test: what
// fails, fails the present test, and what is to be cleaned up stays.
type host struct {
	testing.TB // the present test
	ctx        context.Context
	end        context.CancelFunc
	cleanups   []func()
	mu         sync.Mutex
}

func newHost(t testing.TB) *host {
	t.Helper()
	h := &host{TB: t}
	h.ctx, h.end = context.WithCancel(context.Background())
	return h
}

// Cleanup keeps f until the host ends.
func (h *host) Cleanup(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cleanups = append(h.cleanups, f)
}

// Context ends with the host.
func (h *host) Context() context.Context { return h.ctx }

// TempDir stays until the host ends.
func (h *host) TempDir() string {
	dir, err := os.MkdirTemp("", "callback-faults-shared-")
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (h *host) close() {
	h.end()
	h.mu.Lock()
	cleanups := h.cleanups
	h.cleanups = nil
	h.mu.Unlock()
	for _, f := range slices.Backward(cleanups) {
		f()
	}
}

// shared gives a fault its row in the table, and the installation that such
// tests share: furnished, with nothing declared but /steady and /other, which
// are under load. The test must not be parallel. What it declares is cleared
// away after it; an installation in which a test failed is used no more.
func shared(t *testing.T, fault string) *system {
	t.Helper()
	r := enter(t, fault)
	if common == nil {
		common = newCommon(t)
	}
	s := common.system
	common.host.TB = t
	s.row = r
	for _, backend := range s.backends {
		backend.Forget()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.managers[0].said())
			closeShared()
			return
		}
		s.clear()
	})
	s.loads = nil
	s.beginLoad()
	return s
}

func newCommon(t *testing.T) *commonSystem {
	t.Helper()
	h := newHost(t)
	c := &commonSystem{host: h}
	begun := false
	defer func() { // also when the test ends in here
		if !begun {
			h.close()
		}
	}()
	began := time.Now()
	c.system = install(h, options{alone: true, furnished: true})
	begun = true
	t.Logf("up after %.1f s", time.Since(began).Seconds())
	return c
}

// closeShared ends the shared installation.
func closeShared() {
	if common == nil {
		return
	}
	if common.sentinel != nil {
		common.sentinel.end()
		common.sentinel.done.Wait()
	}
	for _, l := range common.loads {
		l.End()
	}
	common.host.close()
	common = nil
}

// clear deletes all routes but those that start made, and waits until nothing
// is left of them.
func (s *system) clear() {
	s.t.Helper()
	for _, namespace := range tenants {
		// The API server gives one request a minute, and goes on with the next one
		// where it was: tens of thousands take several.
		s.Eventually(func() error {
			return s.client.DeleteAllOf(s.ctx, &callbackv1alpha1.CallbackRoute{}, client.InNamespace(namespace))
		}, 10*time.Minute).Should(Succeed())
	}
	list, err := s.routes()
	s.Expect(err).NotTo(HaveOccurred())
	for i := range list {
		if r := &list[i]; r.Namespace != "identity" || r.Name != "steady" && r.Name != "other" {
			err = errors.Join(err, s.wide().Delete(s.ctx, r))
		}
	}
	s.Expect(err).NotTo(HaveOccurred())
	for _, undo := range slices.Backward(s.furniture.afters) {
		undo()
	}
	s.furniture.afters = nil
	s.settles(time.Minute)
}

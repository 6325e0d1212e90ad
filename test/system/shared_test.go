// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// shared_test.go: the installation that tests use one after another.

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

// common is the installation of the tests whose fault leaves no trace. They run
// one after another, before the parallel ones. It is nil before the first of
// them, and after one that failed.
var common *commonSystem

// commonSystem outlives the test that started it.
type commonSystem struct {
	*system
	host *host
}

// host is the testing.TB of something that outlives one test: a failure fails the
// present test, and clean-ups run when the host ends.
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
	dir, err := os.MkdirTemp("", "callback-system-shared-")
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

// shared adds a fault's row to the table, and returns the shared installation
// with only /steady and /other, which are under load. The test must not be
// parallel. Its routes are deleted after it; an installation in which a test
// failed is not used again.
func shared(t *testing.T, fault string) *system {
	t.Helper()
	r := enter(t, fault)
	if common == nil {
		common = newCommon(t)
	}
	s := common.system
	common.host.TB = t
	s.row = r
	for _, backend := range s.Backends {
		backend.Forget()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.managers[0].logTail())
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
	defer func() { // also when install ends the test
		if !begun {
			h.close()
		}
	}()
	began := time.Now()
	c.system = install(h, options{alone: true})
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
		l.Stop()
	}
	common.host.close()
	common = nil
}

// clear deletes all routes except those of install, and waits until the config
// and the statuses follow.
func (s *system) clear() {
	s.t.Helper()
	for _, namespace := range tenants {
		// One request may take a minute, and the next one continues: tens of thousands
		// of routes need several.
		s.Eventually(func() error {
			return s.Client.DeleteAllOf(s.ctx, &callbackv1alpha1.CallbackRoute{}, client.InNamespace(namespace))
		}, 10*time.Minute).Should(Succeed())
	}
	list, err := s.routes()
	s.Expect(err).NotTo(HaveOccurred())
	for i := range list {
		if r := &list[i]; r.Namespace != "identity" || r.Name != "steady" && r.Name != "other" {
			err = errors.Join(err, s.tolerant.Delete(s.ctx, r))
		}
	}
	s.Expect(err).NotTo(HaveOccurred())
	for _, undo := range slices.Backward(s.afters) {
		undo()
	}
	s.afters = nil
	s.converges(time.Minute)
}

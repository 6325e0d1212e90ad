// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// Thousands of routes are created, changed and deleted, a hundred a second: no
// callback of other routes fails, everything converges within 30 s of the end,
// and manager and proxies stay within their memory limits.
func TestF14_TenThousandRoutesChurn(t *testing.T) {
	s := shared(t, "F14")
	routes := times(600, 10000)
	s.allow(20000)
	s.createMany(routes, churned)
	s.convergesPolled(5*time.Minute, lasting(time.Second, 5*time.Second))

	s.forgetPeaks()
	made := s.churnAll(routes, 100, lasting(15*time.Second, 5*time.Minute))
	took := s.convergesPolled(time.Minute, lasting(200*time.Millisecond, 2*time.Second))
	manager, proxy := s.memory()
	s.record("%d routes, %d changes made at %.0f/s: converged %.1f s after; RSS at most %.0f MiB manager, %.0f MiB proxy",
		routes, made.total, made.rate, took.Seconds(), mib(manager.Peak, 0), mib(proxy.Peak, 0))
	s.Expect(took).To(BeNumerically("<=", 30*time.Second))
	s.Expect(mib(manager.Peak, 0)).To(BeNumerically("<=", 512))
	s.Expect(mib(proxy.Peak, 0)).To(BeNumerically("<=", 128))
	s.finish()
}

// allow sets the quota of every namespace, until the test ends.
func (s *system) allow(routes int32) {
	s.t.Helper()
	var before int32
	s.edit(func(p *callbackv1alpha1.CallbackProxy) {
		before = p.Spec.Policy.MaxRoutesPerNamespace
		p.Spec.Policy.MaxRoutesPerNamespace = routes
	})
	s.after(func() {
		s.edit(func(p *callbackv1alpha1.CallbackProxy) { p.Spec.Policy.MaxRoutesPerNamespace = before })
	})
}

// churned is the i-th of many routes, spread over the tenants.
func churned(i int) *callbackv1alpha1.CallbackRoute {
	return claim{
		namespace: tenants[i%len(tenants)], name: fmt.Sprintf("churned-%05d", i), host: openHost,
		path: fmt.Sprintf("/churned/%05d", i), service: "idp",
	}.object()
}

// churning is the result of churnAll.
type churning struct {
	total int
	rate  float64
}

// churnAll changes routes at random for a time: it creates those that do not
// exist, and changes or deletes the others.
func (s *system) churnAll(routes, rate int, during time.Duration) churning {
	s.t.Helper()
	const workers = 8
	var group sync.WaitGroup
	var made, failed atomic.Int64
	began := time.Now()
	for worker := range workers {
		group.Go(func() {
			// A route belongs to one worker, so the worker's record of it is complete.
			random := rand.New(rand.NewPCG(uint64(worker), 0))
			gone := map[int]bool{}
			ticker := time.NewTicker(time.Second * workers / time.Duration(rate))
			defer ticker.Stop()
			for n := 0; time.Since(began) < during; n++ {
				i := random.IntN(routes/workers)*workers + worker
				object := churned(i)
				var err error
				switch {
				case gone[i]:
					err = s.Client.Create(s.ctx, object)
					gone[i] = false
				case n%3 == 0:
					err = s.Client.Delete(s.ctx, object)
					gone[i] = true
				default:
					err = s.setOwner(object, fmt.Sprintf("team-%d@acme.test", n))
				}
				if err != nil {
					failed.Add(1)
				}
				made.Add(1)
				<-ticker.C
			}
		})
	}
	group.Wait()
	s.Expect(failed.Load()).To(BeZero())
	return churning{total: int(made.Load()), rate: float64(made.Load()) / time.Since(began).Seconds()}
}

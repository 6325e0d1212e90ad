// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// A Service is deleted, another one has no endpoints, and a thousand endpoints
// come and go ten times a second: callbacks without a backend get 503 and never
// 502, all others are served, and everything converges right after.
func TestF24_EndpointsGo(t *testing.T) {
	s := shared(t, "F24")
	const empty, thousand, behind = "empty-idp", "thousand-idp", "behind-idp"
	s.service("identity", empty, corev1.ClusterIPNone)
	s.slice("identity", empty, nil)
	s.service("identity", thousand, corev1.ClusterIPNone)
	var slices []*discoveryv1.EndpointSlice
	for range 1000 / len(closedAddresses) {
		slices = append(slices, s.slice("identity", thousand, closedAddresses), s.slice("tenant-a", "idp", closedAddresses))
	}
	s.declare(claim{namespace: "identity", name: empty, host: authHost, path: "/empty", service: empty})
	s.declare(claim{namespace: "identity", name: thousand, host: authHost, path: "/thousand", service: thousand})
	s.declare(claim{namespace: "tenant-a", name: behind, host: openHost, path: "/behind", service: "idp"})
	s.declare(claim{namespace: "tenant-b", name: "brief", host: openHost, path: "/brief", service: "idp"})
	s.converges(patience)

	poll := s.poll(map[string]string{"/empty": authHost, "/brief": openHost, "/behind": openHost, "/thousand": authHost})
	s.responds(http.StatusServiceUnavailable, authHost, "/empty", patience)
	gone, back := s.serviceGoes()
	began := time.Now()
	flips := 0
	for time.Since(began) < lasting(10*time.Second, 5*time.Minute) {
		slice := slices[rand.IntN(len(slices))]
		s.setReady(slice, flips%3 == 0)
		flips++
		s.wait(100 * time.Millisecond)
	}
	took := s.converges(patience)
	codes := poll.end()
	s.record("Service deleted: 503 after %.2f s, 200 again %.2f s after its return; %d flips of 50 of 1000 endpoints, converged %.1f s after",
		gone.Seconds(), back.Seconds(), flips, took.Seconds())
	s.record("responses meanwhile: without endpoints %v, with a deleted Service %v, with flapping endpoints %v, with flapping addresses without a server %v",
		codes["/empty"], codes["/brief"], codes["/behind"], codes["/thousand"])
	s.Expect(only(codes["/empty"], http.StatusServiceUnavailable)).To(BeTrue())
	s.Expect(only(codes["/brief"], http.StatusOK, http.StatusServiceUnavailable)).To(BeTrue())
	s.Expect(only(codes["/behind"], http.StatusOK)).To(BeTrue())
	s.Expect(only(codes["/thousand"], http.StatusServiceUnavailable)).To(BeTrue())
	s.Expect(s.managers[0].Restarts()).To(BeZero(), s.managers[0].logTail())
	s.Expect(s.managerMetric("controller_runtime_reconcile_panics_total")).To(BeZero())
	s.Expect(s.condition("identity", empty, callbackv1alpha1.ConditionBackendsHealthy).Reason).To(Equal(callbackv1alpha1.ReasonNoReadyEndpoints))
	for _, slice := range slices {
		s.Expect(s.tolerant.Delete(s.ctx, slice)).To(Succeed())
	}
	s.finish()
}

// serviceGoes deletes the Service of tenant-b and creates it again with the same
// address, and returns how long its callback took to follow.
func (s *system) serviceGoes() (gone, back time.Duration) {
	s.t.Helper()
	service := &corev1.Service{}
	s.Expect(s.Client.Get(s.ctx, types.NamespacedName{Namespace: "tenant-b", Name: "idp"}, service)).To(Succeed())
	s.Expect(s.Client.Delete(s.ctx, service)).To(Succeed())
	gone = s.responds(http.StatusServiceUnavailable, openHost, "/brief", patience)
	s.wait(500 * time.Millisecond)
	again := &corev1.Service{ObjectMeta: *service.ObjectMeta.DeepCopy(), Spec: service.Spec}
	again.UID, again.ResourceVersion = "", ""
	s.Expect(s.Client.Create(s.ctx, again)).To(Succeed())
	back = s.responds(http.StatusOK, openHost, "/brief", patience)
	s.Expect(gone).To(BeNumerically("<=", 5*time.Second))
	s.Expect(back).To(BeNumerically("<=", 5*time.Second))
	return gone, back
}

// only reports whether the responses have these statuses, each of them and no
// other.
func only(codes map[int]int, allowed ...int) bool {
	for _, code := range allowed {
		if codes[code] == 0 {
			return false
		}
	}
	return len(codes) == len(allowed)
}

// poll sends some callbacks at a constant rate and counts the responses.
type poll struct {
	stop  context.CancelFunc
	done  sync.WaitGroup
	mu    sync.Mutex
	codes map[string]map[int]int // by path and status
}

// poll sends callbacks to paths of hosts, each twenty times a second, to both
// proxies in turn.
func (s *system) poll(hosts map[string]string) *poll {
	ctx, stop := context.WithCancel(s.ctx)
	s.t.Cleanup(stop)
	a := &poll{stop: stop, codes: map[string]map[int]int{}}
	for path, host := range hosts {
		a.codes[path] = map[int]int{}
		a.done.Go(func() {
			ticker := time.NewTicker(50 * time.Millisecond)
			defer ticker.Stop()
			for n := 0; ; n++ {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
				}
				status, _ := s.call(n%len(s.proxies), host, path)
				a.mu.Lock()
				a.codes[path][status]++
				a.mu.Unlock()
			}
		})
	}
	return a
}

func (a *poll) end() map[string]map[int]int {
	a.stop()
	a.done.Wait()
	return a.codes
}

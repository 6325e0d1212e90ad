// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// One namespace creates far more routes than its quota. The oldest ones stay
// served, the status of each of the others has the reason of its refusal, and
// routes that other namespaces apply meanwhile are served within 5 s.
func TestF16_OneNamespaceFloods(t *testing.T) {
	s := shared(t, "F16")
	quota, flood := times(50, 1000), times(1500, 50000)
	s.allow(int32(quota))
	flooded := make(chan time.Duration)
	go func() {
		began := time.Now()
		err := s.create(flood, func(i int) *callbackv1alpha1.CallbackRoute {
			return claim{
				namespace: "tenant-a", name: fmt.Sprintf("flood-%05d", i), host: openHost,
				path: fmt.Sprintf("/flood/%05d", i), service: "idp",
			}.object()
		})
		if err != nil {
			s.t.Error(err)
		}
		flooded <- time.Since(began)
	}()
	var slowest, took time.Duration
	n := 0
	neighbour := func() {
		path := fmt.Sprintf("/neighbour-%d", n)
		at := time.Now()
		s.declare(claim{namespace: "tenant-b", name: path[1:], host: openHost, path: path, service: "idp"})
		s.responds(http.StatusOK, openHost, path, patience)
		slowest = max(slowest, time.Since(at))
		n++
	}
	for took == 0 {
		neighbour()
		select {
		case took = <-flooded:
		default:
			s.wait(300 * time.Millisecond)
		}
	}
	began := time.Now()
	neighbour()
	s.convergesPolled(lasting(2*time.Minute, 20*time.Minute), time.Second)
	s.record("%d routes in one namespace in %.0f s, quota %d: all statuses right %.1f s after; %d routes of another namespace served in %.2f s at most",
		flood, took.Seconds(), quota, time.Since(began).Seconds(), n, slowest.Seconds())
	s.Expect(slowest).To(BeNumerically("<=", 5*time.Second))

	routes, err := s.routes()
	s.Expect(err).NotTo(HaveOccurred())
	reasons := map[string]int{}
	for i := range routes {
		if routes[i].Namespace == "tenant-a" {
			for _, c := range routes[i].Status.Conditions {
				if c.Type == callbackv1alpha1.ConditionAccepted {
					reasons[c.Reason]++
				}
			}
		}
	}
	s.Expect(reasons).To(Equal(map[string]int{
		callbackv1alpha1.ReasonAccepted: quota, callbackv1alpha1.ReasonQuotaExceeded: flood - quota,
	}))
	s.finish()
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// held_claims_test.go: callbacks that a live route loses by a change get 503, and no other route gets them.

import (
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// A live route on a host that several namespaces share gets a mistyped year, so
// its lifetime exceeds the policy, while a neighbour waits for the same path: the
// neighbour's backend receives no callback and clients get 503, until the year is
// corrected. The same holds when the route is deleted. Its own namespace takes
// over at once, so a rename works in either order (W56).
func TestF70_AMistypedYearLosesNoCallbackToANeighbour(t *testing.T) {
	s := shared(t, "F70")
	const path = "/login"
	live := s.declare(claim{namespace: "tenant-a", name: "live", host: openHost, path: path, service: "idp"})
	s.responds(http.StatusOK, openHost, path, patience)
	s.declare(claim{namespace: "tenant-b", name: "waiting", host: openHost, path: path, service: "idp"})
	s.converges(patience)
	s.Expect(s.condition("tenant-b", "waiting", callbackv1alpha1.ConditionAccepted).Reason).To(Equal(callbackv1alpha1.ReasonConflict))
	neighbour := s.Backends["tenant-b"]
	expectHeld := func(during time.Duration) {
		t.Helper()
		for began := time.Now(); time.Since(began) < during; s.wait(20 * time.Millisecond) {
			s.Expect(neighbour.Received()).To(BeEmpty(), "a callback reached the neighbour's backend")
			for i := range s.proxies {
				s.Expect(s.callStatus(i, openHost, path)).To(Equal(http.StatusServiceUnavailable))
			}
		}
		accepted := s.condition("tenant-b", "waiting", callbackv1alpha1.ConditionAccepted)
		s.Expect(accepted.Status).To(Equal(metav1.ConditionFalse))
		s.Expect(accepted.Message).To(ContainSubstring("tenant-a/live"), "it names the route that holds the claim")
	}

	// A mistyped year.
	right := live.Spec.SunsetTime
	s.Expect(s.patch(live, `{"spec":{"sunsetTime":"2126-12-31T00:00:00Z"}}`)).To(Succeed())
	held := s.responds(http.StatusServiceUnavailable, openHost, path, patience)
	s.converges(patience)
	s.Expect(s.condition("tenant-a", "live", callbackv1alpha1.ConditionAccepted).Reason).To(Equal(callbackv1alpha1.ReasonLifetimeExceedsPolicy))
	expectHeld(lasting(2*time.Second, 30*time.Second))
	s.managers[0].Kill() // the held claims survive a restart of the manager
	s.managers[0].start()
	s.managers[0].ready()
	s.converges(patience)
	expectHeld(lasting(time.Second, 10*time.Second))
	s.Expect(s.patch(live, `{"spec":{"sunsetTime":"`+right.UTC().Format(time.RFC3339)+`"}}`)).To(Succeed())
	corrected := s.responds(http.StatusOK, openHost, path, patience)

	// A rename: the new name first, then the old name first.
	s.declare(claim{namespace: "tenant-a", name: "renamed", host: openHost, path: path, service: "idp"})
	s.converges(patience)
	s.Expect(s.Client.Delete(s.ctx, live)).To(Succeed())
	renamed := s.responds(http.StatusOK, openHost, path, patience)
	s.converges(patience)
	s.Expect(s.condition("tenant-a", "renamed", callbackv1alpha1.ConditionAccepted).Status).To(Equal(metav1.ConditionTrue))
	s.Expect(s.Client.Delete(s.ctx, claim{namespace: "tenant-a", name: "renamed"}.object())).To(Succeed())
	s.responds(http.StatusServiceUnavailable, openHost, path, patience)
	live = s.declare(claim{namespace: "tenant-a", name: "live", host: openHost, path: path, service: "idp"})
	s.responds(http.StatusOK, openHost, path, patience)
	s.converges(patience)
	s.Expect(neighbour.Received()).To(BeEmpty(), "a callback reached the neighbour's backend during the renames")

	// A deletion, with the neighbour waiting.
	s.Expect(client.IgnoreNotFound(s.Client.Delete(s.ctx, live))).To(Succeed())
	s.responds(http.StatusServiceUnavailable, openHost, path, patience)
	s.converges(patience)
	expectHeld(lasting(2*time.Second, 30*time.Second))
	s.record("mistyped year: 503 after %.2f s, served %.2f s after the correction; renamed in both orders, served again after %.2f s; deleted: held; the neighbour's backend received %d callbacks",
		held.Seconds(), corrected.Seconds(), renamed.Seconds(), len(neighbour.Received()))
	s.finish()
}

// callStatus is the status of one callback.
func (s *system) callStatus(proxy int, host, path string) int {
	status, _ := s.call(proxy, host, path)
	return status
}

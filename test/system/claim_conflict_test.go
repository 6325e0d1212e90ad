// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"cmp"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// Two namespaces claim the same callback in the same second, in both orders: the
// same one wins each time, the condition of the other names the winner, and the
// bytes of the config do not depend on the order of any list.
func TestF22_TwoClaimTheSameCallback(t *testing.T) {
	s := shared(t, "F22")
	winner := claim{namespace: "tenant-a", name: "same", host: openHost, path: "/same", service: "idp"}
	loser := claim{namespace: "tenant-b", name: "same", host: openHost, path: "/same", service: "idp"}
	rounds := times(4, 40)
	for round := range rounds {
		first, second := winner, loser
		if round%2 == 1 {
			first, second = second, first
		}
		s.inOneSecond(first, second)
		s.converges(patience)
		s.Expect(s.condition("tenant-a", "same", callbackv1alpha1.ConditionAccepted).Reason).To(Equal(callbackv1alpha1.ReasonAccepted))
		lost := s.condition("tenant-b", "same", callbackv1alpha1.ConditionAccepted)
		s.Expect(lost.Reason).To(Equal(callbackv1alpha1.ReasonConflict))
		s.Expect(lost.Message).To(ContainSubstring("tenant-a/same"))
		for i := range s.proxies {
			status, body := s.call(i, openHost, "/same")
			s.Expect(status).To(Equal(http.StatusOK))
			s.Expect(body).To(Equal("tenant-a"))
		}
	}

	// A new manager lists everything in an order of its own.
	hash := s.published().Hash
	starts := times(2, 10)
	for range starts {
		s.managers[0].Kill()
		s.managers[0].start()
		s.managers[0].ready()
		s.Eventually(func() (float64, error) { return s.managers[0].metric("controller_runtime_reconcile_total") }, patience).
			Should(BeNumerically(">", 0), "it reconciled")
		s.converges(patience)
		s.Expect(s.published().Hash).To(Equal(hash))
	}
	const orders = 1000
	seed := uint64(time.Now().UnixNano())
	s.sameInAnyOrder(orders, seed)
	s.record("%d pairs created in both orders, %d starts of the manager: the same winner and the same bytes; %d orders of the API server's objects compiled to the same bytes (seed %d)",
		rounds, starts, orders, seed)
	s.finish()
}

// inOneSecond creates two routes anew, in this order, until both have the same
// creation time.
func (s *system) inOneSecond(first, second claim) {
	s.t.Helper()
	s.Eventually(func() bool {
		_ = s.Client.Delete(s.ctx, first.object())
		_ = s.Client.Delete(s.ctx, second.object())
		now := time.Now()
		s.wait(now.Truncate(time.Second).Add(1050 * time.Millisecond).Sub(now))
		return s.declare(first).CreationTimestamp.Equal(new(s.declare(second).CreationTimestamp))
	}, patience, time.Millisecond).Should(BeTrue())
}

// sameInAnyOrder compiles the objects of the API server in many orders.
func (s *system) sameInAnyOrder(orders int, seed uint64) {
	s.t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	snapshot, err := s.snapshot(fleet)
	s.Expect(err).NotTo(HaveOccurred())
	now := time.Now()
	wanted := ""
	for range orders {
		random.Shuffle(len(snapshot.Routes), func(i, j int) {
			snapshot.Routes[i], snapshot.Routes[j] = snapshot.Routes[j], snapshot.Routes[i]
		})
		encoded, err := routetable.Encode(compile.Compile(snapshot, now).Table, routetable.DefaultShardBytes)
		s.Expect(err).NotTo(HaveOccurred())
		wanted = cmp.Or(wanted, encoded.Index.Hash)
		s.Expect(encoded.Index.Hash).To(Equal(wanted))
	}
}

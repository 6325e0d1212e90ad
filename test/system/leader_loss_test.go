// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

// The lease is deleted, the leader is killed, the leader is terminated: another
// one leads within 20 s, and within 3 s of an exit in order.
func TestF10_TheLeaderIsLost(t *testing.T) {
	t.Parallel()
	s := start(t, "F10", options{managers: 2})
	clients, err := kubernetes.NewForConfig(s.ControlPlane.Config)
	s.Expect(err).NotTo(HaveOccurred())
	leases := clients.CoordinationV1().Leases("callback-system")

	n := 0
	for _, loss := range []struct {
		name  string
		limit time.Duration
		lose  func(*manager)
	}{
		{"lease deleted", 20 * time.Second, func(*manager) {
			s.Expect(leases.DeleteCollection(s.ctx, metav1.DeleteOptions{}, metav1.ListOptions{})).To(Succeed())
		}},
		{"leader killed", 20 * time.Second, func(m *manager) { m.Kill() }},
		{"leader terminated", 3 * time.Second, func(m *manager) { go m.stop() }},
	} {
		var leads, serves time.Duration
		for range times(1, 5) {
			old := s.leader()
			began := time.Now()
			loss.lose(old)
			s.flip(n)
			n++
			s.Eventually(func() bool { return s.led(leases, began) }, patience, 20*time.Millisecond).Should(BeTrue(), loss.name)
			leads = max(leads, time.Since(began))
			s.converges(patience)
			serves = max(serves, time.Since(began))
			if old.IsDown() {
				old.start()
				old.ready()
			}
		}
		s.record("%s: a leader after %.1f s, converged after %.1f s", loss.name, leads.Seconds(), serves.Seconds())
		s.Expect(leads).To(BeNumerically("<=", loss.limit), loss.name)
	}
	s.finish()
}

// led reports whether a replica leads whose lease is younger than a moment.
func (s *system) led(leases coordination.LeaseInterface, since time.Time) bool {
	s.t.Helper()
	lease, err := leases.Get(s.ctx, "callback-operator.callbackproxy.io", metav1.GetOptions{})
	if err != nil || lease.Spec.RenewTime == nil || lease.Spec.RenewTime.Time.Before(since) || *lease.Spec.HolderIdentity == "" {
		return false
	}
	return slices.ContainsFunc(s.managers, (*manager).leads)
}

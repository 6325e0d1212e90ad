// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/system/interposer"
)

// The leader is stopped for 20 s while its write of an index is on the way;
// another one takes over and publishes. Then the write arrives, and the old
// leader continues: the proxies adopt nothing of it.
func TestF09_TwoLeaders(t *testing.T) {
	t.Parallel()
	s := start(t, "F09", options{managers: 2})
	commits := interposer.CallsOf(interposer.Update, "callbackproxyconfigs")
	for round := range times(1, 5) {
		old := s.leader()
		before := old.Restarts()
		first := s.published()
		held := time.Now()
		old.api.Set(interposer.Rule{Match: commits, Delay: time.Hour})
		s.flip(2 * round)
		s.Eventually(func() int { return old.api.Count(interposer.And(commits, interposer.Since(held))) }, patience).
			Should(BeNumerically(">", 0))
		old.signal(syscall.SIGSTOP)
		stopped := time.Now()

		took := s.converges(patience)
		second := s.published()
		s.Expect(second.Epoch).To(BeNumerically(">", first.Epoch))
		s.wait(time.Until(stopped.Add(20 * time.Second)))
		s.flip(2*round + 1)
		old.api.Clear()
		// The write continues before its sender can cancel it.
		s.Eventually(func() int {
			return old.api.Calls(interposer.And(commits, interposer.Since(held)))[0].Code
		}, patience).Should(Equal(http.StatusConflict), "the old leader's write is refused")
		old.signal(syscall.SIGCONT)
		s.converges(patience)
		s.record("leader stopped for 20 s: another one published after %.1f s, epoch %d to %d; the earlier write got a 409",
			took.Seconds(), first.Epoch, second.Epoch)
		s.Eventually(func() bool { return s.leader() != old }, patience).Should(BeTrue())
		s.Eventually(old.Restarts, patience).Should(Equal(before+1), "it stepped down, and comes back as a follower")
		s.converges(patience)
	}
	s.finish()
}

// leader returns the one replica whose metric reports that it leads.
func (s *system) leader() *manager {
	s.t.Helper()
	var leader *manager
	s.Eventually(func() int {
		leaders := 0
		for _, m := range s.managers {
			if m.leads() {
				leader = m
				leaders++
			}
		}
		return leaders
	}, patience, 20*time.Millisecond).Should(Equal(1))
	return leader
}

func (m *manager) leads() bool {
	leads, err := m.metric("leader_election_master_status")
	return err == nil && leads == 1
}

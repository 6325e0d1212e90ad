// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// One route among a thousand cannot be decoded, also when the manager lists
// them all at its start: the others converge within 5 s, and the one is named
// in a metric and in its condition.
func TestF12_OneRouteCannotBeDecoded(t *testing.T) {
	s := shared(t, "F12")
	others := times(150, 999)
	s.allow(20000)
	s.createMany(others, func(i int) *callbackv1alpha1.CallbackRoute {
		return route{name: fmt.Sprintf("many-%04d", i), active: []string{"blue", "green"}[i%2]}.object()
	})
	s.settles(time.Minute)
	crd := s.schema()
	crd.relax()
	broken := s.altered("broken", map[string]any{"sunsetTime": "2027-01-31t00:00:00z"})
	s.Expect(s.wide().Create(s.ctx, s.raw("identity", "broken", broken))).To(Succeed())
	crd.restore()
	alive := s.converging(5 * time.Second)

	m := s.managers[0]
	m.kill()
	s.put(route{name: "many-0000", active: "green"}, route{name: "many-0001", active: "blue"})
	began := time.Now()
	m.start()
	m.ready()
	started := time.Since(began)
	began = time.Now()
	s.settles(patience)
	restarted := time.Since(began)

	accepted := s.condition("identity", "broken", callbackv1alpha1.ConditionAccepted)
	s.Expect(accepted.Reason).To(Equal(callbackv1alpha1.ReasonUndecodable))
	s.Expect(accepted.Message).To(ContainSubstring("2027-01-31t00:00:00z"))
	page, err := scrape("http://" + m.host + ":8080/metrics")
	s.Expect(err).NotTo(HaveOccurred())
	named := page["callback_operator_undecodable_route"].GetMetric()
	s.Expect(named).To(HaveLen(1))
	s.Expect(named[0].String()).To(ContainSubstring("broken"))
	s.record("1 of %d unreadable: another served after %.1f s; all others converged %.1f s after a manager that starts was ready (after %.1f s); named in metric and condition",
		others+1, alive.Seconds(), restarted.Seconds(), started.Seconds())
	s.Expect(restarted).To(BeNumerically("<=", 5*time.Second))
	s.finish()
}

// createMany creates n routes, several at a time.
func (s *system) createMany(n int, object func(i int) *callbackv1alpha1.CallbackRoute) {
	s.t.Helper()
	s.Expect(s.create(n, object)).To(Succeed())
}

// create is createMany for other goroutines.
func (s *system) create(n int, object func(i int) *callbackv1alpha1.CallbackRoute) error {
	var group errgroup.Group
	group.SetLimit(8)
	for i := range n {
		group.Go(func() error { return s.client.Create(s.ctx, object(i)) })
	}
	return group.Wait()
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/installation"
	"github.com/callbackproxy/callback-operator/test/system/interposer"
)

// Two routes among a thousand do not decode, also when the manager lists all of
// them at its start: the others converge within 5 s. The condition of one
// reports it. The API server refuses the status of the other as it would the
// route itself: an event reports it, and the write is not repeated without end.
// A metric names both.
func TestF12_OneRouteDoesNotDecode(t *testing.T) {
	s := shared(t, "F12")
	others := times(150, 998)
	s.allow(20000)
	s.createMany(others, func(i int) *callbackv1alpha1.CallbackRoute {
		return route{name: fmt.Sprintf("many-%04d", i), active: []string{"blue", "green"}[i%2]}.object()
	})
	s.converges(time.Minute)
	const unreadable = "2027-01-31t00:00:00z"
	store := func(name string) {
		spec := s.altered(name, map[string]any{"sunsetTime": unreadable})
		s.Expect(s.tolerant.Create(s.ctx, s.raw("identity", name, spec))).To(Succeed())
	}
	crd := s.schema()
	crd.relax()
	store("broken")
	s.converges(patience)
	crd.restore()
	alive := s.converging(5 * time.Second)

	m := s.managers[0]
	m.Kill()
	killed := time.Now()
	crd.relax()
	store("older")
	crd.restore()
	s.mute = types.NamespacedName{Namespace: "identity", Name: "older"}
	s.after(func() { s.mute = types.NamespacedName{} })
	s.put(route{name: "many-0000", active: "green"}, route{name: "many-0001", active: "blue"})
	began := time.Now()
	m.start()
	m.ready()
	started := time.Since(began)
	began = time.Now()
	s.converges(patience)
	restarted := time.Since(began)

	accepted := s.condition("identity", "broken", callbackv1alpha1.ConditionAccepted)
	s.Expect(accepted.Reason).To(Equal(callbackv1alpha1.ReasonUndecodable))
	s.Expect(accepted.Message).To(ContainSubstring(unreadable))
	s.Eventually(s.warnings, patience).WithArguments("older").Should(HaveLen(1))
	s.Expect(s.warnings("older")[0].Reason).To(Equal(callbackv1alpha1.ReasonUndecodable))
	s.Expect(s.warnings("older")[0].Note).To(ContainSubstring(unreadable))
	metrics, err := installation.Scrape(s.ctx, m.MetricsURL())
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(metrics["callback_operator_undecodable_route"].GetMetric()).To(ConsistOf(
		WithTransform((*dto.Metric).String, ContainSubstring(`"broken"`)), WithTransform((*dto.Metric).String, ContainSubstring(`"older"`))))
	again := s.converging(5 * time.Second) // causes two more passes
	tried := m.api.Count(interposer.And(interposer.Since(killed), func(c interposer.Call) bool {
		return c.Subresource == "status" && c.Name == "older"
	}))
	s.record("2 of %d do not decode: another one served after %.1f s; all others converged %.1f s after a new manager was ready (after %.1f s), one more after %.1f s; "+
		"one has a condition, the other, whose status cannot be stored (%d attempts), an event, and the metric names both",
		others+2, alive.Seconds(), restarted.Seconds(), started.Seconds(), again.Seconds(), tried)
	s.Expect(restarted).To(BeNumerically("<=", 5*time.Second))
	s.Expect(tried).To(Equal(1))
	s.finish()
}

// warnings are the events of type Warning about a route.
func (s *system) warnings(name string) []eventsv1.Event {
	s.t.Helper()
	var list eventsv1.EventList
	s.Expect(s.Client.List(s.ctx, &list, client.InNamespace("identity"))).To(Succeed())
	return slices.DeleteFunc(list.Items, func(e eventsv1.Event) bool {
		return e.Regarding.Kind != "CallbackRoute" || e.Regarding.Name != name || e.Type != corev1.EventTypeWarning
	})
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
		group.Go(func() error { return s.Client.Create(s.ctx, object(i)) })
	}
	return group.Wait()
}

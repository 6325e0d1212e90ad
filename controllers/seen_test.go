// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// endpoints stores the EndpointSlice of a Service; without addresses it is
// the empty one that a Service without ready pods has.
func (w *world) endpoints(service string, ready bool) {
	w.t.Helper()
	name, port, protocol := "http", int32(8080), discoveryv1.AddressTypeIPv4
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.identity, Name: service + "-1",
			Labels: map[string]string{discoveryv1.LabelServiceName: service},
		},
		AddressType: protocol,
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.1.2.3"}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
	}
	stored := slice.DeepCopy()
	if w.client.Create(w.ctx, slice) != nil {
		w.Expect(w.client.Update(w.ctx, stored)).To(Succeed())
	}
}

// F24: what EndpointSlices say is known at once, before any instance noticed.
func TestF24_ABackendWithoutReadyEndpointsIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.endpoints("legacy-idp", true)
	w.settle()
	w.Expect(w.condition("acme", "BackendsHealthy").Reason).To(Equal("NotMeasured"))
	w.Expect(w.condition("acme", "Ready").Status).To(BeEquivalentTo("True"))
	w.events.take()

	w.endpoints("legacy-idp", false)
	w.reconcile()
	c := w.condition("acme", "BackendsHealthy")
	w.Expect(c.Status).To(BeEquivalentTo("False"))
	w.Expect(c.Message).To(Equal("backend blue has no ready endpoints"))
	w.Expect(w.condition("acme", "Ready").Reason).To(Equal("NoReadyEndpoints"), "there is no failover")
	w.Expect(w.events.take()).To(ConsistOf(
		"Warning NoReadyEndpoints BackendsHealthy CallbackRoute/acme: backend blue has no ready endpoints"))

	w.clock.SetTime(w.clock.Now().Add(30 * time.Second))
	w.endpoints("legacy-idp", true)
	w.reconcile()
	w.Expect(w.condition("acme", "Ready").Status).To(BeEquivalentTo("True"))
}

// F17: a backend that comes and goes each second costs one status in 30 s, and
// the first word of it is written at once.
func TestF17_FlappingIsWrittenSeldom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.endpoints("legacy-idp", true)
	w.settle()
	w.writes.take()
	const minutes = 2
	writes := 0
	for second := range minutes * 60 {
		w.clock.SetTime(w.clock.Now().Add(time.Second))
		w.endpoints("legacy-idp", second%2 == 1)
		w.writes.take()
		w.reconcile()
		made := len(w.writes.take())
		if second == 0 {
			w.Expect(made).To(Equal(1), "at once")
		}
		writes += made
	}
	w.Expect(writes).To(And(BeNumerically(">=", 2), BeNumerically("<=", minutes*2+1)))

	w.endpoints("legacy-idp", w.condition("acme", "BackendsHealthy").Status == metav1.ConditionFalse)
	held := w.reconcile().RequeueAfter
	w.Expect(held).To(And(BeNumerically(">", 0), BeNumerically("<=", 30*time.Second)), "what is held back is not forgotten")
	before := w.condition("acme", "BackendsHealthy").Status
	w.clock.SetTime(w.clock.Now().Add(held))
	w.reconcile()
	w.Expect(w.condition("acme", "BackendsHealthy").Status).NotTo(Equal(before))
}

func (w *world) addressOf(service string) string {
	w.t.Helper()
	for _, b := range w.table().Routes[0].Backends {
		if b.Name == service {
			return b.Addresses[0]
		}
	}
	w.t.Fatalf("backend %s is not in the table", service)
	return ""
}

func TestReconcile_WhatInstancesSeeOfBackends(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	check := &callbackv1alpha1.HealthCheck{Path: "/healthz"}
	w.migration(w.newRoute("acme", func(s *callbackv1alpha1.CallbackRouteSpec) {
		s.Backends[0].HealthCheck = check
		s.Backends[0].Failover = &callbackv1alpha1.Failover{Backend: "green", LoginState: callbackv1alpha1.LoginStateShared}
	}))
	w.settle()
	backend := w.table().Routes[0].Backends[0]
	w.Expect(backend.Check).To(Equal(&routetable.HealthCheck{
		Path: "/healthz", Host: "legacy-idp." + w.identity + ".svc:8080",
		IntervalSeconds: 5, TimeoutSeconds: 2, UnhealthyThreshold: 3, HealthyThreshold: 2,
	}))
	blue := routetable.TargetID(backend.Addresses[0], backend.Check)
	green := routetable.TargetID(w.addressOf("green"), nil)

	w.fleet.targets = []routetable.TargetReport{{ID: blue, State: routetable.TargetHealthy}}
	w.reconcile()
	c := w.condition("acme", "BackendsHealthy")
	w.Expect(c.Status).To(BeEquivalentTo("True"))
	w.Expect(c.Message).To(Equal("every measured backend is healthy; not measured: green"))

	w.clock.SetTime(w.clock.Now().Add(30 * time.Second))
	w.fleet.targets = []routetable.TargetReport{{ID: blue, State: routetable.TargetUnhealthy, Reason: routetable.TargetBadStatus}}
	w.reconcile()
	c = w.condition("acme", "BackendsHealthy")
	w.Expect(c.Message).To(HavePrefix("backend blue is unhealthy (BadStatus)"))
	w.Expect(w.condition("acme", "Ready").Status).To(BeEquivalentTo("True"), "green is its failover")

	w.clock.SetTime(w.clock.Now().Add(30 * time.Second))
	w.fleet.targets = append(w.fleet.targets, routetable.TargetReport{ID: green, State: routetable.TargetUnhealthy, Reason: routetable.TargetUnreachable})
	w.reconcile()
	w.Expect(w.condition("acme", "Ready").Reason).To(Equal("BackendUnhealthy"))
	w.Expect(w.route("acme").Status.Backends).To(HaveLen(2))
}

// A second leadership, and a third, count on where the first one stopped.
func TestReconcile_CountsOverLeaderships(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.settle()
	uid := string(w.route("acme").UID)
	last := w.clock.Now().Add(-time.Minute).UTC().Truncate(time.Second)
	counted := func(n int64) []routetable.RouteUse {
		return []routetable.RouteUse{{UID: uid, Callbacks: n, Last: last, Backends: []routetable.BackendUse{{Name: "blue", Callbacks: n - 1, Last: last}}}}
	}
	expectCount := func(n int64) {
		t.Helper()
		status := w.route("acme").Status
		w.Expect(*status.Traffic.Callbacks).To(Equal(n))
		w.Expect(*status.Backends[0].Callbacks).To(Equal(n - 1))
		w.Expect(status.Traffic.LastCallbackTime.Time).To(BeTemporally("==", last))
	}
	w.fleet.uses = counted(10)
	w.reconcile()
	expectCount(10)

	w.fleet.uses = counted(15)
	w.reconcile()
	expectCount(10) // too early to be written again
	w.clock.SetTime(w.clock.Now().Add(30 * time.Second))
	w.reconcile()
	expectCount(15)

	for range 3 {
		before := w.fleet.uses
		w.newLeader()
		w.fleet.uses = before
		w.clock.SetTime(w.clock.Now().Add(30 * time.Second))
		w.settle()
		expectCount(15)
	}
	// The instance restarted while no manager led: the status holds its earlier
	// counts, and its present ones begin at 0.
	w.newLeader()
	w.fleet.uses = counted(2)
	w.clock.SetTime(w.clock.Now().Add(30 * time.Second))
	w.settle()
	w.Expect(*w.route("acme").Status.Traffic.Callbacks).To(BeEquivalentTo(15), "it never falls, and counts no callback twice")
	w.fleet.uses = counted(5)
	w.clock.SetTime(w.clock.Now().Add(30 * time.Second))
	w.reconcile()
	expectCount(18)
}

// An hour without a callback distinguishes a dead route from a busy one.
func TestReconcile_ReportsSinceWhenARouteIsQuiet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.settle()
	w.Expect(w.route("acme").Status.Traffic.QuietSince).To(BeNil())
	created := w.route("acme").CreationTimestamp.Time
	result := w.reconcile()
	w.Expect(w.clock.Now().Add(result.RequeueAfter)).To(BeTemporally("~", created.Add(time.Hour), time.Second), "the pass asks for one then")

	w.clock.SetTime(created.Add(time.Hour))
	w.reconcile()
	w.Expect(w.route("acme").Status.Traffic.QuietSince.Time).To(BeTemporally("==", created))

	last := w.clock.Now().Add(time.Minute)
	w.clock.SetTime(last.Add(30 * time.Second))
	w.fleet.uses = []routetable.RouteUse{{UID: string(w.route("acme").UID), Callbacks: 1, Last: last}}
	w.reconcile()
	w.Expect(w.route("acme").Status.Traffic.QuietSince).To(BeNil())
	w.clock.SetTime(last.Add(time.Hour))
	w.reconcile()
	w.Expect(w.route("acme").Status.Traffic.QuietSince.Time).To(BeTemporally("~", last, time.Second))
}

// An instance whose clock is wrong says so, and it is seen.
func TestT15_ASuspectClockIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.fleet.suspect = true
	w.settle()
	c := find(w.liveProxy().Status.Conditions, "ClockSuspect")
	w.Expect(c).NotTo(BeNil())
	w.Expect(c.Message).To(ContainSubstring("on: edge-1;"))
	w.fleet.suspect = false
	w.settle()
	w.Expect(find(w.liveProxy().Status.Conditions, "ClockSuspect")).To(BeNil())
}

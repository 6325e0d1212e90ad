// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status_test

import (
	"testing"
	"time"

	kstatus "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/test/scenario"
)

// observer makes passes over one route and stores its status.
type observer struct {
	testing.TB
	*scenario.Scenario
	route *callbackv1alpha1.CallbackRoute
}

func newObserver(t testing.TB) *observer {
	t.Helper()
	s := scenario.Load(t, "testdata/minimal.in.yaml")
	return &observer{TB: t, Scenario: s, route: s.Snapshot.Routes[0].Object}
}

// edit changes the spec as the API server does.
func (o *observer) edit(change func(*callbackv1alpha1.CallbackRouteSpec)) {
	change(&o.route.Spec)
	o.route.Generation++
}

// pass computes and stores the status after some time. It returns the time of the
// next change that the status itself causes.
func (o *observer) pass(after time.Duration) time.Time {
	o.Helper()
	o.Now = o.Now.Add(after)
	plan := compile.Compile(&o.Snapshot, o.Now)
	v := &plan.Verdicts[0]
	fleet := o.ObserveFleet(o, plan.Table)
	o.route.Status = routeStatus(o, o.Scenario, v, fleet)
	if plan.Table != nil {
		o.Snapshot.Previous = plan.Table
	}
	return status.NextRoute(v, o.Observe(o.route, fleet), &o.route.Status, o.Now)
}

// wants checks what kstatus (Flux, Helm 4) computes, and the reason of Ready.
func (o *observer) wants(step string, want kstatus.Status, reason string) {
	o.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o.route)
	if err != nil {
		o.Fatal(err)
	}
	result, err := kstatus.Compute(&unstructured.Unstructured{Object: content})
	if err != nil {
		o.Fatal(err)
	}
	ready := findCondition(o.route.Status.Conditions, callbackv1alpha1.ConditionReady)
	if result.Status != want || ready.Reason != reason {
		o.Errorf("%s: kstatus computes %s (%s), want %s; Ready has reason %s, want %s", step, result.Status, result.Message, want, ready.Reason, reason)
	}
}

// A refusal that waiting does not end is InProgress for a minute, so that a grant
// and a route may be applied in any order, and then Failed.
func TestKstatus_ARefusalFailsAfterAMinute(t *testing.T) {
	t.Parallel()
	o := newObserver(t)
	o.edit(func(s *callbackv1alpha1.CallbackRouteSpec) { s.Owner = "" })
	next := o.pass(0)
	o.wants("at once", kstatus.InProgressStatus, callbackv1alpha1.ReasonOwnerRequired)
	if want := o.Now.Add(time.Minute); !next.Equal(want) {
		t.Errorf("the next change is at %v, want %v", next, want)
	}
	o.pass(58 * time.Second)
	o.wants("after 58 s", kstatus.InProgressStatus, callbackv1alpha1.ReasonOwnerRequired)
	if next = o.pass(2 * time.Second); !next.IsZero() {
		t.Errorf("a stalled route changes at %v", next)
	}
	o.wants("after a minute", kstatus.FailedStatus, callbackv1alpha1.ReasonOwnerRequired)

	o.edit(func(s *callbackv1alpha1.CallbackRouteSpec) { s.Owner, s.AfterSunset = "team", "Serve" })
	o.pass(time.Second)
	o.wants("another reason begins anew", kstatus.InProgressStatus, callbackv1alpha1.ReasonAfterSunsetNotAllowed)
	o.pass(30 * time.Second)
	o.edit(func(s *callbackv1alpha1.CallbackRouteSpec) { s.InfoURL = "https://wiki.acme.com" })
	o.pass(time.Second)
	o.pass(58 * time.Second)
	o.wants("another generation begins anew", kstatus.InProgressStatus, callbackv1alpha1.ReasonAfterSunsetNotAllowed)
	o.pass(2 * time.Second)
	o.wants("a minute after the edit", kstatus.FailedStatus, callbackv1alpha1.ReasonAfterSunsetNotAllowed)
	o.edit(func(s *callbackv1alpha1.CallbackRouteSpec) { s.AfterSunset = "Reject" })
	o.pass(time.Second)
	o.wants("corrected", kstatus.CurrentStatus, callbackv1alpha1.ReasonReady)
}

// An invalid spec fails at once. A Service that does not exist and a conflict do
// not fail: another object ends them.
func TestKstatus_WhatOtherObjectsEndDoesNotFail(t *testing.T) {
	t.Parallel()
	o := newObserver(t)
	o.edit(func(s *callbackv1alpha1.CallbackRouteSpec) { s.Protocol = "Magic" })
	o.pass(0)
	o.wants("invalid", kstatus.FailedStatus, callbackv1alpha1.ReasonInvalid)
	o.edit(func(s *callbackv1alpha1.CallbackRouteSpec) { s.Protocol, s.Backends[0].Service.Name = "OIDC", "absent" })
	for _, after := range []time.Duration{0, time.Minute, time.Hour} {
		o.pass(after)
		o.wants("no Service", kstatus.InProgressStatus, callbackv1alpha1.ReasonBackendNotFound)
	}
	o.edit(func(s *callbackv1alpha1.CallbackRouteSpec) { s.Backends[0].Service.Name = "legacy-idp" })
	o.Scenario.Fleet[0].Generation--
	o.pass(0)
	o.pass(time.Hour)
	o.wants("not acknowledged", kstatus.InProgressStatus, callbackv1alpha1.ReasonPending)
}

// A backend that the proxy never uses fails after a minute.
func TestKstatus_AnUnusableBackendFails(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*corev1.Service)
		reason string
	}{
		"ExternalName without ports": {func(s *corev1.Service) {
			s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "idp.example"}
		}, callbackv1alpha1.ReasonInvalidBackend},
		"HTTPS": {func(s *corev1.Service) {
			protocol := "https"
			s.Spec.Ports[0].AppProtocol = &protocol
		}, callbackv1alpha1.ReasonUnsupportedProtocol},
	} {
		o := newObserver(t)
		for _, service := range o.Snapshot.Services {
			tc.change(service)
		}
		o.pass(0)
		o.wants(name, kstatus.InProgressStatus, tc.reason)
		o.pass(time.Minute)
		o.wants(name, kstatus.FailedStatus, tc.reason)
	}
}

// A planned end leaves the route Current, also through a restart of its instances
// and an edit that keeps the sunset. A sunset in the past is never Current.
func TestKstatus_APlannedEndStaysCurrent(t *testing.T) {
	t.Parallel()
	o := newObserver(t)
	o.edit(func(s *callbackv1alpha1.CallbackRouteSpec) { s.SunsetTime = metav1.NewTime(o.Now.Add(time.Hour)) })
	o.pass(0)
	o.wants("before", kstatus.CurrentStatus, callbackv1alpha1.ReasonReady)
	o.pass(time.Hour + 5*time.Second)
	o.wants("after the sunset", kstatus.CurrentStatus, callbackv1alpha1.ReasonSunsetPassed)
	passed := findCondition(o.route.Status.Conditions, callbackv1alpha1.ConditionSunsetPassed)
	if !passed.LastTransitionTime.Equal(&o.route.Spec.SunsetTime) {
		t.Errorf("the sunset passed at %v, want %v", passed.LastTransitionTime, o.route.Spec.SunsetTime)
	}
	instances := o.Scenario.Fleet
	o.Scenario.Fleet = nil
	o.pass(time.Second)
	o.wants("no instance", kstatus.InProgressStatus, callbackv1alpha1.ReasonNoReadyInstances)
	o.Scenario.Fleet = instances
	o.pass(time.Hour)
	o.wants("instances are back", kstatus.CurrentStatus, callbackv1alpha1.ReasonSunsetPassed)
	o.Snapshot.Services = nil // the old service is switched off
	o.edit(func(s *callbackv1alpha1.CallbackRouteSpec) { s.InfoURL = "https://wiki.acme.com" })
	o.pass(time.Hour)
	o.wants("edited after the end", kstatus.CurrentStatus, callbackv1alpha1.ReasonSunsetPassed)

	o.edit(func(s *callbackv1alpha1.CallbackRouteSpec) { s.SunsetTime = metav1.NewTime(o.Now.Add(-time.Minute)) })
	o.pass(time.Second)
	o.wants("moved into the past", kstatus.InProgressStatus, callbackv1alpha1.ReasonSunsetPassed)
	o.pass(time.Hour)
	o.wants("an hour later", kstatus.InProgressStatus, callbackv1alpha1.ReasonSunsetPassed)
	o.edit(func(s *callbackv1alpha1.CallbackRouteSpec) { s.SunsetTime = metav1.NewTime(o.Now.Add(time.Hour)) })
	o.pass(time.Second)
	o.pass(2 * time.Hour)
	o.wants("planned again", kstatus.CurrentStatus, callbackv1alpha1.ReasonSunsetPassed)
}

// A route that is created with a sunset in the past is not ready, and neither is
// one whose status was lost.
func TestKstatus_ASunsetInThePastIsNotReady(t *testing.T) {
	t.Parallel()
	o := newObserver(t)
	o.edit(func(s *callbackv1alpha1.CallbackRouteSpec) { s.SunsetTime = metav1.NewTime(o.Now.Add(-time.Second)) })
	o.pass(0)
	o.wants("created", kstatus.InProgressStatus, callbackv1alpha1.ReasonSunsetPassed)
	o.pass(time.Minute)
	o.wants("later", kstatus.InProgressStatus, callbackv1alpha1.ReasonSunsetPassed)
}

// A held claim is reported by the refused route, which is Failed after a minute.
func TestKstatus_ARefusedLiveRouteFails(t *testing.T) {
	t.Parallel()
	o := newObserver(t)
	o.pass(0)
	o.wants("live", kstatus.CurrentStatus, callbackv1alpha1.ReasonReady)
	o.edit(func(s *callbackv1alpha1.CallbackRouteSpec) {
		s.SunsetTime = metav1.NewTime(s.SunsetTime.AddDate(1000, 0, 0))
	})
	o.pass(time.Second)
	o.wants("mistyped", kstatus.InProgressStatus, callbackv1alpha1.ReasonLifetimeExceedsPolicy)
	o.pass(time.Minute)
	o.wants("mistyped for a minute", kstatus.FailedStatus, callbackv1alpha1.ReasonLifetimeExceedsPolicy)
}

// W59: the message counts the instances that report a failure now, and a status
// with another count is written.
func TestW59_TheCountOfInstancesFollowsTheReports(t *testing.T) {
	t.Parallel()
	o := newObserver(t)
	down := map[string]string{"identity/acme-sso/blue": "Unreachable"}
	o.Scenario.Fleet = []scenario.Instance{
		{Pod: "edge-1", Generation: scenario.Published.Generation, Health: down},
		{Pod: "edge-2", Generation: scenario.Published.Generation},
	}
	for step, want := range []string{
		"backend blue is unhealthy (Unreachable) at 1 of 2 instances",
		"backend blue is unhealthy (Unreachable) at 2 of 2 instances",
	} {
		before := o.route.Status
		o.pass(time.Second)
		if c := findCondition(o.route.Status.Conditions, callbackv1alpha1.ConditionBackendsHealthy); c.Message != want {
			t.Errorf("step %d: %s, want %s", step, c.Message, want)
		}
		if change := status.CompareRoute(&before, &o.route.Status); step == 1 && change != status.Counters {
			t.Errorf("another count is of class %d", change)
		}
		o.Scenario.Fleet[1].Health = down
	}
}

// W59: no condition names a backend that gets the callbacks while another one
// reports that a backend is not resolved.
func TestW59_ProgrammedDoesNotContradictResolvedRefs(t *testing.T) {
	t.Parallel()
	o := newObserver(t)
	o.Snapshot.Services = nil
	o.pass(0)
	programmed := findCondition(o.route.Status.Conditions, callbackv1alpha1.ConditionProgrammed)
	if want := "every ready instance runs this generation"; programmed.Message != want {
		t.Errorf("Programmed: %q, want %q", programmed.Message, want)
	}
}

// A failover keeps the route ready while the primary backend cannot be reached,
// and a backend of weight 0 that is no failover does not.
func TestComputeRoute_ReadyNeedsAUsableBackend(t *testing.T) {
	t.Parallel()
	o := newObserver(t)
	weight := func(w int32) *int32 { return &w }
	o.edit(func(s *callbackv1alpha1.CallbackRouteSpec) {
		other := s.Backends[0]
		other.Name, other.Weight = "green", weight(0)
		other.HealthCheck = &callbackv1alpha1.HealthCheck{Path: "/green"}
		s.Backends[0].Weight, s.Backends[0].HealthCheck = weight(1), &callbackv1alpha1.HealthCheck{Path: "/blue"}
		s.Backends = append(s.Backends, other)
	})
	o.Scenario.Fleet[0].Health = map[string]string{"identity/acme-sso/blue": "Unreachable", "identity/acme-sso/green": "Healthy"}
	o.pass(0)
	o.wants("no failover", kstatus.InProgressStatus, callbackv1alpha1.ReasonBackendUnhealthy)
	o.edit(func(s *callbackv1alpha1.CallbackRouteSpec) {
		s.Backends[0].Failover = &callbackv1alpha1.Failover{Backend: "green", LoginState: callbackv1alpha1.LoginStateShared}
	})
	o.pass(0)
	o.wants("failover", kstatus.CurrentStatus, callbackv1alpha1.ReasonReady)
	o.Scenario.Fleet[0].Health["identity/acme-sso/green"] = "BadStatus"
	o.pass(0)
	o.wants("both unhealthy", kstatus.InProgressStatus, callbackv1alpha1.ReasonBackendUnhealthy)
}

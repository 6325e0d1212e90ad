// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/scenario"
)

// oneRoute is the minimal scenario, compiled, with a fleet that a test shapes.
func oneRoute(t testing.TB) (*scenario.Scenario, *compile.Plan, *status.Fleet) {
	t.Helper()
	s := scenario.Load(t, "testdata/minimal.in.yaml")
	result := compile.Compile(&s.Snapshot, s.Now)
	return s, result, s.ObserveFleet(t, result.Table)
}

// find returns the verdict on a route of a scenario, compiled now.
func find(t testing.TB, s *scenario.Scenario, name string) *compile.Verdict {
	t.Helper()
	result := compile.Compile(&s.Snapshot, s.Now)
	for i := range result.Verdicts {
		if v := &result.Verdicts[i]; v.Route.Namespace+"/"+v.Route.Name == name {
			return v
		}
	}
	t.Fatalf("no verdict on %s", name)
	return nil
}

func findCondition(conditions []metav1.Condition, kind string) *metav1.Condition {
	for i := range conditions {
		if conditions[i].Type == kind {
			return &conditions[i]
		}
	}
	return nil
}

// A condition keeps its transition time until its status changes; its message may
// change meanwhile.
func TestComputeRoute_TransitionTimes(t *testing.T) {
	t.Parallel()
	s, result, fleet := oneRoute(t)
	v := &result.Verdicts[0]
	v.Route = v.Route.DeepCopy()
	at := func(hours int) time.Time { return s.Now.Add(time.Duration(hours) * time.Hour) }
	write := func(hours int) {
		v.Route.Status = status.ComputeRoute(v, s.Observe(v.Route, fleet), at(hours).Add(999*time.Millisecond))
	}
	want := func(step, kind string, want metav1.ConditionStatus, hours int) {
		t.Helper()
		c := findCondition(v.Route.Status.Conditions, kind)
		if c == nil || c.Status != want || !c.LastTransitionTime.Time.Equal(at(hours)) {
			t.Errorf("%s: %s is %+v, want %s since %v", step, kind, c, want, at(hours))
		}
	}
	write(0)
	want("first", callbackv1alpha1.ConditionReady, metav1.ConditionTrue, 0)

	write(1)
	want("unchanged", callbackv1alpha1.ConditionReady, metav1.ConditionTrue, 0)

	fleet.Instances[0].Report.Version = routetable.Version{}
	write(2)
	want("behind", callbackv1alpha1.ConditionReady, metav1.ConditionFalse, 2)
	want("behind", callbackv1alpha1.ConditionProgrammed, metav1.ConditionFalse, 2)
	want("behind", callbackv1alpha1.ConditionAccepted, metav1.ConditionTrue, 0)

	fleet.Instances = nil
	write(3)
	want("gone", callbackv1alpha1.ConditionProgrammed, metav1.ConditionFalse, 2)
	if c := findCondition(v.Route.Status.Conditions, callbackv1alpha1.ConditionProgrammed); c.Reason != callbackv1alpha1.ReasonNoReadyInstances {
		t.Errorf("gone: Programmed has reason %s", c.Reason)
	}

	v.Route.Generation = 2
	write(4)
	want("edited", callbackv1alpha1.ConditionAccepted, metav1.ConditionTrue, 0)
	for _, c := range v.Route.Status.Conditions {
		if c.ObservedGeneration != 2 {
			t.Errorf("edited: %s is about generation %d", c.Type, c.ObservedGeneration)
		}
	}
}

// T4: the message of a refusal may name a route of another tenant. It is in the
// status of the CallbackProxy and not in those of routes.
func TestT4_ARefusalIsShownToTheProxysOwnerOnly(t *testing.T) {
	t.Parallel()
	s, result, fleet := oneRoute(t)
	fleet.Instances[0].Report = report(scenario.Published.Epoch, scenario.Published.Generation-1, "older")
	fleet.Instances[0].Report.Refused = &routetable.Refusal{
		Version: scenario.Published, Reason: routetable.RefusedInvalid, Message: "route foreign/secret-project: a path begins with /",
	}
	for _, c := range routeStatus(t, s, &result.Verdicts[0], fleet).Conditions {
		if strings.Contains(c.Message, "foreign") {
			t.Errorf("the route's %s is %s", c.Type, c.Message)
		}
	}
	c := findCondition(proxyStatus(t, s, result, fleet).Conditions, callbackv1alpha1.ConditionProgrammed)
	if !strings.Contains(c.Message, "foreign/secret-project") {
		t.Errorf("the CallbackProxy's owner reads %s", c.Message)
	}
}

// The states of a CallbackProxy's instances, and the version that they show.
func TestComputeProxy_Instances(t *testing.T) {
	t.Parallel()
	s, result, fleet := oneRoute(t)
	current := fleet.Instances[0]
	behind, unreachable, refused := current, current, current
	behind.Pod, unreachable.Pod, refused.Pod = "edge-2", "edge-3", "edge-4"
	current.LastReportTime = s.Now // only listed for unreachable instances, as it changes with every report
	behind.Report = report(scenario.Published.Epoch, scenario.Published.Generation-1, "older")
	unreachable.Reached, unreachable.LastReportTime = false, s.Now.Add(-90*time.Second-time.Millisecond)
	silent := metav1.NewTime(s.Now.Add(-91 * time.Second))
	refused.Report = behind.Report
	refused.Report.Refused = &routetable.Refusal{Version: scenario.Published, Reason: routetable.RefusedInvalid, Message: "m"}
	fleet.Instances = []status.Instance{current, behind, unreachable, refused}
	fleet.Total = 6
	computed := proxyStatus(t, s, result, fleet)
	want := []callbackv1alpha1.ProxyInstance{
		{Pod: "edge-1", State: callbackv1alpha1.InstanceCurrent, Generation: 7, Hash: fleet.Hash},
		{Pod: "edge-2", State: callbackv1alpha1.InstanceBehind, Generation: 6, Hash: "older"},
		{Pod: "edge-3", State: callbackv1alpha1.InstanceUnreachable, Generation: 7, Hash: fleet.Hash, LastReportTime: &silent},
		{Pod: "edge-4", State: callbackv1alpha1.InstanceRefused, Generation: 6, Hash: "older"},
	}
	if len(computed.Instances) != len(want) {
		t.Fatalf("%d instances", len(computed.Instances))
	}
	for i := range want {
		if !apiequality.Semantic.DeepEqual(computed.Instances[i], want[i]) {
			t.Errorf("instance %d is %+v, want %+v", i, computed.Instances[i], want[i])
		}
	}
	if *computed.Routes.Total != 1 || *computed.Routes.Accepted != 1 || computed.ConfigGeneration != 7 || computed.ConfigHash != fleet.Hash {
		t.Errorf("the status is %+v", computed)
	}
}

// The time of the last report survives a change of leader: the status holds it.
func TestComputeProxy_KeepsTheLastReportTime(t *testing.T) {
	t.Parallel()
	s, result, fleet := oneRoute(t)
	heard := metav1.NewTime(s.Now.Add(-time.Hour))
	s.Snapshot.Proxy.Status.Instances = []callbackv1alpha1.ProxyInstance{
		{Pod: "edge-0", State: callbackv1alpha1.InstanceCurrent}, {Pod: "edge-1", State: callbackv1alpha1.InstanceUnreachable, LastReportTime: &heard},
	}
	last := func() *metav1.Time {
		return status.ComputeProxy(s.Snapshot.Proxy, result, fleet, s.Now).Instances[0].LastReportTime
	}
	fleet.Instances[0].Reached = false
	if got := last(); !got.Equal(&heard) {
		t.Errorf("never reached by this leader: last report at %v, want %v", got, heard)
	}
	fleet.Instances[0].LastReportTime = s.Now.Add(-time.Minute)
	if got, want := last(), metav1.NewTime(s.Now.Add(-time.Minute)); !got.Equal(&want) {
		t.Errorf("reached a minute ago: last report at %v", got)
	}
	fleet.Instances[0].Reached = true
	if got := last(); got != nil {
		t.Errorf("a reachable instance has a last report at %v", got)
	}
}

// A message that the API server would refuse is shortened, so that the status can
// be written.
func TestStatus_StaysWithinTheAPIsBounds(t *testing.T) {
	t.Parallel()
	s, result, fleet := oneRoute(t)
	v := &result.Verdicts[0]
	v.Accepted = compile.Finding{Reason: callbackv1alpha1.ReasonUndecodable, Message: strings.Repeat("ü", 50_000)}
	v.ResolvedRefs = compile.Finding{Unknown: true, Reason: callbackv1alpha1.ReasonNotAccepted}
	for _, c := range status.ComputeRoute(v, s.Observe(v.Route, fleet), s.Now).Conditions {
		if len(c.Message) > 32768 || !utf8.ValidString(c.Message) {
			t.Errorf("%s has a message of %d bytes, valid: %t", c.Type, len(c.Message), utf8.ValidString(c.Message))
		}
	}
	v.Accepted.Message = "owner \xc3"
	if c := status.ComputeRoute(v, s.Observe(v.Route, fleet), s.Now).Conditions[0]; c.Message != "owner " {
		t.Errorf("a message that the API would change is %q", c.Message)
	}
}

// A list with room for a part of the fleet prefers instances that are not current,
// and is sorted by name.
func TestComputeProxy_ListsInstancesThatAreNotCurrent(t *testing.T) {
	t.Parallel()
	s, result, fleet := oneRoute(t)
	current := fleet.Instances[0]
	for _, tc := range []struct{ silent, listed int }{{0, 0}, {1, 1}, {255, 255}, {256, 256}, {300, 256}} {
		fleet.Instances = nil
		for i := range 300 {
			current.Pod, current.Reached = fmt.Sprintf("edge-%03d", i), i < 300-tc.silent
			fleet.Instances = append(fleet.Instances, current)
		}
		instances := status.ComputeProxy(s.Snapshot.Proxy, result, fleet, s.Now).Instances
		names, silent := []string{}, 0
		for i := range instances {
			names = append(names, instances[i].Pod)
			if instances[i].State == callbackv1alpha1.InstanceUnreachable {
				silent++
			}
		}
		if len(names) != 256 || silent != tc.listed || !slices.IsSorted(names) {
			t.Errorf("of 300 instances, %d silent, the status lists %d, %d silent: %v", tc.silent, len(names), silent, names)
		}
	}
}

// The size of a fleet is in the counts, never in a message of the good case.
func TestComputeRoute_CountsInstances(t *testing.T) {
	t.Parallel()
	s, result, fleet := oneRoute(t)
	fleet.Instances = append(fleet.Instances, status.Instance{Pod: "edge-2", Reached: true, Report: report(1, 6, "older")})
	fleet.Total = 5
	counts := routeStatus(t, s, &result.Verdicts[0], fleet).Instances
	if *counts.Total != 5 || *counts.Ready != 2 || *counts.Programmed != 1 {
		t.Errorf("counts are %d, %d, %d", *counts.Total, *counts.Ready, *counts.Programmed)
	}
	fleet.Instances = fleet.Instances[:1]
	small := routeStatus(t, s, &result.Verdicts[0], fleet)
	fleet.Instances = append(fleet.Instances, status.Instance{Pod: "edge-2", Reached: true, Report: fleet.Instances[0].Report})
	large := routeStatus(t, s, &result.Verdicts[0], fleet)
	for i := range small.Conditions {
		if small.Conditions[i].Message != large.Conditions[i].Message {
			t.Errorf("a larger fleet rewrites %q to %q", small.Conditions[i].Message, large.Conditions[i].Message)
		}
	}
}

func report(epoch, generation int64, hash string) routetable.Report {
	return routetable.Report{Version: routetable.Version{Epoch: epoch, Generation: generation}, Hash: hash, ListenerPort: 8080}
}

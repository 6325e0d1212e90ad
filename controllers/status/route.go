// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package status computes the statuses of CallbackRoutes and CallbackProxies.
// Input: the verdicts of compile, the observed state of the fleet and the present
// time. Output: whole statuses, and the class of change between two of them. Pure.
package status

// route.go computes the status of one CallbackRoute.

import (
	"time"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// Observation is the observed state of a route.
type Observation struct {
	Fleet *Fleet
	// Since is the version that published the route's present generation first.
	// It counts for accepted routes alone.
	Since routetable.Version
	// Traffic counts the requests of the route's whole life.
	Traffic Traffic
	// Recent is what the last callbacks show.
	Recent Recent
}

// ComputeRoute computes the whole status of a route.
func ComputeRoute(v *compile.Verdict, o *Observation, now time.Time) callbackv1alpha1.CallbackRouteStatus {
	programmed := routeProgrammed(v, o.Fleet, o.Since)
	backends := computeHealth(v, o, now)
	healthy := backendsHealthy(v, backends, o.Fleet)
	set := conditionSet{
		generation: v.Route.Generation,
		previous:   v.Route.Status.Conditions,
		now:        now,
	}
	set.add(callbackv1alpha1.ConditionAccepted, v.Accepted)
	set.add(callbackv1alpha1.ConditionResolvedRefs, v.ResolvedRefs)
	set.add(callbackv1alpha1.ConditionProgrammed, programmed)
	set.add(callbackv1alpha1.ConditionBackendsHealthy, healthy)
	set.add(callbackv1alpha1.ConditionReady, routeReady(v, o, programmed, healthy, backends, now))
	if !v.HasEnded() {
		addStalled(&set)
	}
	status := callbackv1alpha1.CallbackRouteStatus{
		ObservedGeneration: v.Route.Generation,
		Backends:           backendStatuses(backends, &o.Traffic),
		Traffic:            trafficStatus(v, &o.Traffic, now),
		Instances:          countInstances(v, o.Fleet, o.Since),
	}
	if v.Entry != nil {
		addLifecycle(&set, v, &o.Traffic)
		if looping := loginsLooping(v, &o.Recent, now); looping != nil {
			set.add(callbackv1alpha1.ConditionLoginsLooping, *looping)
		}
		status.PrimaryBackend = v.Entry.Primary().Name
	}
	status.Conditions = set.conditions
	return status
}

// NextRoute returns the time at which the status of a route changes though no
// object, no report and no phase of the schedule does: it becomes quiet, or
// Stalled, or what its last callbacks showed is too old. It is zero when there is
// no such time.
func NextRoute(v *compile.Verdict, o *Observation, desired *callbackv1alpha1.CallbackRouteStatus, now time.Time) time.Time {
	var next time.Time
	if !v.HasEnded() {
		next = NextStalled(desired.Conditions, now)
	}
	if v.Accepted.OK {
		if quiet, _ := QuietAt(v.Route, &o.Traffic); now.Before(quiet) {
			next = compile.Earlier(next, quiet)
		}
		next = compile.Earlier(next, nextRecent(&o.Recent, now))
	}
	return next
}

func countInstances(v *compile.Verdict, fleet *Fleet, since routetable.Version) *callbackv1alpha1.InstanceCounts {
	total, ready, programmed := int32(fleet.Total), int32(len(fleet.Instances)), int32(0) //nolint:gosec // pods are far fewer
	for i := range fleet.Instances {
		if v.Accepted.OK && fleet.runs(&fleet.Instances[i], since) {
			programmed++
		}
	}
	return &callbackv1alpha1.InstanceCounts{Total: &total, Ready: &ready, Programmed: &programmed}
}

// routeProgrammed computes the condition Programmed. The message names the backend
// that gets the callbacks only when every backend is resolved: otherwise it could
// contradict ResolvedRefs.
func routeProgrammed(v *compile.Verdict, fleet *Fleet, since routetable.Version) compile.Finding {
	if !v.Accepted.OK {
		return compile.False(callbackv1alpha1.ReasonNotAccepted, "the route is not part of the config")
	}
	finding := programmed(fleet, since, thisGeneration)
	if finding.OK && v.ResolvedRefs.OK && !v.HasEnded() {
		finding.Message += ": " + destination(v.Entry)
	}
	return finding
}

// destination describes where callbacks go.
func destination(route *routetable.Route) string {
	o := route.Ownership
	declared := "backend " + route.Primary().Name + " is declared for new logins; "
	switch {
	case o == nil:
		return "callbacks go to backend " + route.Primary().Name
	case o.Observe:
		return declared + "callbacks go to backend " + o.Unowned.Backend + ", and the ownership rules are only counted"
	case o.Unowned.Type == routetable.UnownedReject:
		return declared + "callbacks go to the backend that owns their login, and unowned ones are rejected"
	}
	return declared + "callbacks go to the backend that owns their login, and unowned ones to backend " + o.Unowned.Backend
}

// routeReady computes the summary: the first condition that keeps callbacks from
// being served as declared. After a planned end the declaration is the 410
// response, which needs no backend.
func routeReady(v *compile.Verdict, o *Observation, programmed, healthy compile.Finding, backends []backendHealth, now time.Time) compile.Finding {
	switch {
	case !v.Accepted.OK:
		return v.Accepted
	case v.HasEnded() && isPlanned(v, now):
		if !programmed.OK {
			return programmed
		}
		return sunsetPassed(v, &o.Traffic, now)
	case v.HasEnded():
		passed := sunsetPassed(v, &o.Traffic, now)
		passed.OK = false
		return passed
	case !v.ResolvedRefs.OK:
		return v.ResolvedRefs
	case !programmed.OK:
		return programmed
	case !isServed(v, backends):
		return healthy
	}
	return compile.True(callbackv1alpha1.ReasonReady, "callbacks are served as declared")
}

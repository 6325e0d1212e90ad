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
}

// ComputeRoute computes the whole status of a route.
func ComputeRoute(v *compile.Verdict, o *Observation, now time.Time) callbackv1alpha1.CallbackRouteStatus {
	programmed := routeProgrammed(v, o.Fleet, o.Since)
	backends := computeHealth(v, o.Fleet)
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
	status := callbackv1alpha1.CallbackRouteStatus{
		ObservedGeneration: v.Route.Generation,
		Backends:           backendStatuses(backends, &o.Traffic),
		Traffic:            trafficStatus(v, &o.Traffic, now),
		Proxies:            countInstances(v, o.Fleet, o.Since),
	}
	if v.Entry != nil {
		addLifecycle(&set, v, &o.Traffic)
		status.ActiveBackend = v.Entry.Active().Name
	}
	status.Conditions = set.conditions
	return status
}

func countInstances(v *compile.Verdict, fleet *Fleet, since routetable.Version) *callbackv1alpha1.ProxyCounts {
	total, ready, programmed := int32(fleet.Total), int32(len(fleet.Instances)), int32(0) //nolint:gosec // pods are far fewer
	for i := range fleet.Instances {
		if v.Accepted.OK && fleet.runs(&fleet.Instances[i], since) {
			programmed++
		}
	}
	return &callbackv1alpha1.ProxyCounts{Total: &total, Ready: &ready, Programmed: &programmed}
}

func routeProgrammed(v *compile.Verdict, fleet *Fleet, since routetable.Version) compile.Finding {
	if !v.Accepted.OK {
		return compile.Finding{Reason: callbackv1alpha1.ReasonNotAccepted, Message: "the route is not part of the config"}
	}
	finding := programmed(fleet, since, thisGeneration)
	if finding.OK && !v.HasEnded() {
		finding.Message += ": callbacks go to backend " + v.Entry.Active().Name
	}
	return finding
}

// routeReady computes the summary: the first condition that keeps callbacks from
// being served as declared.
func routeReady(v *compile.Verdict, o *Observation, programmed, healthy compile.Finding, backends []backendHealth, now time.Time) compile.Finding {
	switch {
	case !v.Accepted.OK:
		return v.Accepted
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
	return compile.Finding{OK: true, Reason: callbackv1alpha1.ReasonReady, Message: "callbacks are served as declared"}
}

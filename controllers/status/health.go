// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

// health.go computes the health of backends from the reports of all instances.

import (
	"fmt"
	"slices"
	"strings"
	"time"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// backendHealth is the health of one backend over all instances.
type backendHealth struct {
	name   string
	health callbackv1alpha1.Health
	// reason and detail explain Unhealthy: detail is the reason that instances
	// report, and reporters how many of them do.
	reason, detail string
	reporters      int
	// failing is set when the last callbacks failed.
	failing *failing
	// down is true when the proxies may not reach it. Callbacks that fail after it
	// was reached are no reason: clients can provoke them.
	down bool
	// unserved counts the instances whose path probe failed.
	unserved int
}

// computeHealth computes the health of a route's backends. Instances do not
// measure the backends of a route that is not accepted or has ended, because its
// Services may be gone.
//
//	no ready endpoint                   : Unhealthy, whatever instances report
//	an instance reports Unhealthy       : also Unhealthy
//	the last callbacks failed           : also Unhealthy
//	none does, and one reports Healthy  : also Healthy
//	else                                : Unknown
func computeHealth(v *compile.Verdict, o *Observation, now time.Time) []backendHealth {
	declared := v.Route.Spec.Backends
	states := make([]backendHealth, len(declared))
	for i := range declared {
		state := &states[i]
		*state = backendHealth{name: declared[i].Name, health: callbackv1alpha1.HealthUnknown}
		if v.Entry == nil || v.HasEnded() {
			continue
		}
		backend := &v.Entry.Backends[i]
		if _, none := v.NoEndpoints[backend.Name]; none {
			state.health, state.reason, state.down = callbackv1alpha1.HealthUnhealthy, callbackv1alpha1.ReasonNoReadyEndpoints, true
			continue
		}
		state.addReports(v.Entry, backend, o.Fleet)
		recent := o.Recent.Backends[backend.Name]
		state.addCallbacks(recent.judge(now))
	}
	return states
}

// addReports adds the reports of all instances about a backend.
func (s *backendHealth) addReports(route *routetable.Route, backend *routetable.Backend, fleet *Fleet) {
	ids := targetIDsOf(route, backend, fleet.Scheme)
	for i := range fleet.Instances {
		instance := &fleet.Instances[i]
		if !instance.Reached || len(instance.Targets) == 0 {
			continue
		}
		state, reason := ids.healthAt(instance)
		switch state {
		case routetable.TargetHealthy:
			if s.health == callbackv1alpha1.HealthUnknown {
				s.health = callbackv1alpha1.HealthHealthy
			}
		case routetable.TargetUnmeasured:
		case routetable.TargetUnhealthy:
			s.health = callbackv1alpha1.HealthUnhealthy
			if reason == routetable.TargetPathNotServed {
				s.unserved++
				continue
			}
			s.reporters++
			if s.detail == "" || reason < s.detail {
				s.detail = reason
			}
		}
	}
	switch {
	case s.health != callbackv1alpha1.HealthUnhealthy:
	case s.unserved > 0:
		// This reason comes first: proxies do not fail over for it, so the user has
		// to act.
		s.reason, s.reporters = callbackv1alpha1.ReasonCallbackPathNotServed, s.unserved
	default:
		s.reason = callbackv1alpha1.ReasonBackendUnhealthy
	}
	s.down = s.health == callbackv1alpha1.HealthUnhealthy
}

// addCallbacks adds that the last callbacks failed. It comes before the finding of
// a check, because it names counts and reasons of real callbacks, and after that of
// a path probe, which the user has to act on.
func (s *backendHealth) addCallbacks(f *failing) {
	if f == nil {
		return
	}
	s.down = s.down || f.unreached
	s.health = callbackv1alpha1.HealthUnhealthy
	if s.reason != callbackv1alpha1.ReasonCallbackPathNotServed {
		s.reason, s.failing = callbackv1alpha1.ReasonCallbacksFailing, f
	}
}

// targetIDs are the IDs under which instances report a backend.
type targetIDs struct {
	checks []string
	// probes are those of the paths of callbacks.
	probes []string
}

func targetIDsOf(route *routetable.Route, backend *routetable.Backend, scheme string) targetIDs {
	var t targetIDs
	for _, address := range backend.Addresses {
		t.checks = append(t.checks, routetable.TargetID(address, backend.Check))
		for i := range route.Callbacks {
			if callback := &route.Callbacks[i]; callback.PathProbe {
				t.probes = append(t.probes, routetable.PathProbeID(address, scheme, route, callback, backend))
			}
		}
	}
	return t
}

// healthAt computes the health of a backend at one instance. One healthy address
// makes the backend healthy, unless the path probe of an address failed. A
// successful path probe counts as a measurement.
func (t *targetIDs) healthAt(instance *Instance) (state routetable.TargetState, reason string) {
	served := false
	for _, id := range t.probes {
		switch report := instance.Targets[id]; report.State {
		case routetable.TargetUnhealthy:
			return routetable.TargetUnhealthy, routetable.TargetPathNotServed
		case routetable.TargetHealthy:
			served = true
		case routetable.TargetUnmeasured:
		}
	}
	unhealthy := 0
	for _, id := range t.checks {
		switch report := instance.Targets[id]; report.State {
		case routetable.TargetHealthy:
			return routetable.TargetHealthy, ""
		case routetable.TargetUnhealthy:
			unhealthy++
			if reason == "" || report.Reason < reason {
				reason = report.Reason
			}
		case routetable.TargetUnmeasured:
		}
	}
	switch {
	case unhealthy > 0 && unhealthy == len(t.checks):
		return routetable.TargetUnhealthy, reason
	case served && unhealthy == 0:
		return routetable.TargetHealthy, ""
	}
	return routetable.TargetUnmeasured, ""
}

// backendsHealthy computes the condition BackendsHealthy. The message names every
// unhealthy backend. The reason is that of the primary backend when it is
// unhealthy, else that of the first one.
func backendsHealthy(v *compile.Verdict, backends []backendHealth, fleet *Fleet) compile.Finding {
	if v.Entry == nil {
		return compile.Unknown(callbackv1alpha1.ReasonNotAccepted, "backends are measured once the route is accepted")
	}
	if v.HasEnded() {
		return compile.Unknown(callbackv1alpha1.ReasonSunsetPassed, "backends of a route that has ended are not measured")
	}
	var broken, unknown []string
	reason := ""
	for i := range backends {
		switch b := &backends[i]; b.health {
		case callbackv1alpha1.HealthUnhealthy:
			if reason == "" || b.name == v.Entry.Primary().Name {
				reason = b.reason
			}
			broken = append(broken, b.describe(len(fleet.Instances)))
		case callbackv1alpha1.HealthUnknown:
			unknown = append(unknown, b.name)
		case callbackv1alpha1.HealthHealthy:
		}
	}
	switch {
	case len(broken) > 0:
		return compile.False(reason, "%s", strings.Join(broken, "; "))
	case len(unknown) == len(backends):
		return notMeasured(v.Entry)
	case len(unknown) > 0:
		return compile.True(callbackv1alpha1.ReasonBackendsHealthy, "every measured backend is healthy; not measured: %s", compile.Enumerate(unknown))
	}
	return compile.True(callbackv1alpha1.ReasonBackendsHealthy, "every backend is healthy")
}

// notMeasured explains why no backend is measured: the route declares no
// measurement, or no instance has reported one yet.
func notMeasured(route *routetable.Route) compile.Finding {
	if slices.ContainsFunc(route.Callbacks, func(c routetable.Callback) bool { return c.PathProbe }) ||
		slices.ContainsFunc(route.Backends, func(b routetable.Backend) bool { return b.Check != nil }) {
		return compile.Unknown(callbackv1alpha1.ReasonNotMeasured, "no instance has measured a backend yet")
	}
	return compile.Unknown(callbackv1alpha1.ReasonNotMeasured,
		"no backend is measured: add healthCheck to the backends; without it a failed delivery is the first measurement")
}

// describe explains an unhealthy backend.
func (s *backendHealth) describe(instances int) string {
	switch s.reason {
	case callbackv1alpha1.ReasonCallbacksFailing:
		return s.failing.describe(s.name, instances)
	case callbackv1alpha1.ReasonNoReadyEndpoints:
		return "backend " + s.name + " has no ready endpoints"
	case callbackv1alpha1.ReasonCallbackPathNotServed:
		return fmt.Sprintf("backend %s responds to the path probe with 404, 405 or 5xx at %d of %s: let it serve the callback's path, or set backends[].paths",
			s.name, s.reporters, plural(int64(instances), "instance"))
	}
	return fmt.Sprintf("backend %s is unhealthy (%s) at %d of %s",
		s.name, s.detail, s.reporters, plural(int64(instances), "instance"))
}

// isServed reports whether callbacks reach a backend that gets some, or its failover.
// A proxy does not fail over when a path probe fails, so a backend whose path probe
// failed serves nothing.
func isServed(v *compile.Verdict, backends []backendHealth) bool {
	find := func(name string) *backendHealth {
		return &backends[slices.IndexFunc(backends, func(b backendHealth) bool { return b.name == name })]
	}
	return slices.ContainsFunc(v.Entry.Receivers(), func(receiver *routetable.Backend) bool {
		own := find(receiver.Name)
		if !own.down {
			return true
		}
		return receiver.Failover != nil && own.reason != callbackv1alpha1.ReasonCallbackPathNotServed &&
			!find(receiver.Failover.Backend).down
	})
}

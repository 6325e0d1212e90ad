// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"fmt"
	"slices"
	"strings"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// backendState is how one backend stands, over all instances.
type backendState struct {
	name   string
	health callbackv1alpha1.Health
	// reason and detail say what is wrong with an unhealthy one: detail is what
	// the instances say, seen by how many of them.
	reason, detail string
	seen           int
	// unserved is how many say that it does not serve the callback's path.
	unserved int
}

// backendHealth finds how the backends of a route stand. Nothing looks at
// those of a route that is not accepted, or has ended: its services may go.
//
//	no ready endpoint              Unhealthy at once, whatever instances say
//	an instance sees it unhealthy  Unhealthy
//	none does, one sees it healthy Healthy
//	else                           Unknown
func backendHealth(v *Verdict, fleet *Fleet) []backendState {
	declared := v.Route.Spec.Backends
	states := make([]backendState, len(declared))
	for i := range declared {
		state := &states[i]
		*state = backendState{name: declared[i].Name, health: callbackv1alpha1.HealthUnknown}
		if v.Entry == nil || v.late() {
			continue
		}
		backend := &v.Entry.Backends[i]
		if _, none := v.NoEndpoints[backend.Name]; none {
			state.health, state.reason = callbackv1alpha1.HealthUnhealthy, callbackv1alpha1.ReasonNoReadyEndpoints
			continue
		}
		state.ask(v.Entry, backend, fleet)
	}
	return states
}

// ask adds up what the instances say of a backend.
func (s *backendState) ask(route *routetable.Route, backend *routetable.Backend, fleet *Fleet) {
	targets := targetsOf(route, backend)
	for i := range fleet.Instances {
		instance := &fleet.Instances[i]
		if !instance.Reached || len(instance.Targets) == 0 {
			continue
		}
		state, reason := targets.seenBy(instance)
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
			s.seen++
			if s.detail == "" || reason < s.detail {
				s.detail = reason
			}
		}
	}
	switch {
	case s.health != callbackv1alpha1.HealthUnhealthy:
	case s.unserved > 0:
		// Said first whatever else is wrong: nobody goes elsewhere for it.
		s.reason, s.seen = callbackv1alpha1.ReasonCallbackPathNotServed, s.unserved
	default:
		s.reason = callbackv1alpha1.ReasonBackendUnhealthy
	}
}

// targets are the names under which the instances know a backend.
type targets struct {
	checks     []string
	preflights []string
}

func targetsOf(route *routetable.Route, backend *routetable.Backend) targets {
	var t targets
	for _, address := range backend.Addresses {
		t.checks = append(t.checks, routetable.TargetID(address, backend.Check))
		if route.Preflight {
			t.preflights = append(t.preflights, routetable.PreflightID(address, route, backend))
		}
	}
	return t
}

// Targets returns the names of everything that instances look at for a table.
func Targets(table *routetable.Table) map[string]struct{} {
	ids := map[string]struct{}{}
	for r := range table.Routes {
		route := &table.Routes[r]
		for b := range route.Backends {
			t := targetsOf(route, &route.Backends[b])
			for _, id := range append(t.checks, t.preflights...) {
				ids[id] = struct{}{}
			}
		}
	}
	return ids
}

// seenBy says how one instance sees a backend: a backend with one healthy
// address is healthy, unless an address does not serve the callback's path. A
// preflight that was answered well is a look at the backend too.
func (t *targets) seenBy(instance *Instance) (state routetable.TargetState, reason string) {
	served := false
	for _, id := range t.preflights {
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

// healthFinding is the condition BackendsHealthy. Every backend that is not
// well is named; the reason is that of the active one, or else of the first.
func healthFinding(v *Verdict, backends []backendState, fleet *Fleet) Finding {
	if v.Entry == nil {
		return Finding{
			Unknown: true,
			Reason:  callbackv1alpha1.ReasonNotAccepted,
			Message: "backends are looked at once the route is accepted",
		}
	}
	if v.late() {
		return Finding{
			Unknown: true,
			Reason:  callbackv1alpha1.ReasonSunsetPassed,
			Message: "nothing looks at the backends of a route that has ended",
		}
	}
	var broken, unknown []string
	reason := ""
	for i := range backends {
		switch b := &backends[i]; b.health {
		case callbackv1alpha1.HealthUnhealthy:
			if reason == "" || b.name == v.Entry.Active().Name {
				reason = b.reason
			}
			broken = append(broken, b.sentence(len(fleet.Instances)))
		case callbackv1alpha1.HealthUnknown:
			unknown = append(unknown, b.name)
		case callbackv1alpha1.HealthHealthy:
		}
	}
	switch {
	case len(broken) > 0:
		return Finding{Reason: reason, Message: strings.Join(broken, "; ")}
	case len(unknown) == len(backends):
		return notMeasured(v.Entry)
	}
	finding := Finding{OK: true, Reason: callbackv1alpha1.ReasonBackendsHealthy, Message: "every backend is healthy"}
	if len(unknown) > 0 {
		finding.Message = "every backend that is measured is healthy; not measured: " + enumerate(unknown)
	}
	return finding
}

// notMeasured says why nothing is known of any backend: nobody was asked to
// look, or nobody has looked yet.
func notMeasured(route *routetable.Route) Finding {
	finding := Finding{
		Unknown: true,
		Reason:  callbackv1alpha1.ReasonNotMeasured,
		Message: "no instance has measured a backend: give backends a healthCheck, or wait for the first callback that cannot be delivered",
	}
	if route.Preflight || slices.ContainsFunc(route.Backends, func(b routetable.Backend) bool { return b.Check != nil }) {
		finding.Message = "no instance has measured a backend yet"
	}
	return finding
}

// sentence says what is wrong with an unhealthy backend.
func (s *backendState) sentence(instances int) string {
	switch s.reason {
	case callbackv1alpha1.ReasonNoReadyEndpoints:
		return "backend " + s.name + " has no ready endpoints"
	case callbackv1alpha1.ReasonCallbackPathNotServed:
		return fmt.Sprintf("backend %s answers an error response on the callback's path with 404, 405 or 5xx, seen by %d of %s",
			s.name, s.seen, plural(int64(instances), "instance"))
	}
	return fmt.Sprintf("backend %s is unhealthy (%s), seen by %d of %s",
		s.name, s.detail, s.seen, plural(int64(instances), "instance"))
}

// isServed says whether callbacks find a backend: the active one or one that
// stands by. One that does not serve the callback's path is no reason for the
// proxies to go elsewhere, so it counts when it is the active one.
func isServed(v *Verdict, backends []backendState) bool {
	active := v.Entry.Active()
	served := false
	for i := range backends {
		b := &v.Entry.Backends[i]
		if b == active && backends[i].reason == callbackv1alpha1.ReasonCallbackPathNotServed {
			return false
		}
		if b.Weight > 0 && backends[i].health != callbackv1alpha1.HealthUnhealthy {
			served = true
		}
	}
	return served
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scenario

// fleet.go computes the observed state of a scenario's fleet.

import (
	"cmp"
	"slices"
	"testing"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// ObserveFleet returns the state of the fleet after a table was published.
func (s *Scenario) ObserveFleet(t testing.TB, table *routetable.Table) *status.Fleet {
	t.Helper()
	fleet := &status.Fleet{Total: len(s.Fleet) + s.NotReady, Published: Published, Deployed: s.Deployed}
	if table != nil {
		encoded, err := routetable.Encode(table, routetable.DefaultShardBytes)
		if err != nil {
			t.Fatalf("the table cannot be published: %v", err)
		}
		fleet.Hash = encoded.Index.Hash
	}
	if table == nil {
		table = &routetable.Table{}
	}
	fleet.Scheme = table.Settings.Forwarding.Scheme()
	for _, i := range s.Fleet {
		report := routetable.Report{ListenerPort: cmp.Or(i.Port, 8080)}
		if i.Generation > 0 {
			report.Version = routetable.Version{Epoch: Published.Epoch, Generation: i.Generation}
			report.Hash = fleet.Hash
			if report.Version != Published {
				report.Hash = routetable.HashOf("an earlier config")
			}
		}
		if i.Refused != "" {
			report.Refused = &routetable.Refusal{Version: Published, Hash: fleet.Hash, Reason: routetable.RefusedInvalid, Message: i.Refused}
		}
		report.ClockSuspect, report.Forwarding = i.Suspect, i.Forwarding
		fleet.Instances = append(fleet.Instances, status.Instance{
			Pod: i.Pod, Reached: !i.Unreachable, LastReportTime: i.LastReportTime, Report: report, Targets: i.targets(table),
		})
	}
	slices.SortFunc(fleet.Instances, func(a, b status.Instance) int { return cmp.Compare(a.Pod, b.Pod) })
	return fleet
}

// storeStatuses computes the statuses of the pass Before and stores them.
func (s *Scenario) storeStatuses(t testing.TB) {
	t.Helper()
	plan := compile.Compile(&s.Snapshot, s.Before)
	fleet := s.ObserveFleet(t, plan.Table)
	for i := range plan.Verdicts {
		v := &plan.Verdicts[i]
		v.Route.Status = status.ComputeRoute(v, s.Observe(v.Route, fleet), s.Before)
	}
	if s.Snapshot.Proxy != nil {
		s.Snapshot.Proxy.Status = status.ComputeProxy(s.Snapshot.Proxy, plan, fleet, s.Before)
	}
}

// targets returns the reports of an instance about the addresses of backends.
func (i *Instance) targets(table *routetable.Table) map[string]routetable.TargetReport {
	out := map[string]routetable.TargetReport{}
	for n := range table.Routes {
		route := &table.Routes[n]
		for b := range route.Backends {
			backend := &route.Backends[b]
			for _, address := range backend.Addresses {
				name := route.ID() + "/" + backend.Name
				i.report(out, name, address, routetable.TargetID(address, backend.Check))
				for c := range route.Callbacks {
					callback := &route.Callbacks[c]
					probe := "pathProbe " + name
					i.report(out, probe, address, routetable.PathProbeID(address, table.Settings.Forwarding.Scheme(), route, callback, backend))
					i.report(out, probe+"/"+callback.Name, address, routetable.PathProbeID(address, table.Settings.Forwarding.Scheme(), route, callback, backend))
				}
			}
		}
	}
	return out
}

func (i *Instance) report(out map[string]routetable.TargetReport, name, address, id string) {
	switch state := cmp.Or(i.Health[name+"@"+address], i.Health[name]); state {
	case "":
	case string(routetable.TargetHealthy), string(routetable.TargetUnmeasured):
		out[id] = routetable.TargetReport{ID: id, State: routetable.TargetState(state)}
	default:
		out[id] = routetable.TargetReport{ID: id, State: routetable.TargetUnhealthy, Reason: state}
	}
}

// Observe returns the observed state of a route.
func (s *Scenario) Observe(route *callbackv1alpha1.CallbackRoute, fleet *status.Fleet) *status.Observation {
	name := route.Namespace + "/" + route.Name
	return &status.Observation{Fleet: fleet, Since: s.since(route), Traffic: s.Traffic[name], Recent: s.Recent[name]}
}

func (s *Scenario) since(route *callbackv1alpha1.CallbackRoute) routetable.Version {
	v := Published
	if generation, given := s.Since[route.Namespace+"/"+route.Name]; given {
		v.Generation = generation
	}
	return v
}

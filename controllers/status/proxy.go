// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

// proxy.go computes the status of one CallbackProxy.

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
)

// ComputeProxy computes the whole status of a CallbackProxy.
func ComputeProxy(proxy *callbackv1alpha1.CallbackProxy, plan *compile.Plan, fleet *Fleet, now time.Time) callbackv1alpha1.CallbackProxyStatus {
	accepted := proxyAccepted(proxy, plan, &fleet.Deployed)
	programmed := proxyProgrammed(proxy, fleet)
	ready := compile.True(callbackv1alpha1.ReasonReady, "every ready instance serves the published config")
	switch {
	case !accepted.OK:
		ready = accepted
	case !programmed.OK:
		ready = programmed
	}
	set := conditionSet{generation: proxy.Generation, previous: proxy.Status.Conditions, now: now}
	set.add(callbackv1alpha1.ConditionAccepted, accepted)
	set.add(callbackv1alpha1.ConditionProgrammed, programmed)
	set.add(callbackv1alpha1.ConditionReady, ready)
	addStalled(&set)
	if suspect := clockSuspect(fleet); suspect != nil {
		set.add(callbackv1alpha1.ConditionClockSuspect, *suspect)
	}
	if suspect := forwardingSuspect(proxy, fleet, now); suspect != nil {
		set.add(callbackv1alpha1.ConditionForwardingSuspect, *suspect)
	}

	total, served := int32(len(plan.Verdicts)), int32(len(plan.Table.Routes)) //nolint:gosec // bounded by memory
	status := callbackv1alpha1.CallbackProxyStatus{
		ObservedGeneration: proxy.Generation,
		Conditions:         set.conditions,
		Routes:             &callbackv1alpha1.RouteCounts{Total: &total, Accepted: &served},
		ConfigGeneration:   fleet.Published.Generation,
		ConfigHash:         fleet.Hash,
	}
	status.Instances = instanceStatuses(fleet)
	keepLastReports(status.Instances, proxy.Status.Instances)
	return status
}

// NextProxy returns the time at which the status of a CallbackProxy changes though
// no object and no report does: it becomes Stalled, or ForwardingSuspect ends. It is
// zero when there is no such time.
func NextProxy(desired *callbackv1alpha1.CallbackProxyStatus, fleet *Fleet, now time.Time) time.Time {
	return compile.Earlier(NextStalled(desired.Conditions, now), nextForwarding(desired.Conditions, fleet))
}

// ComputeUndecodableProxy computes the status of a CallbackProxy whose spec cannot
// be decoded and to which the given number of routes refers. The published config
// and the instances stay as the previous status has them: that config still runs,
// and the controller polls no instance without a spec.
func ComputeUndecodableProxy(proxy *callbackv1alpha1.CallbackProxy, decodeError string, routes int, now time.Time) callbackv1alpha1.CallbackProxyStatus {
	const until = "until then the config that was published before stays, and the statuses of its routes are not updated"
	accepted := compile.False(callbackv1alpha1.ReasonUndecodable,
		"the stored object cannot be decoded: %s; apply it again with a value that the CRD's present schema accepts; %s", decodeError, until)
	set := conditionSet{generation: proxy.Generation, previous: proxy.Status.Conditions, now: now}
	set.add(callbackv1alpha1.ConditionAccepted, accepted)
	set.add(callbackv1alpha1.ConditionProgrammed, compile.False(callbackv1alpha1.ReasonNotAccepted,
		"no config can be compiled from a spec that cannot be decoded; %s", until))
	set.add(callbackv1alpha1.ConditionReady, accepted)
	addStalled(&set)

	status := *proxy.Status.DeepCopy()
	status.ObservedGeneration, status.Conditions = proxy.Generation, set.conditions
	total, served := int32(routes), int32(0) //nolint:gosec // bounded by memory
	if before := status.Routes; before != nil && before.Accepted != nil {
		served = min(*before.Accepted, total)
	}
	status.Routes = &callbackv1alpha1.RouteCounts{Total: &total, Accepted: &served}
	return status
}

// maxInstances is the CRD's maximum.
const maxInstances = 256

// instanceStatuses returns the instances by name. If the list has no room for all,
// it leaves out instances that run the published config first, because users
// look for the others.
func instanceStatuses(fleet *Fleet) []callbackv1alpha1.ProxyInstance {
	all := make([]callbackv1alpha1.ProxyInstance, len(fleet.Instances))
	var others, current []string
	for i := range all {
		all[i] = instanceStatus(fleet, &fleet.Instances[i])
		if all[i].State == callbackv1alpha1.InstanceCurrent {
			current = append(current, all[i].Pod)
		} else {
			others = append(others, all[i].Pod)
		}
	}
	if len(all) <= maxInstances {
		return all
	}
	kept := append(others, current...)[:maxInstances]
	return slices.DeleteFunc(all, func(i callbackv1alpha1.ProxyInstance) bool { return !slices.Contains(kept, i.Pod) })
}

func instanceStatus(fleet *Fleet, i *Instance) callbackv1alpha1.ProxyInstance {
	out := callbackv1alpha1.ProxyInstance{
		Pod:        i.Pod,
		State:      callbackv1alpha1.InstanceBehind,
		Generation: i.Report.Generation,
		Hash:       i.Report.Hash,
	}
	// The order is that of the condition Programmed: the running config comes
	// before a refusal.
	switch {
	case fleet.runs(i, fleet.Published):
		out.State = callbackv1alpha1.InstanceCurrent
	case fleet.refused(i) != nil:
		out.State = callbackv1alpha1.InstanceRefused
	case !i.Reached:
		out.State = callbackv1alpha1.InstanceUnreachable
		out.LastReportTime = timestamp(i.LastReportTime)
	}
	return out
}

// keepLastReports keeps the last report times of the previous status for
// instances that this leader never reached.
func keepLastReports(instances, before []callbackv1alpha1.ProxyInstance) {
	for n := range instances {
		i := &instances[n]
		if i.State != callbackv1alpha1.InstanceUnreachable || i.LastReportTime != nil {
			continue
		}
		if at := slices.IndexFunc(before, func(b callbackv1alpha1.ProxyInstance) bool { return b.Pod == i.Pod }); at >= 0 {
			i.LastReportTime = before[at].LastReportTime
		}
	}
}

// clockSuspect names the instances whose clocks differ from the API server's; nil
// when there is none.
func clockSuspect(fleet *Fleet) *compile.Finding {
	var pods []string
	for i := range fleet.Instances {
		if instance := &fleet.Instances[i]; instance.Reached && instance.Report.ClockSuspect {
			pods = append(pods, instance.Pod)
		}
	}
	if len(pods) == 0 {
		return nil
	}
	return new(compile.True(callbackv1alpha1.ReasonClockSuspect,
		"the clock differs from the API server's by more than one hour on: %s; sunsets there are postponed until the clocks agree; check NTP on their nodes",
		compile.Enumerate(pods)))
}

func proxyAccepted(proxy *callbackv1alpha1.CallbackProxy, plan *compile.Plan, deployed *Deployed) compile.Finding {
	if finding := deployed.accepted(proxy); finding != nil {
		return *finding
	}
	for _, host := range proxy.Spec.Hosts {
		if _, err := metav1.LabelSelectorAsSelector(host.Namespaces.Selector); err != nil {
			return compile.False(callbackv1alpha1.ReasonInvalid,
				"the selector of host %s is invalid, so no namespace may use the host: correct it: %v", host.Hostname, err)
		}
	}
	message := "the spec is valid"
	if proxy.Spec.Mode == "" {
		message += "; spec.mode is not set, so the fleet runs as mode External: set spec.mode"
	}
	if lost := describeLostHosts(plan.LostHosts); lost != "" {
		message += "; " + lost
	}
	return compile.True(callbackv1alpha1.ReasonAccepted, "%s", message)
}

// describeLostHosts names the hosts that routes use and the spec no longer grants;
// empty when there are none.
func describeLostHosts(hosts []compile.LostHost) string {
	if len(hosts) == 0 {
		return ""
	}
	lost := make([]string, len(hosts))
	for i, h := range hosts {
		lost[i] = fmt.Sprintf("%s (%s)", h.Host, plural(int64(h.Routes), "CallbackRoute"))
	}
	return "spec.hosts no longer grants hosts that routes use, so their callbacks there get 503: " + compile.Enumerate(lost) +
		"; grant the hosts again, or ask the routes' owners to delete the routes"
}

func proxyProgrammed(proxy *callbackv1alpha1.CallbackProxy, fleet *Fleet) compile.Finding {
	if finding := fleet.Deployed.programmed(); finding != nil {
		return *finding
	}
	finding := programmed(fleet, fleet.Published, wholeConfig)
	if !finding.OK {
		return finding
	}
	var elsewhere []string
	for _, i := range fleet.Instances {
		if port := i.Report.ListenerPort; port != proxy.Spec.Listener.Port {
			elsewhere = append(elsewhere, fmt.Sprintf("%s (port %d)", i.Pod, port))
		}
	}
	if len(elsewhere) == 0 {
		return finding
	}
	return compile.False(callbackv1alpha1.ReasonListenerMismatch,
		"spec.listener.port is %d, but instances listen elsewhere: %s", proxy.Spec.Listener.Port, compile.Enumerate(elsewhere))
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// Fleet is what is known about the instances of a CallbackProxy.
type Fleet struct {
	// Total counts the pods; Instances are the ready ones, by name.
	Total     int
	Instances []Instance
	// Published is the config that was published last, and Hash its hash.
	Published routetable.Version
	Hash      string
	// Deployed is what came of running them, where the operator does.
	Deployed Deployed
}

// Instance is one ready pod and what it said last. Targets holds all that it
// said of targets since it started, by their names.
type Instance struct {
	Pod     string
	Reached bool
	// LastHeard is when it answered last; zero: never.
	LastHeard time.Time
	Report    routetable.Report
	Targets   map[string]routetable.TargetReport
}

// Observed is what is known of a route besides its objects.
type Observed struct {
	Fleet *Fleet
	// Since is the version in which the route's present generation was
	// published first; it is only looked at for accepted routes.
	Since routetable.Version
	// Use is what came for it in all its life, as far as that is known.
	Use Use
}

// runs says whether the instance runs a config that holds everything
// published since a version. What it says about configs that were never
// published, after a restored backup for example, does not count: those of
// later versions, and another content under the published one.
func (f *Fleet) runs(i *Instance, since routetable.Version) bool {
	v, hash := i.Report.Version, i.Report.Hash
	return i.Reached && hash != "" && v.Compare(since) >= 0 && v.Compare(f.Published) <= 0 &&
		(v != f.Published || hash == f.Hash)
}

// refused returns the instance's refusal of the published config, or nil.
func (f *Fleet) refused(i *Instance) *routetable.Refusal {
	r := i.Report.Refused
	if !i.Reached || r == nil || r.Version != f.Published || r.Reason == routetable.RefusedOlder {
		return nil
	}
	return r
}

// RouteStatus computes the whole status of a route.
func RouteStatus(v *Verdict, o *Observed, now time.Time) callbackv1alpha1.CallbackRouteStatus {
	programmed := programmedFor(v, o.Fleet, o.Since)
	backends := backendHealth(v, o.Fleet)
	healthy := healthFinding(v, backends, o.Fleet)
	set := conditionSet{
		generation: v.Route.Generation,
		previous:   v.Route.Status.Conditions,
		now:        now,
	}
	set.add(callbackv1alpha1.ConditionAccepted, v.Accepted)
	set.add(callbackv1alpha1.ConditionResolvedRefs, v.ResolvedRefs)
	set.add(callbackv1alpha1.ConditionProgrammed, programmed)
	set.add(callbackv1alpha1.ConditionBackendsHealthy, healthy)
	set.add(callbackv1alpha1.ConditionReady, readiness(v, o, programmed, healthy, backends, now))
	status := callbackv1alpha1.CallbackRouteStatus{
		ObservedGeneration: v.Route.Generation,
		Backends:           backendStatuses(backends, &o.Use),
		Traffic:            traffic(v, &o.Use, now),
		Proxies:            counts(v, o.Fleet, o.Since),
	}
	if v.Entry != nil {
		addEnds(&set, v, &o.Use)
		status.ActiveBackend = v.Entry.Active().Name
	}
	status.Conditions = set.conditions
	return status
}

func counts(v *Verdict, fleet *Fleet, since routetable.Version) *callbackv1alpha1.ProxyCounts {
	total, ready, programmed := int32(fleet.Total), int32(len(fleet.Instances)), int32(0) //nolint:gosec // pods are far fewer
	for i := range fleet.Instances {
		if v.Accepted.OK && fleet.runs(&fleet.Instances[i], since) {
			programmed++
		}
	}
	return &callbackv1alpha1.ProxyCounts{Total: &total, Ready: &ready, Programmed: &programmed}
}

func programmedFor(v *Verdict, fleet *Fleet, since routetable.Version) Finding {
	if !v.Accepted.OK {
		return Finding{Reason: callbackv1alpha1.ReasonNotAccepted, Message: "the route is not part of the config"}
	}
	finding := programmed(fleet, since, thisGeneration)
	if finding.OK && !v.late() {
		finding.Message += ": callbacks go to backend " + v.Entry.Active().Name
	}
	return finding
}

// subject is what is acknowledged, and how much is said about a refusal: what
// a proxy says about a config may name any route in it, which is nobody's
// business but that of the CallbackProxy's owner.
type subject struct {
	name   string
	reason func(*routetable.Refusal) string
}

var (
	thisGeneration = subject{"this generation", func(r *routetable.Refusal) string { return r.Reason }}
	wholeConfig    = subject{"the published config", func(r *routetable.Refusal) string { return r.Reason + ": " + r.Message }}
)

// programmed words the acknowledgement of everything since a version. The
// message of the good case counts nothing: a fleet that scales must not
// rewrite ten thousand statuses.
func programmed(fleet *Fleet, since routetable.Version, what subject) Finding {
	if len(fleet.Instances) == 0 {
		return Finding{
			Reason: callbackv1alpha1.ReasonNoReadyInstances,
			Message: "no pod with the label " + callbackv1alpha1.ProxyLabel +
				" of this CallbackProxy is ready in its namespace: callbacks are not served",
		}
	}
	var behind, refused []string
	for i := range fleet.Instances {
		instance := &fleet.Instances[i]
		if fleet.runs(instance, since) {
			continue
		}
		switch refusal := fleet.refused(instance); {
		case refusal != nil:
			refused = append(refused, instance.Pod+" ("+what.reason(refusal)+")")
		case !instance.Reached:
			behind = append(behind, instance.Pod+" (unreachable)")
		case instance.Report.Hash != "" && instance.Report.Compare(fleet.Published) > 0:
			behind = append(behind, instance.Pod+" (runs a newer config than the published one)")
		default:
			behind = append(behind, instance.Pod)
		}
	}
	var said []string
	reason := callbackv1alpha1.ReasonPending
	if len(refused) > 0 {
		reason = callbackv1alpha1.ReasonRefusedByProxy
		said = append(said, "instances refused the config and serve their last good one: "+enumerate(refused))
	}
	if len(behind) > 0 {
		said = append(said, fmt.Sprintf("instances have not acknowledged %s yet: %s", what.name, enumerate(behind)))
	}
	if len(said) > 0 {
		return Finding{Reason: reason, Message: strings.Join(said, "; ")}
	}
	return Finding{OK: true, Reason: callbackv1alpha1.ReasonProgrammed, Message: "every ready instance runs " + what.name}
}

// readiness is the first thing that stands in the way of serving as declared.
func readiness(v *Verdict, o *Observed, programmed, healthy Finding, backends []backendState, now time.Time) Finding {
	switch {
	case !v.Accepted.OK:
		return v.Accepted
	case v.late():
		passed := sunsetPassed(v, &o.Use, now)
		passed.OK = false
		return passed
	case !v.ResolvedRefs.OK:
		return v.ResolvedRefs
	case !programmed.OK:
		return programmed
	case !isServed(v, backends):
		return healthy
	}
	return Finding{OK: true, Reason: callbackv1alpha1.ReasonReady, Message: "callbacks are served as declared"}
}

// conditionSet collects conditions. A condition whose status did not change
// keeps its transition time.
type conditionSet struct {
	generation int64
	previous   []metav1.Condition
	now        time.Time
	conditions []metav1.Condition
}

func (s *conditionSet) add(kind string, f Finding) {
	condition := metav1.Condition{
		Type:               kind,
		Status:             metav1.ConditionFalse,
		ObservedGeneration: s.generation,
		LastTransitionTime: metav1.NewTime(s.now.UTC().Truncate(time.Second)),
		Reason:             f.Reason,
		Message:            bounded(f.Message),
	}
	switch {
	case f.OK:
		condition.Status = metav1.ConditionTrue
	case f.Unknown:
		condition.Status = metav1.ConditionUnknown
	}
	at := slices.IndexFunc(s.previous, func(c metav1.Condition) bool { return c.Type == kind })
	if at >= 0 && s.previous[at].Status == condition.Status {
		condition.LastTransitionTime = s.previous[at].LastTransitionTime
	}
	s.conditions = append(s.conditions, condition)
}

// bounded keeps a message within what the API accepts, and within what it
// stores as it is sent: one that came back changed would be written for ever.
func bounded(message string) string {
	const most = 4096
	return strings.ToValidUTF8(message[:min(len(message), most)], "")
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

// fleet.go judges the reports of instances: which config they run, and which one
// they refused.

import (
	"fmt"
	"strings"
	"time"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// Fleet is the observed state of the instances of a CallbackProxy.
type Fleet struct {
	// Total counts the pods. Instances are the ready ones, by name.
	Total     int
	Instances []Instance
	// Published is the version of the config that was published last, and Hash
	// its hash.
	Published routetable.Version
	Hash      string
	// Scheme is the one that the published config declares for callbacks.
	Scheme string
	// Deployed is the result of deploying the instances in mode Deployment.
	Deployed Deployed
}

// Instance is one ready pod and its last report.
type Instance struct {
	Pod     string
	Reached bool
	// LastReportTime is the time of the last report; zero without one.
	LastReportTime time.Time
	Report         routetable.Report
	// Targets holds the reported health of every target since the instance
	// started, by the target's ID.
	Targets map[string]routetable.TargetReport
}

// runs reports whether the instance runs a config that includes everything that
// was published since a version. A report of a config that was never published
// does not count: a later version, or other content under the published version.
// Both exist after a backup was restored.
func (f *Fleet) runs(i *Instance, since routetable.Version) bool {
	v, hash := i.Report.Version, i.Report.Hash
	return i.Reached && hash != "" && v.Compare(since) >= 0 && v.Compare(f.Published) <= 0 &&
		(v != f.Published || hash == f.Hash)
}

// refused returns the instance's refusal of the published config; nil when it
// did not refuse it.
func (f *Fleet) refused(i *Instance) *routetable.Refusal {
	r := i.Report.Refused
	if !i.Reached || r == nil || r.Version != f.Published || r.Reason == routetable.RefusedOlder {
		return nil
	}
	return r
}

// subject is the thing that instances acknowledge, and the part of a refusal that
// a message repeats. A refusal may name any route of the config, so only the
// owner of the CallbackProxy reads its message.
type subject struct {
	name   string
	reason func(*routetable.Refusal) string
}

var (
	thisGeneration = subject{"this generation", func(r *routetable.Refusal) string { return r.Reason }}
	wholeConfig    = subject{"the published config", func(r *routetable.Refusal) string { return r.Reason + ": " + r.Message }}
)

// programmed computes the condition Programmed of everything since a version.
// The message of the good case counts nothing, so scaling a fleet does not
// rewrite the statuses of all its routes.
func programmed(fleet *Fleet, since routetable.Version, what subject) compile.Finding {
	if len(fleet.Instances) == 0 {
		return compile.False(callbackv1alpha1.ReasonNoReadyInstances,
			"no pod with the label %s of this CallbackProxy is ready in its namespace, so callbacks are not served", callbackv1alpha1.ProxyLabel)
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
	var problems []string
	reason := callbackv1alpha1.ReasonPending
	if len(refused) > 0 {
		reason = callbackv1alpha1.ReasonRefusedByProxy
		problems = append(problems, "instances refused the config and serve their last good one: "+compile.Enumerate(refused))
	}
	if len(behind) > 0 {
		problems = append(problems, fmt.Sprintf("instances have not acknowledged %s yet: %s", what.name, compile.Enumerate(behind)))
	}
	if len(problems) > 0 {
		return compile.False(reason, "%s", strings.Join(problems, "; "))
	}
	return compile.True(callbackv1alpha1.ReasonProgrammed, "every ready instance runs %s", what.name)
}

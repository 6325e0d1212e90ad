// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

// This file keeps the last report of one instance, and applies the changes of
// the next one to it. Pure.

import (
	"context"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const (
	// maxMisses is how many failed polls in a row leave the last report of an
	// instance standing: one lost packet changes no status.
	maxMisses = 2
	// maxEntries bounds what is kept of one instance, of each kind: more than any
	// fleet has, and little enough for a compromised instance.
	maxEntries = 50_000
)

// instance is the last report of one pod. It lives as long as the pod, ready or
// not, because the counts of the process go on.
type instance struct {
	pod  Pod
	stop context.CancelFunc // of its loop; nil without one
	wake chan struct{}

	// polled is true once a poll ended, misses counts the polls that failed since
	// the last report, which came at reportTime.
	polled     bool
	misses     int
	reportTime time.Time
	report     routetable.Report // without Targets and Routes
	entries    entries
	// listing is the full list of which pages are outstanding; nil without one.
	listing *entries
	// inherited is true until the first full list of a pod that an earlier
	// leadership may have polled: its counts may be part of the status.
	inherited bool
}

// entries are what an instance reported of targets and routes.
type entries struct {
	// targets is never changed, only replaced: passes hold on to it.
	targets map[string]routetable.TargetReport
	routes  map[types.UID]routetable.RouteUse
}

// summary is the part of an instance's state of which each change needs a pass
// at once.
type summary struct {
	polled, reachable, suspect bool
	version                    routetable.Version
	hash                       string
	listenerPort               int32
	refused                    routetable.Refusal
}

func (i *instance) summary() summary {
	s := summary{
		polled: i.polled, reachable: i.isReachable(), suspect: i.report.ClockSuspect,
		version: i.report.Version, hash: i.report.Hash, listenerPort: i.report.ListenerPort,
	}
	if i.report.Refused != nil {
		s.refused = *i.report.Refused
	}
	return s
}

// isPolled returns whether the instance is polled: while it is ready, and later,
// as it may be terminating, as long as it responds.
func (i *instance) isPolled() bool {
	return i.pod.Address != "" && (i.pod.Ready || i.report.Boot != "" && i.misses <= maxMisses)
}

func (i *instance) isReachable() bool {
	return i.polled && i.misses <= maxMisses && i.report.ListenerPort != 0
}

func (i *instance) runs(v routetable.Version) bool { return i.isReachable() && i.report.Version == v }

// isAwaited returns whether the first poll of a ready instance is outstanding.
func (i *instance) isAwaited() bool { return i.pod.Ready && i.pod.Address != "" && !i.polled }

// observed returns the instance as the statuses see it.
func (i *instance) observed() status.Instance {
	return status.Instance{
		Pod: i.pod.Name, Reached: i.isReachable(), LastReportTime: i.reportTime,
		Report: i.report, Targets: i.entries.targets,
	}
}

// recordFailure records a poll without a report.
func (i *instance) recordFailure() {
	i.polled = true
	i.misses++
}

// recordReport applies a report, and adds what it counted to the counters. It
// returns whether the health of a target or a count changed.
func (i *instance) recordReport(r *routetable.Report, counters counters, now time.Time) (health, traffic bool) {
	if i.report.Boot != "" && r.Boot != i.report.Boot {
		health = len(i.entries.targets) > 0
		i.entries, i.listing, i.inherited = entries{}, nil, false
	}
	if r.Full {
		i.listing = &entries{}
	}
	traffic = i.recordRoutes(r.Routes, counters, now)
	health = i.recordTargets(r.Targets) || health
	if i.listing != nil && !r.More {
		health = health || !maps.Equal(i.listing.targets, i.entries.targets)
		i.entries, i.listing, i.inherited = *i.listing, nil, false
	}
	i.polled, i.misses, i.reportTime = true, 0, now
	r.Forwarding.LastMost = earlier(r.Forwarding.LastMost, now)
	i.report = *r
	i.report.Targets, i.report.Routes = nil, nil
	return health, traffic
}

// recordTargets returns whether the health of a target changed. The changes of a
// full list count when the list is complete.
func (i *instance) recordTargets(reports []routetable.TargetReport) (changed bool) {
	into := &i.entries
	if i.listing != nil {
		into = i.listing
	}
	if len(reports) == 0 {
		return false
	}
	targets := maps.Clone(into.targets)
	if targets == nil {
		targets = make(map[string]routetable.TargetReport, len(reports))
	}
	for _, report := range reports {
		before, known := targets[report.ID]
		switch {
		case report.Gone:
			delete(targets, report.ID)
			changed = changed || known
		case before != report && (known || len(targets) < maxEntries):
			targets[report.ID] = report
			changed = true
		}
	}
	into.targets = targets
	return changed && i.listing == nil
}

// recordRoutes adds the increase of each route's counts to the counters, and
// returns whether there was any.
func (i *instance) recordRoutes(reports []routetable.RouteUse, counters counters, now time.Time) (changed bool) {
	into := &i.entries
	if i.listing != nil {
		into = i.listing
	}
	if into.routes == nil && len(reports) > 0 {
		into.routes = make(map[types.UID]routetable.RouteUse, len(reports))
	}
	for _, report := range reports {
		uid := types.UID(report.UID)
		last, known := into.routes[uid]
		if !known && i.listing != nil {
			last = i.entries.routes[uid]
		}
		switch {
		case report.Gone:
			delete(into.routes, uid)
			delete(i.entries.routes, uid)
			continue
		case !known && len(into.routes) >= maxEntries:
			continue
		}
		limitTimes(&report, now)
		into.routes[uid] = report
		if i.inherited {
			counters.add(uid, nil, &report)
		} else {
			counters.add(uid, &last, &report)
		}
		changed = true
	}
	return changed
}

// limitTimes keeps an instance whose clock is ahead from reporting requests of the
// future.
func limitTimes(u *routetable.RouteUse, now time.Time) {
	u.Last, u.LastRefused, u.LastLoop = earlier(u.Last, now), earlier(u.LastRefused, now), earlier(u.LastLoop, now)
	for i := range u.Backends {
		b := &u.Backends[i]
		b.Last, b.LastSuccess = earlier(b.Last, now), earlier(b.LastSuccess, now)
		for n := range b.Failures {
			b.Failures[n].Time = earlier(b.Failures[n].Time, now)
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

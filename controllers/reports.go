// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// maxKept bounds what is kept of one instance's words, of each kind: more than
// any fleet has, and little enough for one that lies.
const maxKept = 50_000

// instance is what is known of one pod.
type instance struct {
	target Target
	// asking is closed when the question under way is answered; nil: there is
	// none.
	asking <-chan struct{}
	asked  bool
	misses int
	heard  time.Time
	report routetable.Report // the last one, without its Targets and Routes
	// scoped is the version up to which targets holds nothing that left it.
	scoped routetable.Version
	// targets is never changed, only replaced: passes hold on to it.
	targets map[string]routetable.TargetReport
	uses    map[types.UID]routetable.RouteUse
	// before is what it had counted of which the status may know already: when
	// an earlier leadership may have read it, or the route was gone meanwhile.
	before map[types.UID]routetable.RouteUse
	// inherited is true until it has told all that an earlier leadership may
	// have read, late once the first pass did without it, leaving while something
	// is set aside for a route that is gone.
	inherited, late, leaving bool
}

// meet brings what is known of the pod itself up to date, and reports whether
// it has to be asked anew.
func (i *instance) meet(target Target) (anew bool) {
	was := i.target
	i.target = target
	if target.Address != was.Address {
		i.asking = nil // nobody waits for an answer from there
	}
	if target.Address == was.Address && (was.Ready || !target.Ready) {
		return false
	}
	// Its last word is too old to stand for it.
	i.asked, i.misses = false, missesAllowed
	return target.Address != ""
}

// canBeAsked says whether it is asked: every ready one, and the others, which
// may be ending, as long as they answer.
func (i *instance) canBeAsked() bool {
	return i.target.Address != "" && (i.target.Ready || i.report.Boot != "" && i.misses <= missesAllowed)
}

func (i *instance) reached() bool {
	return i.asked && i.misses <= missesAllowed && i.report.ListenerPort != 0
}

func (i *instance) runs(v routetable.Version) bool { return i.reached() && i.report.Version == v }

// words is one report, all its parts together, in which only what changed
// since the last one is told.
type words struct {
	report  routetable.Report // More is true when the rest has to be asked for
	targets []routetable.TargetReport
	routes  []routetable.RouteUse
}

// hear keeps what an instance said. It returns whether it sees backends
// otherwise than before, whether anything came for routes, and what it had
// counted and counts anew: everything after a restart of the process, and what
// concerns a route or a backend that had left its config and is back.
func (i *instance) hear(w *words, now time.Time) (health, use bool, ended []routetable.RouteUse) {
	if i.report.Boot != "" && w.report.Boot != i.report.Boot {
		ended = slices.Collect(maps.Values(i.counted()))
		health = len(i.targets) > 0
		i.targets, i.uses, i.before, i.inherited = nil, nil, nil, false
	}
	i.asked, i.misses, i.heard, i.report = true, 0, now, w.report
	health = i.see(w.targets) || health
	for _, u := range w.routes {
		if old, again := i.count(u, now); again {
			ended = append(ended, old)
		}
	}
	i.inherited = i.inherited && w.report.More
	return health, len(w.routes) > 0, ended
}

// see keeps what it says of targets, and reports whether that is new.
func (i *instance) see(told []routetable.TargetReport) (health bool) {
	var targets map[string]routetable.TargetReport
	for _, t := range told {
		was, known := i.targets[t.ID]
		if known && was == t && targets == nil {
			continue
		}
		if targets == nil {
			if targets = maps.Clone(i.targets); targets == nil {
				targets = make(map[string]routetable.TargetReport, len(told))
			}
		}
		if known || len(targets) < maxKept {
			targets[t.ID] = t
		}
	}
	if targets == nil {
		return false
	}
	i.targets = targets
	return true
}

// count keeps what came for one route. When the instance counts anew for it, or
// for a backend of it, it returns what had been counted before.
func (i *instance) count(u routetable.RouteUse, now time.Time) (ended routetable.RouteUse, again bool) {
	uid := types.UID(u.UID)
	old, known := i.uses[uid]
	if !known && len(i.uses) >= maxKept {
		return ended, false
	}
	u.Last = earlier(u.Last, now)
	for n := range u.Backends {
		u.Backends[n].Last = earlier(u.Backends[n].Last, now)
	}
	if i.uses == nil {
		i.uses = map[types.UID]routetable.RouteUse{}
	}
	i.uses[uid] = u
	switch {
	case !known:
		if i.inherited && i.late {
			// It was silent when the first pass asked: what it counted may be part
			// of what the status says already.
			i.know(u)
		}
		return ended, false
	case fell(old, u):
		ended = less(old, i.before[uid])
		delete(i.before, uid)
		return ended, true
	}
	return i.countBackends(old, u)
}

// countBackends returns what had been counted of the backends that are gone, or
// are back and counted anew. What came for the route is no less for it.
func (i *instance) countBackends(old, u routetable.RouteUse) (ended routetable.RouteUse, again bool) {
	var gone map[string]struct{}
	for _, b := range old.Backends {
		if !slices.ContainsFunc(u.Backends, func(a routetable.BackendUse) bool { return a.Name == b.Name && a.Callbacks >= b.Callbacks }) {
			if gone == nil {
				gone = map[string]struct{}{}
			}
			gone[b.Name] = struct{}{}
		}
	}
	if gone == nil {
		return ended, false
	}
	isGone := func(b routetable.BackendUse) bool { _, is := gone[b.Name]; return is }
	uid := types.UID(u.UID)
	known := i.before[uid]
	ended.UID = u.UID
	for _, b := range less(old, known).Backends {
		if isGone(b) {
			ended.Backends = append(ended.Backends, b)
		}
	}
	if len(known.Backends) > 0 {
		known.Backends = slices.DeleteFunc(slices.Clone(known.Backends), isGone)
		i.before[uid] = known
	}
	return ended, true
}

// know notes that what was counted for a route is known already.
func (i *instance) know(u routetable.RouteUse) {
	if i.before == nil {
		i.before = map[types.UID]routetable.RouteUse{}
	}
	i.before[types.UID(u.UID)] = u
}

// fell says whether an instance counts anew for a route. What it counted of a
// backend says nothing of that: one that left the route takes it along.
func fell(before, after routetable.RouteUse) bool {
	return after.Callbacks < before.Callbacks || after.AfterSunset < before.AfterSunset ||
		after.Other < before.Other || after.Refused < before.Refused
}

// counted is what the instance counted and no earlier leadership can have read.
func (i *instance) counted() map[types.UID]routetable.RouteUse {
	if i.before == nil {
		return i.uses
	}
	counted := make(map[types.UID]routetable.RouteUse, len(i.uses))
	for uid, u := range i.uses {
		counted[uid] = less(u, i.before[uid])
	}
	return counted
}

// less takes away what is known already.
func less(u, known routetable.RouteUse) routetable.RouteUse {
	u.Callbacks -= min(u.Callbacks, known.Callbacks)
	u.AfterSunset -= min(u.AfterSunset, known.AfterSunset)
	u.Other -= min(u.Other, known.Other)
	u.Refused -= min(u.Refused, known.Refused)
	backends := make([]routetable.BackendUse, len(u.Backends))
	for i, b := range u.Backends {
		for _, k := range known.Backends {
			if k.Name == b.Name {
				b.Callbacks -= min(b.Callbacks, k.Callbacks)
			}
		}
		backends[i] = b
	}
	u.Backends = backends
	return u
}

// plus adds what one instance counted to a sum.
func plus(sum *status.Traffic, u routetable.RouteUse) {
	sum.Callbacks += u.Callbacks
	sum.AfterSunset += u.AfterSunset
	sum.Other += u.Other
	sum.Refused += u.Refused
	sum.Last = later(sum.Last, u.Last)
	for _, b := range u.Backends {
		if sum.Backends == nil {
			sum.Backends = make(map[string]status.BackendTraffic, len(u.Backends))
		}
		was := sum.Backends[b.Name]
		sum.Backends[b.Name] = status.BackendTraffic{Callbacks: was.Callbacks + b.Callbacks, Last: later(was.Last, b.Last)}
	}
}

// earlier keeps an instance whose clock is ahead from telling of the future.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// tally adds up what came for the routes of one fleet, over the lives of its
// instances and of leaderships. What a leadership finds in a status when it
// begins is what the ones before counted; instances count on from their own
// start and not from there, so it keeps the difference:
//
//	total = base + what the instances counted + what those counted that are gone
//	base  = max(0, stored - what the instances had counted when it began)
//
// So nothing is counted twice, and only what nobody read can be missing.
type tally struct {
	base map[types.UID]status.Traffic
}

// total returns what came for a route in all its life. counted is what the
// instances of this leadership counted, stored what the status holds.
func (t *tally) total(uid types.UID, counted, stored status.Traffic) status.Traffic {
	base, known := t.base[uid]
	if !known {
		base = difference(stored, counted)
		if t.base == nil {
			t.base = map[types.UID]status.Traffic{}
		}
		t.base[uid] = base
	}
	return sum(base, counted)
}

// keep forgets the routes that are gone.
func (t *tally) keep(alive map[types.UID]struct{}) {
	maps.DeleteFunc(t.base, func(uid types.UID, _ status.Traffic) bool {
		_, is := alive[uid]
		return !is
	})
}

func difference(stored, counted status.Traffic) status.Traffic {
	out := status.Traffic{
		Last:        stored.Last,
		Callbacks:   max(0, stored.Callbacks-counted.Callbacks),
		AfterSunset: max(0, stored.AfterSunset-counted.AfterSunset),
		Other:       max(0, stored.Other-counted.Other),
		Refused:     max(0, stored.Refused-counted.Refused),
	}
	for name, s := range stored.Backends {
		if out.Backends == nil {
			out.Backends = make(map[string]status.BackendTraffic, len(stored.Backends))
		}
		out.Backends[name] = status.BackendTraffic{Callbacks: max(0, s.Callbacks-counted.Backends[name].Callbacks), Last: s.Last}
	}
	return out
}

func sum(a, b status.Traffic) status.Traffic {
	out := status.Traffic{
		Last:        later(a.Last, b.Last),
		Callbacks:   a.Callbacks + b.Callbacks,
		AfterSunset: a.AfterSunset + b.AfterSunset,
		Other:       a.Other + b.Other,
		Refused:     a.Refused + b.Refused,
	}
	if len(a.Backends)+len(b.Backends) > 0 {
		out.Backends = maps.Clone(a.Backends)
		if out.Backends == nil {
			out.Backends = make(map[string]status.BackendTraffic, len(b.Backends))
		}
		for name, more := range b.Backends {
			was := out.Backends[name]
			out.Backends[name] = status.BackendTraffic{Callbacks: was.Callbacks + more.Callbacks, Last: later(was.Last, more.Last)}
		}
	}
	return out
}

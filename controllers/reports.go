// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// maxKept bounds what is kept of one instance's words, of each kind: more than
// any fleet has, and little enough for one that lies.
const maxKept = 50_000

// instance is what is known of one ready pod.
type instance struct {
	target Target
	asked  bool
	misses int
	heard  time.Time
	report routetable.Report // the last one, without its Targets and Routes
	// targets is never changed, only replaced: passes hold on to it.
	targets map[string]routetable.TargetReport
	uses    map[types.UID]routetable.RouteUse
	// before is what it had counted when it was heard of first, if an earlier
	// leadership may have read that already.
	before map[types.UID]routetable.RouteUse
}

func (i *instance) reached() bool {
	return i.asked && i.misses <= missesAllowed && i.report.ListenerPort != 0
}

// words is one report, all its parts together, in which only what changed
// since the last one is told.
type words struct {
	report  routetable.Report
	targets []routetable.TargetReport
	routes  []routetable.RouteUse
}

// hear keeps what an instance said. It returns whether it sees backends
// otherwise than before, whether anything came for routes, and what it had
// counted and counts anew: everything after a restart of the process, and what
// concerns a route that had left its config and is back.
func (i *instance) hear(w *words, now time.Time) (health, use bool, ended map[types.UID]routetable.RouteUse) {
	if i.report.Boot != "" && w.report.Boot != i.report.Boot {
		ended = i.counted()
		health = len(i.targets) > 0
		i.targets, i.uses, i.before = nil, nil, nil
	}
	i.asked, i.misses, i.heard, i.report = true, 0, now, w.report
	if len(w.targets) > 0 {
		health = true
		targets := maps.Clone(i.targets)
		if targets == nil {
			targets = make(map[string]routetable.TargetReport, len(w.targets))
		}
		for _, t := range w.targets {
			if _, known := targets[t.ID]; known || len(targets) < maxKept {
				targets[t.ID] = t
			}
		}
		i.targets = targets
	}
	for _, u := range w.routes {
		if old, again := i.count(u, now); again {
			if ended == nil {
				ended = map[types.UID]routetable.RouteUse{}
			}
			ended[types.UID(u.UID)] = old
		}
	}
	return health, len(w.routes) > 0, ended
}

// count keeps what came for one route. When the instance counts anew for it,
// it returns what had been counted before.
func (i *instance) count(u routetable.RouteUse, now time.Time) (before routetable.RouteUse, again bool) {
	uid := types.UID(u.UID)
	old, known := i.uses[uid]
	if !known && len(i.uses) >= maxKept {
		return before, false
	}
	u.Last = earlier(u.Last, now)
	for n := range u.Backends {
		u.Backends[n].Last = earlier(u.Backends[n].Last, now)
	}
	if i.uses == nil {
		i.uses = map[types.UID]routetable.RouteUse{}
	}
	i.uses[uid] = u
	if !known || !fell(old, u) {
		return before, false
	}
	before = less(old, i.before[uid])
	delete(i.before, uid)
	return before, true
}

// fell says whether an instance counts anew for a route.
func fell(before, after routetable.RouteUse) bool {
	if after.Callbacks < before.Callbacks || after.AfterSunset < before.AfterSunset ||
		after.Other < before.Other || after.Refused < before.Refused {
		return true
	}
	for _, b := range before.Backends {
		if !slices.ContainsFunc(after.Backends, func(a routetable.BackendUse) bool { return a.Name == b.Name && a.Callbacks >= b.Callbacks }) {
			return true
		}
	}
	return false
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
func plus(sum *compile.Use, u routetable.RouteUse) {
	sum.Callbacks += u.Callbacks
	sum.AfterSunset += u.AfterSunset
	sum.Other += u.Other
	sum.Refused += u.Refused
	sum.Last = later(sum.Last, u.Last)
	for _, b := range u.Backends {
		if sum.Backends == nil {
			sum.Backends = make(map[string]compile.BackendUse, len(u.Backends))
		}
		was := sum.Backends[b.Name]
		sum.Backends[b.Name] = compile.BackendUse{Callbacks: was.Callbacks + b.Callbacks, Last: later(was.Last, b.Last)}
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
	base map[types.UID]compile.Use
}

// total returns what came for a route in all its life. counted is what the
// instances of this leadership counted, stored what the status holds.
func (t *tally) total(uid types.UID, counted, stored compile.Use) compile.Use {
	base, known := t.base[uid]
	if !known {
		base = difference(stored, counted)
		if t.base == nil {
			t.base = map[types.UID]compile.Use{}
		}
		t.base[uid] = base
	}
	return sum(base, counted)
}

// keep forgets the routes that are gone.
func (t *tally) keep(alive map[types.UID]struct{}) {
	maps.DeleteFunc(t.base, func(uid types.UID, _ compile.Use) bool {
		_, is := alive[uid]
		return !is
	})
}

func difference(stored, counted compile.Use) compile.Use {
	out := compile.Use{
		Last:        stored.Last,
		Callbacks:   max(0, stored.Callbacks-counted.Callbacks),
		AfterSunset: max(0, stored.AfterSunset-counted.AfterSunset),
		Other:       max(0, stored.Other-counted.Other),
		Refused:     max(0, stored.Refused-counted.Refused),
	}
	for name, s := range stored.Backends {
		if out.Backends == nil {
			out.Backends = make(map[string]compile.BackendUse, len(stored.Backends))
		}
		out.Backends[name] = compile.BackendUse{Callbacks: max(0, s.Callbacks-counted.Backends[name].Callbacks), Last: s.Last}
	}
	return out
}

func sum(a, b compile.Use) compile.Use {
	out := compile.Use{
		Last:        later(a.Last, b.Last),
		Callbacks:   a.Callbacks + b.Callbacks,
		AfterSunset: a.AfterSunset + b.AfterSunset,
		Other:       a.Other + b.Other,
		Refused:     a.Refused + b.Refused,
	}
	if len(a.Backends)+len(b.Backends) > 0 {
		out.Backends = maps.Clone(a.Backends)
		if out.Backends == nil {
			out.Backends = make(map[string]compile.BackendUse, len(b.Backends))
		}
		for name, more := range b.Backends {
			was := out.Backends[name]
			out.Backends[name] = compile.BackendUse{Callbacks: was.Callbacks + more.Callbacks, Last: later(was.Last, more.Last)}
		}
	}
	return out
}

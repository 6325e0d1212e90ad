// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// scope is what a published version names. An instance forgets what it knows of
// anything else when it adopts the version, and so is what it said forgotten
// here, once it says that it did. A version that an instance never ran is no
// reason to forget anything, on neither side.
type scope struct {
	version routetable.Version
	targets map[string]struct{}
	routes  map[types.UID]struct{}
}

func scopeOf(version routetable.Version, table *routetable.Table) scope {
	s := scope{version: version, targets: status.TargetIDs(table), routes: make(map[types.UID]struct{}, len(table.Routes))}
	for i := range table.Routes {
		s.routes[types.UID(table.Routes[i].UID)] = struct{}{}
	}
	return s
}

// enter goes over to the scope of a newly published version, and remembers
// which targets come with it: should an instance have said something of one, it
// was about an earlier life of it. The first scope of a leadership is no news of
// anything.
func (f *fleet) enter(next scope) {
	before := f.scope
	f.scope = next
	if before.targets == nil {
		return
	}
	maps.DeleteFunc(f.entered, func(_ string, at routetable.Version) bool {
		for _, i := range f.instances {
			if len(i.targets) > 0 && i.scoped.Compare(at) < 0 {
				return false
			}
		}
		return true
	})
	for id := range next.targets {
		if _, stays := before.targets[id]; !stays {
			f.entered[id] = next.version
		}
	}
	if len(f.entered) > maxKept {
		clear(f.entered)
		f.blurred = next.version
	}
}

// filter takes out what the instance said of routes that are gone, and of
// targets that the version it runs does not name. The caller holds the lock.
func (f *fleet) filter(told *words) {
	if f.alive != nil {
		told.routes = slices.DeleteFunc(slices.Clone(told.routes), func(u routetable.RouteUse) bool {
			_, is := f.alive[types.UID(u.UID)]
			return !is
		})
	}
	if f.scope.targets != nil && told.report.Version == f.scope.version {
		told.targets = slices.DeleteFunc(slices.Clone(told.targets), func(t routetable.TargetReport) bool {
			_, is := f.scope.targets[t.ID]
			return !is
		})
	}
}

// lapse forgets what an instance said of targets that left its config on the way
// to the version that it runs now. Where one is back by then, the instance may
// have skipped the versions without it, and know it still: then it has to be
// asked for everything again. The caller holds the lock.
func (f *fleet) lapse(i *instance, report *routetable.Report) (again bool) {
	from, to := i.scoped, report.Version
	switch {
	case report.Boot != i.report.Boot: // it says everything anew
		i.scoped = to
		return false
	case to.Compare(from) <= 0, to.Compare(f.scope.version) > 0:
		return false
	}
	i.scoped = to
	passed := func(at routetable.Version) bool { return at.Compare(from) > 0 && at.Compare(to) <= 0 }
	blurred := passed(f.blurred)
	kept := make(map[string]routetable.TargetReport, len(i.targets))
	for id, report := range i.targets {
		_, named := f.scope.targets[id]
		switch at, entered := f.entered[id]; {
		case to == f.scope.version && !named:
		case blurred, entered && passed(at):
			again = true
		default:
			kept[id] = report
		}
	}
	if len(kept) < len(i.targets) {
		i.targets = kept
	}
	return again
}

// keep forgets what was counted for routes that are gone. What an instance
// counted is only set aside, until it says that it forgot it too: should the
// route come back before, it counts on from there. The caller holds the lock.
func (f *fleet) keep(alive map[types.UID]struct{}) {
	f.alive = alive
	maps.DeleteFunc(f.retired, func(uid types.UID, _ status.Traffic) bool { _, is := alive[uid]; return !is })
	for _, i := range f.instances {
		for uid, u := range i.uses {
			if _, is := alive[uid]; !is {
				i.know(u)
				i.leaving = true
			}
		}
		f.bury(i)
	}
}

// bury drops what was set aside of an instance that runs a version without it.
// The caller holds the lock.
func (f *fleet) bury(i *instance) {
	if !i.leaving || i.report.Version != f.scope.version {
		return
	}
	i.leaving = false
	for uid := range i.uses {
		_, is := f.alive[uid]
		_, served := f.scope.routes[uid]
		switch {
		case is:
		case served:
			i.leaving = true
		default:
			delete(i.uses, uid)
			delete(i.before, uid)
		}
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// fleet is what is known of one fleet.
type fleet struct {
	run  context.Context // of its loop; nil without one
	stop context.CancelFunc
	// wake is signalled when what is wanted of the fleet changed, settled is
	// closed once every instance runs it.
	wake      chan struct{}
	settled   chan struct{}
	wanted    routetable.Version
	instances map[types.UID]*instance // nil before the first pass
	// scope is what the config published last names, entered which of its
	// targets an earlier one did not, and since which version. What came with
	// the blurred version and before is not known any more.
	scope   scope
	entered map[string]routetable.Version
	blurred routetable.Version
	// alive are its routes; nil: not known yet.
	alive map[types.UID]struct{}
	// collecting is how many wait for answers now and judge them then.
	collecting int
	// retired is what instances counted that are gone.
	retired map[types.UID]status.Traffic
	// told is what the last pass was told; nil while the first one asks.
	told []status.Instance
	// health and use say that there is news of backends and of callbacks that
	// no pass was told; usedAt is when the last pass was asked for because of
	// callbacks.
	health, use bool
	usedAt      time.Time
}

func newFleet() *fleet {
	return &fleet{
		wake: make(chan struct{}, 1), settled: make(chan struct{}),
		entered: map[string]routetable.Version{}, retired: map[types.UID]status.Traffic{},
	}
}

// meet brings the fleet's pods up to date, and reports whether there is one that
// has to be asked. What is known of a pod lives as long as the pod, ready or
// not: it counts on where it was. The caller holds the lock.
func (f *fleet) meet(targets []Target) (news bool) {
	first := f.instances == nil
	if first {
		f.instances = make(map[types.UID]*instance, len(targets))
	}
	there := make(map[types.UID]struct{}, len(targets))
	for _, target := range targets {
		there[target.UID] = struct{}{}
		i := f.instances[target.UID]
		if i == nil {
			// A pod that an earlier leadership may have asked.
			i = &instance{inherited: first}
			f.instances[target.UID] = i
		}
		news = i.meet(target) || news
	}
	for uid, i := range f.instances {
		if _, is := there[uid]; !is {
			i.asking = nil // whatever it answers
			f.retire(maps.Values(i.counted()))
			delete(f.instances, uid)
		}
	}
	return news
}

// retire adds what was counted by somebody who counts no more. The caller
// holds the lock.
func (f *fleet) retire(uses iter.Seq[routetable.RouteUse]) {
	for u := range uses {
		uid := types.UID(u.UID)
		sum := f.retired[uid]
		sum.Backends = maps.Clone(sum.Backends) // a pass may hold on to it
		plus(&sum, u)
		f.retired[uid] = sum
	}
}

// counted adds up what was counted for each route. The caller holds the lock.
func (f *fleet) counted() map[types.UID]status.Traffic {
	total := make(map[types.UID]status.Traffic, len(f.retired))
	for uid, use := range f.retired {
		use.Backends = maps.Clone(use.Backends)
		total[uid] = use
	}
	for _, i := range f.instances {
		for uid, u := range i.counted() {
			use := total[uid]
			plus(&use, u)
			total[uid] = use
		}
	}
	return total
}

// list returns the ready instances by name. The caller holds the lock.
func (f *fleet) list() []status.Instance {
	out := make([]status.Instance, 0, len(f.instances))
	for _, i := range f.instances {
		if !i.target.Ready {
			continue
		}
		out = append(out, status.Instance{
			Pod: i.target.Pod, Reached: i.reached(), LastReportTime: i.heard, Report: i.report, Targets: i.targets,
		})
	}
	slices.SortFunc(out, compareInstances)
	return out
}

// news says whether a pass should look at what the instances said: at once at
// what they run and see, now and then at what came for routes. It takes the
// news as told. The caller holds the lock.
func (f *fleet) news(now time.Time) bool {
	if f.told == nil {
		return false
	}
	said := f.list()
	use := f.use && now.Sub(f.usedAt) >= useInterval
	if !f.health && !use && slices.EqualFunc(f.told, said, sameWord) {
		return false
	}
	f.told, f.health = said, false
	if use {
		f.use, f.usedAt = false, now
	}
	return true
}

// isReached says whether every ready instance answered lately. The caller holds the
// lock.
func (f *fleet) isReached() bool {
	for _, i := range f.instances {
		if i.target.Ready && !i.reached() {
			return false
		}
	}
	return true
}

// settle says that every instance runs what is wanted. The caller holds the
// lock.
func (f *fleet) settle() {
	select {
	case <-f.settled:
	default:
		close(f.settled)
	}
}

// current says whether every ready instance runs what is wanted. The caller holds
// the lock.
func (f *fleet) current() bool {
	for _, i := range f.instances {
		if i.target.Ready && !i.runs(f.wanted) {
			return false
		}
	}
	return true
}

// behind says whether asking again soon may find that an instance runs what is
// wanted. The caller holds the lock.
func (f *fleet) behind() bool {
	for _, i := range f.instances {
		if i.target.Ready && i.canBeAsked() && !i.runs(f.wanted) {
			return true
		}
	}
	return false
}

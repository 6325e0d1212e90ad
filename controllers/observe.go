// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/event"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const (
	// steadyInterval is the time between two rounds while every instance
	// runs the published config.
	steadyInterval = 2 * time.Second
	// firstInterval is the time between the first two rounds after a change;
	// it doubles up to urgentInterval until every instance acknowledged.
	firstInterval  = 20 * time.Millisecond
	urgentInterval = 500 * time.Millisecond
	// missesAllowed is how many failed requests in a row leave an instance's
	// last word standing: one lost packet is no news.
	missesAllowed = 2
	// patience is how long a pass waits for the acknowledgement of what it
	// published.
	patience = 250 * time.Millisecond
	// useInterval is the time between two passes that only tell what came.
	useInterval = 15 * time.Second
)

// Target is where one ready instance answers.
type Target struct {
	Pod     string
	UID     types.UID
	Address string // IP:port
	Created time.Time
}

// asker asks one instance for what it has to say since a cursor.
type asker interface {
	ask(ctx context.Context, address, cursor string) (*words, error)
}

// Observer pulls the reports of all fleets, each in a loop of its own, so that
// an instance that hangs delays nobody else; and it asks for a pass when an
// instance says something new.
type Observer struct {
	asker asker
	clock clock.PassiveClock

	mu     sync.Mutex
	fleets map[types.NamespacedName]*fleet
	run    context.Context // of the loops; nil before Start
	loops  sync.WaitGroup

	changed chan event.TypedGenericEvent[*callbackv1alpha1.CallbackProxy]
}

// NewObserver returns an Observer whose requests are signed with the key.
func NewObserver(a *Asker, c clock.PassiveClock) *Observer {
	return &Observer{
		asker:   a,
		clock:   c,
		fleets:  map[types.NamespacedName]*fleet{},
		changed: make(chan event.TypedGenericEvent[*callbackv1alpha1.CallbackProxy], 1024),
	}
}

// Start runs the loops until ctx ends.
func (o *Observer) Start(ctx context.Context) error {
	o.mu.Lock()
	o.run = ctx
	for key, f := range o.fleets {
		o.launch(ctx, key, f)
	}
	o.mu.Unlock()
	<-ctx.Done()
	o.loops.Wait()
	return nil
}

// keepTargets forgets what instances said of targets that are not looked at
// any more: should they come back, the instances begin anew with them too.
func (o *Observer) keepTargets(key types.NamespacedName, looked map[string]struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.fleets[key]
	if f == nil {
		return
	}
	for _, i := range f.instances {
		kept := make(map[string]routetable.TargetReport, len(i.targets))
		for id, report := range i.targets {
			if _, is := looked[id]; is {
				kept[id] = report
			}
		}
		i.targets = kept
	}
}

// launch starts a fleet's loop. The caller holds the lock.
func (o *Observer) launch(run context.Context, key types.NamespacedName, f *fleet) {
	ctx, cancel := context.WithCancel(run)
	f.stop = cancel
	o.loops.Go(func() { o.loop(ctx, key, f) })
}

// Forget ends what is known of a fleet.
func (o *Observer) Forget(key types.NamespacedName) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.fleets[key]; f != nil && f.stop != nil {
		f.stop()
	}
	delete(o.fleets, key)
}

// Observe says which instances a fleet has and which version they should run,
// and returns what they said, and what they counted for each route. Instances
// that were never asked are asked now, once, so that a controller that starts
// does not report them as silent. After a change it gives them a moment to
// acknowledge: one status says more than two, and a fleet that changes without
// end has no later moment.
func (o *Observer) Observe(ctx context.Context, key types.NamespacedName, targets []Target, wanted routetable.Version) ([]compile.Instance, map[types.UID]compile.Use) {
	f := o.adopt(key, targets, wanted)
	o.round(ctx, f, func(i *instance) bool { return !i.asked })
	o.await(ctx, f)
	o.mu.Lock()
	defer o.mu.Unlock()
	f.told = f.list()
	f.health, f.use = false, false
	return f.told, f.counted()
}

// await waits until every instance runs what is wanted, at most patience, and
// not at all for one that has not answered lately.
func (o *Observer) await(ctx context.Context, f *fleet) {
	o.mu.Lock()
	settled, vain := f.settled, o.run == nil || f.current() || !f.isReached()
	o.mu.Unlock()
	if vain {
		return
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-settled:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// adopt brings a fleet's instances and wanted version up to date.
func (o *Observer) adopt(key types.NamespacedName, targets []Target, wanted routetable.Version) *fleet {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.fleets[key]
	if f == nil {
		f = &fleet{
			wake: make(chan struct{}, 1), settled: make(chan struct{}), began: o.clock.Now(),
			instances: map[types.UID]*instance{}, retired: map[types.UID]compile.Use{},
		}
		o.fleets[key] = f
		if o.run != nil {
			o.launch(o.run, key, f)
		}
	}
	news := f.wanted != wanted
	if news {
		f.wanted, f.settled = wanted, make(chan struct{})
	}
	known := f.instances
	f.instances = make(map[types.UID]*instance, len(targets))
	for _, target := range targets {
		if old := known[target.UID]; old != nil && old.target == target {
			f.instances[target.UID] = old
		} else {
			f.instances[target.UID] = &instance{target: target}
			news = true
		}
	}
	for uid, old := range known {
		if f.instances[uid] != old {
			f.retire(old.counted())
		}
	}
	if news {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
	return f
}

// keep forgets what was counted for routes that are gone.
func (o *Observer) keep(key types.NamespacedName, alive map[types.UID]struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.fleets[key]; f != nil {
		maps.DeleteFunc(f.retired, func(uid types.UID, _ compile.Use) bool { _, is := alive[uid]; return !is })
		for _, i := range f.instances {
			maps.DeleteFunc(i.uses, func(uid types.UID, _ routetable.RouteUse) bool { _, is := alive[uid]; return !is })
		}
	}
}

// loop asks a fleet's instances again and again: quickly after a change,
// slowly once all acknowledged.
func (o *Observer) loop(ctx context.Context, key types.NamespacedName, f *fleet) {
	interval := firstInterval
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
			interval = firstInterval
		case <-timer.C:
		}
		o.round(ctx, f, func(*instance) bool { return true })
		o.mu.Lock()
		current := f.current()
		if current {
			f.settle()
		}
		news := f.news(o.clock.Now())
		o.mu.Unlock()
		if news {
			o.announce(ctx, key)
		}
		if current {
			timer.Reset(steadyInterval)
			interval = firstInterval
		} else {
			timer.Reset(interval)
			interval = min(2*interval, urgentInterval)
		}
	}
}

// announce asks for a pass over a fleet.
func (o *Observer) announce(ctx context.Context, key types.NamespacedName) {
	proxy := &callbackv1alpha1.CallbackProxy{}
	proxy.Namespace, proxy.Name = key.Namespace, key.Name
	select {
	case o.changed <- event.TypedGenericEvent[*callbackv1alpha1.CallbackProxy]{Object: proxy}:
	case <-ctx.Done():
	}
}

// round asks the chosen instances, all at the same time, and keeps what they
// say.
func (o *Observer) round(ctx context.Context, f *fleet, chosen func(*instance) bool) {
	o.mu.Lock()
	var asked []*instance
	cursors := map[*instance]string{}
	for _, i := range f.instances {
		if chosen(i) {
			asked = append(asked, i)
			cursors[i] = i.report.Cursor
		}
	}
	o.mu.Unlock()

	var wg sync.WaitGroup
	for _, i := range asked {
		wg.Go(func() {
			told, err := o.asker.ask(ctx, i.target.Address, cursors[i])
			if ctx.Err() != nil {
				return
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			if err != nil {
				i.asked = true
				i.misses++
				return
			}
			o.hear(f, i, told)
		})
	}
	wg.Wait()
}

// hear keeps what one instance said. The caller holds the lock.
func (o *Observer) hear(f *fleet, i *instance, told *words) {
	first := i.report.Boot == ""
	health, use, ended := i.hear(told, o.clock.Now())
	f.retire(ended)
	f.health, f.use = f.health || health, f.use || use
	if first && f.told != nil && i.target.Created.Before(f.began) {
		// It counted before this leadership began, and was silent then: what it
		// counted may be part of what the status says already.
		i.before = maps.Clone(i.uses)
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const (
	// steadyInterval is the time between two rounds while every instance
	// runs the published config.
	steadyInterval = 5 * time.Second
	// firstInterval is the time between the first two rounds after a change;
	// it doubles up to urgentInterval until every instance acknowledged.
	firstInterval  = 20 * time.Millisecond
	urgentInterval = 500 * time.Millisecond
	// missesAllowed is how many failed requests in a row leave an instance's
	// last word standing: one lost packet is no news.
	missesAllowed = 2
)

// Target is where one ready instance answers.
type Target struct {
	Pod     string
	UID     types.UID
	Address string // IP:port
}

// asker asks one instance for its report.
type asker interface {
	ask(ctx context.Context, address string) (routetable.Report, error)
}

// Observer pulls the reports of all fleets, each in a loop of its own, so that
// an instance that hangs delays nobody else; and it asks for a pass when an
// instance says something new.
type Observer struct {
	asker asker

	mu     sync.Mutex
	fleets map[types.NamespacedName]*fleet
	run    context.Context // of the loops; nil before Start
	loops  sync.WaitGroup

	changed chan event.TypedGenericEvent[*callbackv1alpha1.CallbackProxy]
}

// fleet is what is known of one fleet. wake is signalled when what is wanted
// of it changed.
type fleet struct {
	stop      context.CancelFunc
	wake      chan struct{}
	wanted    routetable.Version
	instances map[types.UID]*instance
	// told is what the last pass was told; nil while the first one asks.
	told []compile.Instance
}

type instance struct {
	target Target
	asked  bool
	misses int
	report routetable.Report
}

func (i *instance) reached() bool {
	return i.asked && i.misses <= missesAllowed && i.report.ListenerPort != 0
}

// NewObserver returns an Observer whose requests are signed with the key.
func NewObserver(a *Asker) *Observer {
	return &Observer{
		asker:   a,
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
// and returns what they said. Instances that were never asked are asked now,
// once, so that a controller that starts does not report them as silent.
func (o *Observer) Observe(ctx context.Context, key types.NamespacedName, targets []Target, wanted routetable.Version) []compile.Instance {
	f := o.adopt(key, targets, wanted)
	o.round(ctx, f, func(i *instance) bool { return !i.asked })
	o.mu.Lock()
	defer o.mu.Unlock()
	f.told = f.list()
	return f.told
}

// adopt brings a fleet's instances and wanted version up to date.
func (o *Observer) adopt(key types.NamespacedName, targets []Target, wanted routetable.Version) *fleet {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.fleets[key]
	if f == nil {
		f = &fleet{wake: make(chan struct{}, 1), instances: map[types.UID]*instance{}}
		o.fleets[key] = f
		if o.run != nil {
			o.launch(o.run, key, f)
		}
	}
	news := f.wanted != wanted
	f.wanted = wanted
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
	if news {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
	return f
}

// list returns the instances by name. The caller holds the lock.
func (f *fleet) list() []compile.Instance {
	out := make([]compile.Instance, 0, len(f.instances))
	for _, i := range f.instances {
		out = append(out, compile.Instance{Pod: i.target.Pod, Reached: i.reached(), Report: i.report})
	}
	slices.SortFunc(out, compareInstances)
	return out
}

// news says whether the instances said anything that the last pass was not
// told, and takes it as told. The caller holds the lock.
func (f *fleet) news() bool {
	now := f.list()
	if f.told == nil || slices.EqualFunc(f.told, now, sameWord) {
		return false
	}
	f.told = now
	return true
}

// current says whether every instance runs what is wanted. The caller holds
// the lock.
func (f *fleet) current() bool {
	for _, i := range f.instances {
		if !i.reached() || i.report.Version != f.wanted {
			return false
		}
	}
	return true
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
		news, current := f.news(), f.current()
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
	for _, i := range f.instances {
		if chosen(i) {
			asked = append(asked, i)
		}
	}
	o.mu.Unlock()

	var wg sync.WaitGroup
	for _, i := range asked {
		wg.Go(func() {
			report, err := o.asker.ask(ctx, i.target.Address)
			if ctx.Err() != nil {
				return
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			i.asked = true
			if err != nil {
				i.misses++
				return
			}
			i.misses, i.report = 0, report
		})
	}
	wg.Wait()
}

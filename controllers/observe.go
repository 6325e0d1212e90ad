// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/event"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/status"
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
	// roundPatience is how long a round waits for answers before it is judged
	// without those that take longer, which are judged when they come.
	roundPatience = 100 * time.Millisecond
	// patience is how long a pass waits for the acknowledgement of what it
	// published.
	patience = 250 * time.Millisecond
	// useInterval is the time between two passes that only tell what came.
	useInterval = 15 * time.Second
)

// Target is one pod of a fleet and where it answers.
type Target struct {
	Pod string
	UID types.UID
	// Address is IP:port; empty for a pod without a port to be asked at.
	Address string
	// Ready is true for the instances of the status. Others are asked for what
	// they counted, as long as they answer.
	Ready bool
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
	// clock tells the time of day as sunsets are judged by it, timer measures.
	clock, timer clock.PassiveClock

	mu     sync.Mutex
	fleets map[types.NamespacedName]*fleet
	run    context.Context // of the loops; nil before Start
	ended  bool
	loops  sync.WaitGroup // and the questions

	changed chan event.TypedGenericEvent[*callbackv1alpha1.CallbackProxy]
}

// NewObserver returns an Observer whose requests are signed with the key. The
// first clock tells the time of day, the second one measures.
func NewObserver(a *Asker, c, timer clock.PassiveClock) *Observer {
	return &Observer{
		asker:   a,
		clock:   c,
		timer:   timer,
		fleets:  map[types.NamespacedName]*fleet{},
		changed: make(chan event.TypedGenericEvent[*callbackv1alpha1.CallbackProxy], 1024),
	}
}

// Start runs the loops until ctx ends.
func (o *Observer) Start(ctx context.Context) error {
	o.mu.Lock()
	o.run = ctx
	for key, f := range o.fleets {
		o.launch(key, f)
	}
	o.mu.Unlock()
	<-ctx.Done()
	o.mu.Lock()
	o.ended = true // nobody begins anything from here on
	o.mu.Unlock()
	o.loops.Wait()
	return nil
}

// launch starts a fleet's loop, unless there are none yet or none any more. The
// caller holds the lock.
func (o *Observer) launch(key types.NamespacedName, f *fleet) {
	if o.run == nil || o.ended {
		return
	}
	f.run, f.stop = context.WithCancel(o.run)
	o.loops.Go(func() { o.loop(f.run, key, f) })
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

// fleet returns what is known of a fleet. The caller holds the lock.
func (o *Observer) fleet(key types.NamespacedName) *fleet {
	f := o.fleets[key]
	if f == nil {
		f = newFleet()
		o.fleets[key] = f
		o.launch(key, f)
	}
	return f
}

// published says which table a fleet's version holds. What instances said of
// what it does not name is forgotten once they run it.
func (o *Observer) published(key types.NamespacedName, version routetable.Version, table *routetable.Table) {
	o.mu.Lock()
	known := o.fleet(key).scope.version == version
	o.mu.Unlock()
	if known {
		return
	}
	next := scopeOf(version, table)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fleet(key).enter(next)
}

// keep says which routes a fleet has: what was counted for others is forgotten,
// and not heard any more.
func (o *Observer) keep(key types.NamespacedName, alive map[types.UID]struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.fleets[key]; f != nil {
		f.keep(alive)
	}
}

// Observe says which pods a fleet has and which version they should run, and
// returns what the ready ones said, and what all counted for each route. Those
// that were never asked are asked now, once, so that a controller that starts
// does not report them as silent. After a change it gives them a moment to
// acknowledge: one status says more than two, and a fleet that changes without
// end has no later moment.
func (o *Observer) Observe(ctx context.Context, key types.NamespacedName, targets []Target, wanted routetable.Version) ([]status.Instance, map[types.UID]status.Traffic) {
	f, asked := o.adopt(ctx, key, targets, wanted)
	collect(ctx, asked, askTimeout)
	o.await(ctx, f)
	o.mu.Lock()
	defer o.mu.Unlock()
	f.collecting--
	f.told = f.list()
	f.health, f.use = false, false
	return f.told, f.counted()
}

// await waits until every instance runs what is wanted, at most patience, and
// not at all for one that has not answered lately.
func (o *Observer) await(ctx context.Context, f *fleet) {
	o.mu.Lock()
	settled, vain := f.settled, f.run == nil || f.current() || !f.isReached()
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

// adopt brings a fleet's pods and wanted version up to date, and asks the ready
// ones that have not been asked. The fleet is being collected from then on.
func (o *Observer) adopt(ctx context.Context, key types.NamespacedName, targets []Target, wanted routetable.Version) (*fleet, []<-chan struct{}) { //nolint:contextcheck // see below
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.fleet(key)
	f.collecting++
	news := f.wanted != wanted
	if news {
		f.wanted, f.settled = wanted, make(chan struct{})
	}
	if f.meet(targets) || news {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
	if f.run != nil {
		ctx = f.run // what it asks may outlast the pass
	}
	return f, o.question(ctx, key, f, func(i *instance) bool { return i.target.Ready && !i.asked })
}

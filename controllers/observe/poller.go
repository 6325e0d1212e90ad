// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package observe polls the reports of the proxies' instances. In: the pods of
// each fleet; out: the last report of each instance, the traffic of each route,
// and an event for each change that needs a pass. I/O: HTTP requests to pods.
package observe

// This file polls each pod in a loop of its own, so a pod that hangs delays no
// other one.

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const (
	// steadyInterval is the time between two polls of an instance that runs the
	// published config.
	steadyInterval = 2 * time.Second
	// firstInterval is the time until the first poll after a change; it doubles up
	// to urgentInterval until the instance acknowledges.
	firstInterval  = 20 * time.Millisecond
	urgentInterval = 500 * time.Millisecond
	// trafficInterval is the time between two passes of which traffic alone is the
	// reason.
	trafficInterval = 15 * time.Second
	// maxEvents is how many events may wait for the controller.
	maxEvents = 1024
)

// Reporter requests the report of one instance. Client is the one that the
// manager uses.
type Reporter interface {
	Report(ctx context.Context, address, cursor string) (*routetable.Report, error)
}

// Event requests a pass over the fleet that it names.
type Event = event.TypedGenericEvent[types.NamespacedName]

// Observer polls the instances of all fleets. It is a manager's Runnable.
type Observer struct {
	reader   client.Reader
	reporter Reporter
	clock    clock.PassiveClock
	changed  chan Event

	mu     sync.Mutex
	fleets map[types.NamespacedName]*fleet
	run    context.Context // of the loops; nil before Start
	loops  sync.WaitGroup
}

// fleet is all that the Observer keeps of one fleet.
type fleet struct {
	published routetable.Version
	instances map[types.UID]*instance // nil before the first pass
	counters  counters
	// traffic is true while no pass saw the last counts, and announced is the time
	// of the last event because of counts.
	traffic   bool
	announced time.Time
}

// New returns an Observer that finds pods with a reader. The clock is the one by
// which sunsets are judged.
func New(pods client.Reader, reporter Reporter, c clock.PassiveClock) *Observer {
	return &Observer{
		reader: pods, reporter: reporter, clock: c,
		changed: make(chan Event, maxEvents),
		fleets:  map[types.NamespacedName]*fleet{},
	}
}

// Changed returns the events that request passes.
func (o *Observer) Changed() <-chan Event { return o.changed }

// Start runs the loops until ctx ends.
func (o *Observer) Start(ctx context.Context) error {
	o.mu.Lock()
	o.run = ctx
	for key, f := range o.fleets {
		for _, i := range f.instances {
			o.startLoop(key, f, i) //nolint:contextcheck // the loops run on o.run, which is ctx
		}
	}
	o.mu.Unlock()
	<-ctx.Done()
	o.mu.Lock()
	o.run = nil // no loop starts any more
	o.mu.Unlock()
	o.loops.Wait()
	return nil
}

// Forget drops what is known of a fleet.
func (o *Observer) Forget(key types.NamespacedName) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.fleets[key]; f != nil {
		for _, i := range f.instances {
			i.stopLoop()
		}
	}
	delete(o.fleets, key)
}

// Instances returns the last reports of a fleet's ready instances, and never
// waits for one. It notes which version they should run: until each one runs it,
// polls are frequent. complete is false while the first poll of an instance is
// outstanding; an event follows it.
func (o *Observer) Instances(ctx context.Context, key types.NamespacedName, published routetable.Version) (observed status.Fleet, complete bool, err error) {
	total, pods, err := listPods(ctx, o.reader, key)
	if err != nil {
		return status.Fleet{}, false, fmt.Errorf("list pods of CallbackProxy %s: %w", key, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.fleets[key]
	if f == nil {
		f = &fleet{counters: counters{}}
		o.fleets[key] = f
	}
	o.updatePods(key, f, pods) //nolint:contextcheck // the loops outlast the pass
	if f.published != published {
		f.published = published
		for _, i := range f.instances {
			i.wakeLoop()
		}
	}
	observed, complete = status.Fleet{Total: total, Published: published}, true
	for _, pod := range pods {
		if i := f.instances[pod.UID]; pod.Ready {
			observed.Instances = append(observed.Instances, i.observed())
			complete = complete && !i.isAwaited()
		}
	}
	return observed, complete, nil
}

// Traffic returns the traffic of a fleet's routes in their whole lives, and
// drops what is known of others.
func (o *Observer) Traffic(key types.NamespacedName, routes []*callbackv1alpha1.CallbackRoute) map[types.UID]status.Traffic {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make(map[types.UID]status.Traffic, len(routes))
	f := o.fleets[key]
	if f == nil {
		for _, route := range routes {
			out[route.UID] = status.ReadTraffic(&route.Status)
		}
		return out
	}
	for _, route := range routes {
		out[route.UID] = f.counters.total(route.UID, status.ReadTraffic(&route.Status))
	}
	for uid := range f.counters {
		if _, alive := out[uid]; !alive {
			delete(f.counters, uid)
		}
	}
	f.traffic = false
	return out
}

// updatePods starts and ends the loops of the pods that came and went. The
// caller holds the lock.
func (o *Observer) updatePods(key types.NamespacedName, f *fleet, pods []Pod) {
	inherited := f.instances == nil // an earlier leadership may have polled these pods
	if inherited {
		f.instances = make(map[types.UID]*instance, len(pods))
	}
	alive := make(map[types.UID]struct{}, len(pods))
	for _, pod := range pods {
		alive[pod.UID] = struct{}{}
		i := f.instances[pod.UID]
		if i == nil {
			i = &instance{inherited: inherited, wake: make(chan struct{}, 1)}
			f.instances[pod.UID] = i
		}
		if i.pod.Address != pod.Address {
			i.stopLoop()
		}
		i.pod = pod
		o.startLoop(key, f, i)
	}
	for uid, i := range f.instances {
		if _, is := alive[uid]; !is {
			i.stopLoop()
			delete(f.instances, uid)
		}
	}
}

// startLoop starts the loop of an instance that is to be polled. The caller
// holds the lock.
func (o *Observer) startLoop(key types.NamespacedName, f *fleet, i *instance) {
	if o.run == nil || i.stop != nil || !i.isPolled() {
		return
	}
	ctx, stop := context.WithCancel(o.run)
	i.stop = stop
	o.loops.Go(func() { o.loop(ctx, key, f, i) })
}

// stopLoop ends the loop of an instance. The last report is too old to stand for
// it when the next one starts.
func (i *instance) stopLoop() {
	i.polled = false
	if i.stop != nil {
		i.stop()
		i.stop = nil
	}
}

func (i *instance) wakeLoop() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

// loop polls one instance: often after a change, less often once it runs the
// published config.
func (o *Observer) loop(ctx context.Context, key types.NamespacedName, f *fleet, i *instance) {
	interval := firstInterval
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-i.wake:
			interval = firstInterval
			timer.Reset(interval)
			continue
		case <-timer.C:
		}
		current, err := o.poll(ctx, key, f, i)
		switch {
		case err != nil:
			return
		case current:
			interval = firstInterval
			timer.Reset(steadyInterval)
		default:
			timer.Reset(interval)
			interval = min(2*interval, urgentInterval)
		}
	}
}

var (
	errEnded      = errors.New("the instance is not polled any more")
	errOtherOwner = errors.New("another process responded")
)

// poll polls an instance once, and sends an event when a pass is needed. It
// returns whether the instance runs the published config, or an error when it is
// not to be polled again.
func (o *Observer) poll(ctx context.Context, key types.NamespacedName, f *fleet, i *instance) (current bool, err error) {
	o.mu.Lock()
	address, cursor := i.pod.Address, i.report.Cursor
	o.mu.Unlock()
	report, err := o.reporter.Report(ctx, address, cursor)
	o.mu.Lock()
	if ctx.Err() != nil {
		o.mu.Unlock()
		return false, errEnded
	}
	changed := o.record(f, i, report, err)
	current = i.runs(f.published)
	if !i.isPolled() {
		i.stopLoop()
		err = errEnded
	} else {
		err = nil
	}
	o.mu.Unlock()
	if changed {
		o.announce(ctx, key)
	}
	return current, err
}

// record applies what a poll returned, and returns whether a pass is needed. The
// caller holds the lock.
func (o *Observer) record(f *fleet, i *instance, report *routetable.Report, err error) (changed bool) {
	before, now := i.summary(), o.clock.Now()
	if err == nil && !i.pod.Ready && report.Boot != i.report.Boot {
		err = errOtherOwner // another pod may have the address of one that terminates
	}
	var health, traffic bool
	if err != nil {
		i.recordFailure()
	} else {
		health, traffic = i.recordReport(report, f.counters, now)
	}
	f.traffic = f.traffic || traffic
	if f.traffic && now.Sub(f.announced) >= trafficInterval {
		f.traffic, f.announced, changed = false, now, true
	}
	return changed || i.pod.Ready && (health || before != i.summary())
}

// announce requests a pass over a fleet.
func (o *Observer) announce(ctx context.Context, key types.NamespacedName) {
	select {
	case o.changed <- Event{Object: key}:
	case <-ctx.Done():
	}
}

// Poll polls each instance of a fleet once, and returns when all have responded,
// as the loops do in the background.
func (o *Observer) Poll(ctx context.Context, key types.NamespacedName) {
	o.mu.Lock()
	f := o.fleets[key]
	var instances []*instance
	if f != nil {
		for _, i := range f.instances {
			if i.isPolled() {
				instances = append(instances, i)
			}
		}
	}
	o.mu.Unlock()
	for _, i := range instances {
		_, _ = o.poll(ctx, key, f, i)
	}
	for len(o.changed) > 0 {
		<-o.changed
	}
}

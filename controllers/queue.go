// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// arrivals knows of which fleets something changed since their last pass
// began. The zero value knows of none.
type arrivals struct {
	mu   sync.Mutex
	some map[reconcile.Request]struct{}
}

// begin notes that a pass begins, which sees everything that came before.
func (a *arrivals) begin(fleet reconcile.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.some, fleet)
}

// note notes that something changed.
func (a *arrivals) note(fleets ...reconcile.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.some == nil {
		a.some = map[reconcile.Request]struct{}{}
	}
	for _, fleet := range fleets {
		a.some[fleet] = struct{}{}
	}
}

// any says whether a pass is waited for that would see something new, of
// whichever fleet.
func (a *arrivals) any() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.some) > 0
}

// observedQueue tells the arrivals what is added because something changed. It
// lets what changed go before what is only looked at again, as after a start.
type observedQueue struct {
	priorityqueue.PriorityQueue[reconcile.Request]
	arrivals *arrivals
}

func (a *arrivals) newQueue(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	queue := priorityqueue.New(name, func(o *priorityqueue.Opts[reconcile.Request]) { o.RateLimiter = limiter })
	return &observedQueue{queue, a}
}

// Add adds a fleet of which something changed.
func (q *observedQueue) Add(fleet reconcile.Request) {
	q.arrivals.note(fleet)
	q.PriorityQueue.Add(fleet)
}

// AddWithOpts adds fleets of which something changed, or that are to be looked
// at again later.
func (q *observedQueue) AddWithOpts(o priorityqueue.AddOpts, fleets ...reconcile.Request) {
	if o.After == 0 && !o.RateLimited {
		q.arrivals.note(fleets...)
	}
	q.PriorityQueue.AddWithOpts(o, fleets...)
}

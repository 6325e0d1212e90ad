// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package statuswriter writes the statuses of CallbackRoutes and CallbackProxies.
// In: the desired status of each object, as passes compute it; out: server-side
// applies, and events after them. I/O: API server.
package statuswriter

// This file holds the latest desired status of each object, and the queue of
// those to write.

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/status"
)

const (
	// workers is how many statuses are written at a time. The client's own limit
	// bounds the writes per second.
	workers = 8
	// firstRetry and lastRetry bound the time until a failed write is repeated.
	firstRetry = 50 * time.Millisecond
	lastRetry  = 5 * time.Second
	// refusedRetry is the time until a status that the API server refused as
	// invalid is sent again. A user's change of the object ends it early.
	refusedRetry = time.Minute
)

// The kinds that have statuses.
const (
	kindRoute = "CallbackRoute"
	kindProxy = "CallbackProxy"
)

// Key names one object in the queue. An object that is created anew has another
// one.
type Key struct {
	Kind string
	types.NamespacedName
	UID types.UID
}

// Writer writes statuses. It is a reconciler of a queue of its own: the queue
// keeps one entry of an object, the one with the highest priority and the
// shortest delay, and repeats failed writes.
type Writer struct {
	client   client.Client
	recorder recorder
	clock    clock.PassiveClock
	counts   *rate.Limiter

	mu      sync.Mutex
	queue   priorityqueue.PriorityQueue[Key] // nil before the controller starts
	objects map[Key]*object
	backlog map[string]int // by namespace: objects with a desired status
}

// object is all that the Writer keeps of one object.
type object struct {
	desired *desiredStatus // nil when there is nothing to write
	// due is when the desired status may be written; zero without one.
	due   time.Time
	usage usage
	// refused is the generation of which the API server refused a status.
	refused int64
}

// desiredStatus is the status of one generation of an object as the last pass
// found it. It is computed again for the object that is stored when it is written:
// transition times depend on the stored conditions.
type desiredStatus struct {
	generation int64
	compute    func(stored client.Object) update
}

// update is a status and how it differs from the stored one.
type update struct {
	status        any // a pointer
	change        status.Change
	before, after []metav1.Condition
}

// recorder takes the events of an object.
type recorder interface {
	record(about client.Object, kind string, t transition)
}

// New returns a Writer. The client reads from a cache that holds its own writes;
// the clock only measures.
func New(c client.Client, r recorder, timer clock.PassiveClock) *Writer {
	return &Writer{
		client: c, recorder: r, clock: timer,
		counts:  rate.NewLimiter(countsPerSecond, countBurst),
		objects: map[Key]*object{},
		backlog: map[string]int{},
	}
}

// SetupWithManager runs the Writer while the manager leads.
func (w *Writer) SetupWithManager(mgr ctrl.Manager) error {
	return builder.TypedControllerManagedBy[Key](mgr).
		Named("status").
		WatchesRawSource(source.TypedFunc[Key](w.attach)).
		WithOptions(controller.TypedOptions[Key]{
			MaxConcurrentReconciles: workers,
			NewQueue: func(name string, limiter workqueue.TypedRateLimiter[Key]) workqueue.TypedRateLimitingInterface[Key] {
				return priorityqueue.New(name, func(o *priorityqueue.Opts[Key]) { o.RateLimiter = limiter })
			},
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[Key](firstRetry, lastRetry),
		}).
		Complete(w)
}

// attach takes the controller's queue, and adds what was enqueued before.
func (w *Writer) attach(_ context.Context, queue workqueue.TypedRateLimitingInterface[Key]) error {
	priorities, is := queue.(priorityqueue.PriorityQueue[Key])
	if !is {
		return fmt.Errorf("attach queue of statuses: %T has no priorities", queue)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = priorities
	for key := range w.objects {
		w.queue.Add(key)
	}
	return nil
}

// EnqueueRoute sets the desired status of a route: compute returns it for the
// route as it is stored, and now is what it returned for the route of the pass.
func (w *Writer) EnqueueRoute(route *callbackv1alpha1.CallbackRoute, now *callbackv1alpha1.CallbackRouteStatus,
	compute func(*callbackv1alpha1.CallbackRoute) callbackv1alpha1.CallbackRouteStatus,
) {
	w.enqueue(keyOf(kindRoute, route), status.CompareRoute(&route.Status, now), now.Conditions, &desiredStatus{route.Generation, func(object client.Object) update {
		stored := route
		if o, is := object.(*kube.Route); is {
			stored = &o.CallbackRoute
		}
		after := compute(stored)
		return update{&after, status.CompareRoute(&stored.Status, &after), stored.Status.Conditions, after.Conditions}
	}})
}

// EnqueueProxy sets the desired status of a CallbackProxy, as EnqueueRoute does.
func (w *Writer) EnqueueProxy(proxy *callbackv1alpha1.CallbackProxy, now *callbackv1alpha1.CallbackProxyStatus,
	compute func(*callbackv1alpha1.CallbackProxy) callbackv1alpha1.CallbackProxyStatus,
) {
	w.enqueue(keyOf(kindProxy, proxy), compareProxy(&proxy.Status, now), now.Conditions, &desiredStatus{proxy.Generation, func(object client.Object) update {
		stored := proxy
		if o, is := object.(*kube.Proxy); is {
			stored = &o.CallbackProxy
		}
		after := compute(stored)
		return update{&after, compareProxy(&stored.Status, &after), stored.Status.Conditions, after.Conditions}
	}})
}

func keyOf(kind string, object metav1.Object) Key {
	return Key{Kind: kind, NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}, UID: object.GetUID()}
}

func compareProxy(before, after *callbackv1alpha1.CallbackProxyStatus) status.Change {
	if apiequality.Semantic.DeepEqual(before, after) {
		return status.Unchanged
	}
	return status.Spec
}

// enqueue replaces the desired status of an object. One that equals the stored
// status ends what was desired before.
func (w *Writer) enqueue(key Key, change status.Change, conditions []metav1.Condition, d *desiredStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.objects[key]
	if change == status.Unchanged {
		if o != nil {
			w.settle(key, o)
		}
		return
	}
	if o == nil {
		o = &object{}
		w.objects[key] = o
	}
	if o.desired == nil {
		w.backlog[key.Namespace]++
	}
	o.desired = d
	now := w.clock.Now()
	w.schedule(o, change, conditions, now)
	if w.queue != nil {
		p := priority(change, w.backlog[key.Namespace])
		w.queue.AddWithOpts(priorityqueue.AddOpts{Priority: &p, After: max(0, o.due.Sub(now))}, key)
	}
}

// schedule decides when the desired status of an object is due. One that waits
// keeps its time unless the new one may be written earlier. The caller holds the
// lock.
func (w *Writer) schedule(o *object, change status.Change, conditions []metav1.Condition, now time.Time) {
	waits := !o.due.IsZero()
	if waits && (change == status.Counters || o.refused == o.desired.generation) {
		return
	}
	due := latest(now, o.usage.nextWrite(change))
	programmed := meta.FindStatusCondition(conditions, callbackv1alpha1.ConditionProgrammed)
	switch {
	case change == status.Counters:
		due = latest(due, now.Add(w.counts.ReserveN(now, 1).DelayFrom(now)))
	case programmed != nil && programmed.Reason == callbackv1alpha1.ReasonPending:
		due = latest(due, now.Add(acknowledgementDelay))
	}
	if !waits || due.Before(o.due) {
		o.due = due
	}
}

// settle notes that there is nothing to write. The caller holds the lock.
func (w *Writer) settle(key Key, o *object) {
	if o.desired == nil {
		return
	}
	o.desired, o.due = nil, time.Time{}
	if w.backlog[key.Namespace]--; w.backlog[key.Namespace] == 0 {
		delete(w.backlog, key.Namespace)
	}
}

// Forget drops what is known of an object that is gone.
func (w *Writer) Forget(stored client.Object) {
	kind := kindRoute
	if _, is := stored.(*kube.Proxy); is {
		kind = kindProxy
	}
	w.forget(keyOf(kind, stored))
}

func (w *Writer) forget(key Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o := w.objects[key]; o != nil {
		w.settle(key, o)
		delete(w.objects, key)
	}
}

// Reconcile writes the desired status of an object, unless the stored one equals
// it, and then emits the events of its transitions.
func (w *Writer) Reconcile(ctx context.Context, key Key) (reconcile.Result, error) {
	stored, err := w.read(ctx, key)
	if err != nil {
		return reconcile.Result{}, err
	}
	if stored == nil {
		w.forget(key)
		return reconcile.Result{}, nil
	}
	d, next, wait := w.next(key, stored)
	if d == nil || wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	err = w.apply(ctx, key, next.status)
	switch {
	case apierrors.IsNotFound(err):
		w.forget(key)
		return reconcile.Result{}, nil
	case err != nil && !apierrors.IsInvalid(err):
		return reconcile.Result{}, err
	case w.finish(key, d, next.change, err != nil):
		w.emit(stored, key.Kind, next)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "the API server refuses the status of an object; apply the object again with values that its schema accepts",
				"kind", key.Kind, "namespace", key.Namespace, "name", key.Name)
		}
	}
	if err != nil {
		return reconcile.Result{RequeueAfter: refusedRetry}, nil //nolint:nilerr // it was logged: the object's author has to act
	}
	return reconcile.Result{}, nil
}

// next returns the desired status of an object for the stored one, and how long it
// has to wait; nil when there is nothing to write.
func (w *Writer) next(key Key, stored client.Object) (*desiredStatus, update, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.objects[key]
	if o == nil || o.desired == nil {
		return nil, update{}, 0
	}
	var u update
	// A pass over another CallbackProxy may have begun before a spec changed; the
	// change brings a pass of its own.
	if o.desired.generation == stored.GetGeneration() {
		u = o.desired.compute(stored)
	}
	if u.change == status.Unchanged {
		w.settle(key, o)
		return nil, update{}, 0
	}
	now := w.clock.Now()
	if !now.Before(o.due) {
		o.due = o.usage.nextWrite(u.change) // another change may have been scheduled
	}
	if now.Before(o.due) {
		return o.desired, u, o.due.Sub(now)
	}
	o.due = time.Time{} // a status that becomes desired from now on has a time of its own
	return o.desired, u, 0
}

// finish notes that a status was written, or refused as invalid: what is stored of
// the object breaks a rule that is younger than it, so any status does. It returns
// whether the events of the status are to be emitted, as they are once for the
// statuses of a generation that is refused.
func (w *Writer) finish(key Key, sent *desiredStatus, change status.Change, refused bool) (emit bool) { //nolint:revive // refused is an outcome
	if refused {
		statusesRefused.WithLabelValues(key.Kind).Inc()
	} else {
		statusWrites.WithLabelValues(key.Kind).Inc()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	o, now := w.objects[key], w.clock.Now()
	if o == nil {
		return true
	}
	o.usage.spend(change, now)
	if refused {
		emit = o.refused != sent.generation
		o.refused, o.due = sent.generation, now.Add(refusedRetry)
		return emit
	}
	o.refused = 0
	if o.desired == sent { // else another status became desired meanwhile
		w.settle(key, o)
	}
	return true
}

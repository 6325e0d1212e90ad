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
	"errors"
	"fmt"
	"maps"
	"slices"
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
	// workers is how many statuses are written at a time.
	workers = 8
	// writesPerSecond and writeBurst bound all writes of statuses.
	writesPerSecond = 500
	writeBurst      = 1000
	// firstRetry and lastRetry bound the time until a failed write is repeated.
	firstRetry = 50 * time.Millisecond
	lastRetry  = 5 * time.Second
	// refusedRetry is the time until a status that the API server refused as
	// invalid is sent again. A user's change of the object ends it early.
	refusedRetry = time.Minute
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
	writes   *rate.Limiter
	// common bounds the writes of one kind of change over all objects.
	common map[status.Change]*rate.Limiter

	mu      sync.Mutex
	queue   priorityqueue.PriorityQueue[Key] // nil before the controller starts
	objects map[Key]*object
	backlog map[string]int // by namespace: objects with a desired status
}

// object is all that the Writer keeps of one object.
type object struct {
	// desired is a *CallbackRouteStatus or a *CallbackProxyStatus; nil when there
	// is nothing to write.
	desired any
	usage   usage
	// pendingSince is when the desired status began to be that instances have not
	// acknowledged yet; zero when it is not.
	pendingSince time.Time
	// reserved is when the common bound of the change allows the write; zero when
	// none is reserved.
	reserved time.Time
	// refused is the generation of which the API server refused a status, and
	// retryTime when a status of it is sent again.
	refused   int64
	retryTime time.Time
}

// recorder takes the events of an object.
type recorder interface {
	record(about client.Object, kind string, t transition)
}

// New returns a Writer. The client reads from a cache that holds its own writes;
// the clock only measures.
func New(c client.Client, r recorder, timer clock.PassiveClock) *Writer {
	w := &Writer{
		client: c, recorder: r, clock: timer,
		writes:  rate.NewLimiter(writesPerSecond, writeBurst),
		common:  map[status.Change]*rate.Limiter{},
		objects: map[Key]*object{},
		backlog: map[string]int{},
	}
	for change, bound := range commonBounds {
		w.common[change] = rate.NewLimiter(bound.perSecond, bound.burst)
	}
	return w
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

// EnqueueRoute sets the desired status of a route. stored is the route with the
// status that desired was computed from.
func (w *Writer) EnqueueRoute(stored *callbackv1alpha1.CallbackRoute, desired *callbackv1alpha1.CallbackRouteStatus) {
	w.enqueue(keyOf(kindRoute, stored), desired, status.CompareRoute(&stored.Status, desired))
}

// EnqueueProxy sets the desired status of a CallbackProxy.
func (w *Writer) EnqueueProxy(stored *callbackv1alpha1.CallbackProxy, desired *callbackv1alpha1.CallbackProxyStatus) {
	w.enqueue(keyOf(kindProxy, stored), desired, compareProxy(&stored.Status, desired))
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
func (w *Writer) enqueue(key Key, desired any, change status.Change) {
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
	o.desired = desired
	now := w.clock.Now()
	o.notePending(now)
	if w.queue != nil {
		p := priority(change, w.backlog[key.Namespace])
		w.queue.AddWithOpts(priorityqueue.AddOpts{Priority: &p, After: max(0, w.due(o, change, now).Sub(now))}, key)
	}
}

// notePending notes since when the desired status is that instances have not
// acknowledged yet.
func (o *object) notePending(now time.Time) {
	c := meta.FindStatusCondition(*conditionsOf(o.desired), callbackv1alpha1.ConditionProgrammed)
	switch pending := c != nil && c.Reason == callbackv1alpha1.ReasonPending; {
	case !pending:
		o.pendingSince = time.Time{}
	case o.pendingSince.IsZero():
		o.pendingSince = now
	}
}

// due returns when the desired status of an object may be written. The caller
// holds the lock.
func (w *Writer) due(o *object, change status.Change, now time.Time) time.Time {
	due := o.usage.nextWrite(change)
	if !o.pendingSince.IsZero() {
		due = latest(due, o.pendingSince.Add(acknowledgementDelay))
	}
	if common := w.common[change]; common != nil {
		if o.reserved.IsZero() {
			o.reserved = now.Add(common.ReserveN(now, 1).DelayFrom(now))
		}
		due = latest(due, o.reserved)
	}
	if o.refused != 0 && o.refused == observedGeneration(o.desired) {
		due = latest(due, o.retryTime)
	}
	return due
}

// settle notes that there is nothing to write. The caller holds the lock.
func (w *Writer) settle(key Key, o *object) {
	if o.desired == nil {
		return
	}
	o.desired, o.pendingSince, o.reserved = nil, time.Time{}, time.Time{}
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
	_, change, wait := w.next(key, stored)
	if change == status.Unchanged || wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	if err := w.writes.Wait(ctx); err != nil {
		return reconcile.Result{}, fmt.Errorf("wait to write status: %w", err)
	}
	desired, change, _ := w.next(key, stored)
	if change == status.Unchanged {
		return reconcile.Result{}, nil
	}
	written := keepTransitionTimes(stored.status, desired)
	err = w.apply(ctx, key, written)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err) && w.isGone(ctx, key):
		w.forget(key)
		return reconcile.Result{}, nil
	case apierrors.IsInvalid(err):
		return w.refuse(ctx, stored, written, change, err), nil
	case err != nil:
		return reconcile.Result{}, err
	}
	w.finish(key, desired, change)
	w.emit(stored, written)
	return reconcile.Result{}, nil
}

// next returns the desired status of an object, how it differs from the stored
// one, and how long it has to wait.
func (w *Writer) next(key Key, stored *storedObject) (desired any, change status.Change, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.objects[key]
	if o == nil || o.desired == nil {
		return nil, status.Unchanged, 0
	}
	change = compareStatus(stored.status, keepTransitionTimes(stored.status, o.desired))
	// A pass over another CallbackProxy may have begun before a spec changed.
	if change == status.Unchanged || observedGeneration(o.desired) < observedGeneration(stored.status) {
		w.settle(key, o)
		return nil, status.Unchanged, 0
	}
	now := w.clock.Now()
	return o.desired, change, max(0, w.due(o, change, now).Sub(now))
}

// finish notes a write, unless another status became desired meanwhile.
func (w *Writer) finish(key Key, written any, change status.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.objects[key]
	if o == nil {
		return
	}
	o.usage.spend(change, w.clock.Now())
	o.refused = 0
	if o.desired == written {
		w.settle(key, o)
	}
}

// refuse notes that the API server refused a status as invalid: what is stored
// of the object breaks a rule that is younger than it, so any status does. The
// events of the status are emitted all the same, once.
func (w *Writer) refuse(ctx context.Context, stored *storedObject, desired any, change status.Change, refusal error) reconcile.Result {
	key := keyOf(stored.kind, stored.object)
	w.mu.Lock()
	first := false
	if o := w.objects[key]; o != nil {
		first = o.refused != observedGeneration(desired)
		o.refused, o.retryTime = observedGeneration(desired), w.clock.Now().Add(refusedRetry)
		o.usage.spend(change, w.clock.Now())
	}
	w.mu.Unlock()
	statusesRefused.WithLabelValues(key.Kind).Inc()
	if first {
		ctrl.LoggerFrom(ctx).Error(refusal, "the API server refuses the status of an object; apply the object again with values that its schema accepts",
			"kind", key.Kind, "namespace", key.Namespace, "name", key.Name)
		w.emit(stored, desired)
	}
	return reconcile.Result{RequeueAfter: refusedRetry}
}

// Flush reconciles each object with a desired status once, as the workers do in
// the background. It returns when the next status is due; zero: none is desired.
func (w *Writer) Flush(ctx context.Context) (next time.Time, err error) {
	w.mu.Lock()
	keys := slices.Collect(maps.Keys(w.objects))
	w.mu.Unlock()
	for _, key := range keys {
		result, failed := w.Reconcile(ctx, key)
		err = errors.Join(err, failed)
		if at := w.clock.Now().Add(result.RequeueAfter); result.RequeueAfter > 0 && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next, err
}

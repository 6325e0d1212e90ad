// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controllers keeps the fleets of callback proxies as the API objects
// say. In: CallbackRoutes, CallbackProxies and what they name; out: published
// CallbackProxyConfigs, statuses, events. I/O only: what is decided, is decided
// in controllers/compile.
package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/callbackproxy/callback-operator/controllers/compile"
)

// fieldOwner names this controller in managed fields and events.
const fieldOwner = "callback-operator"

// Reconciler reconciles one CallbackProxy with everything that names it: the
// conflicts are between routes, so the table is the unit, not the route.
type Reconciler struct {
	Client   client.Client
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
	// Publisher writes configs, Observer asks the instances.
	Publisher *Publisher
	Observer  *Observer
	// Grants says whether ReferenceGrants can be listed.
	Grants func() bool
}

// Reconcile makes one pass for the CallbackProxy of a request. It is also
// called for names that do not exist, as routes may still point there.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	now := r.Clock.Now()
	snapshot, err := r.gather(ctx, req.NamespacedName)
	if err != nil {
		return ctrl.Result{}, err
	}
	result := compile.Compile(snapshot, now)
	undecodable.observe(req.NamespacedName, snapshot.Routes)

	fleet, published := compile.Fleet{}, Published{}
	if snapshot.Proxy == nil {
		r.Publisher.Forget(req.NamespacedName)
		r.Observer.Forget(req.NamespacedName)
	} else {
		if published, err = r.Publisher.Publish(ctx, snapshot.Proxy, result.Table, now); err != nil {
			return ctrl.Result{}, err
		}
		if fleet, err = r.observe(ctx, req.NamespacedName, published); err != nil {
			return ctrl.Result{}, err
		}
	}
	if err := r.writeStatuses(ctx, snapshot, result, &fleet, published, now); err != nil {
		return ctrl.Result{}, err
	}
	return requeueAt(result.Next, now), nil
}

// requeueAt asks for a pass at the next transition; the zero time asks for
// none. A second is the grain of all times in the API.
func requeueAt(next, now time.Time) ctrl.Result {
	if next.IsZero() {
		return ctrl.Result{}
	}
	return ctrl.Result{RequeueAfter: max(next.Sub(now), time.Millisecond)}
}

// observe hands the Observer the fleet's pods and returns what it knows.
func (r *Reconciler) observe(ctx context.Context, key client.ObjectKey, published Published) (compile.Fleet, error) {
	total, targets, err := r.listInstances(ctx, key)
	if err != nil {
		return compile.Fleet{}, fmt.Errorf("list instances of CallbackProxy %s: %w", key, err)
	}
	return compile.Fleet{
		Total:     total,
		Instances: r.Observer.Observe(ctx, key, targets, published.Version),
		Published: published.Version,
		Hash:      published.Hash,
	}, nil
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controllers reconciles CallbackProxies and the CallbackRoutes that name
// them. In: the objects of the API; out: published configs and desired statuses.
// I/O only: controllers/compile and controllers/status decide.
package controllers

// This file makes the passes.

import (
	"context"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/deploy"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/observe"
	"github.com/callbackproxy/callback-operator/controllers/publish"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/controllers/statuswriter"
)

// fieldOwner names this controller in managed fields and events.
const fieldOwner = "callback-operator"

// maxRequeue is the longest time until the next pass over a fleet that waits for
// a time of day: a timer stands still while its machine sleeps, and does not
// follow when the clock is set.
const maxRequeue = time.Minute

// Reconciler reconciles one CallbackProxy with all routes that name it: conflicts
// are between routes, so the table is the unit, not the route.
type Reconciler struct {
	Client client.Client
	// Clock returns the time of day that decides about sunsets.
	Clock     clock.PassiveClock
	Publisher *publish.Publisher
	Observer  *observe.Observer
	Statuses  *statuswriter.Writer
	// Deployer runs the proxies of fleets in mode Deployment; a pass reads its last
	// outcome.
	Deployer *deploy.Controller
	// Settings name the namespaces that may be read; APIServer holds the addresses
	// of the API server where its Service may not be read.
	Settings  Settings
	APIServer []netip.Addr
	// GrantVersion returns the version in which ReferenceGrants can be listed; empty
	// when they cannot.
	GrantVersion func() string
	// RoutesOf selects the routes of a fleet by an index of the cache. Nil: there
	// is no index, and all routes are listed.
	RoutesOf func(types.NamespacedName) client.ListOption

	passes *passLimits
}

// Reconcile makes one pass over the fleet that a request names. Routes may name a
// CallbackProxy that does not exist.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	key, now := req.NamespacedName, r.Clock.Now()
	if wait := r.passes.wait(key); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	proxy, err := r.getProxy(ctx, key)
	if err != nil {
		return ctrl.Result{}, err
	}
	var next time.Time
	switch {
	case proxy == nil:
		if wait := r.passes.waitMissing(); wait > 0 {
			r.forget(key)
			return ctrl.Result{RequeueAfter: wait}, nil
		}
		next, err = r.reconcileMissingProxy(ctx, key, now)
	case proxy.DecodeError != "":
		next, err = r.reconcileUndecodableProxy(ctx, proxy, now)
	default:
		next, err = r.reconcileProxy(ctx, &proxy.CallbackProxy, now)
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	return requeueAt(next, r.Clock.Now()), nil
}

// reconcileProxy publishes the table of a fleet, and sets the desired statuses.
// It returns the time of the next transition; zero: none is known.
func (r *Reconciler) reconcileProxy(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, now time.Time) (next time.Time, err error) {
	key, began := client.ObjectKeyFromObject(proxy), r.passes.clock.Now()
	snapshot, err := r.gather(ctx, key, proxy)
	if err != nil {
		return time.Time{}, err
	}
	plan := compile.Compile(snapshot, now)
	r.passes.notePass(key, began)
	published, err := r.Publisher.Publish(ctx, proxy, plan.Table, now)
	if published.Wrote {
		r.passes.notePublished(key)
	}
	if err != nil {
		return time.Time{}, err
	}
	fleet, complete, err := r.Observer.Instances(ctx, key, published.Version)
	if err != nil {
		return time.Time{}, err
	}
	if complete { // else the first report of an instance brings the next pass
		fleet.Hash, fleet.Scheme = published.Hash, plan.Table.Settings.Forwarding.Scheme()
		next = r.enqueueRouteStatuses(key, plan, &published, &fleet, now)
		next = compile.Earlier(next, r.enqueueProxyStatus(proxy, plan, &fleet, now))
	}
	return compile.Earlier(compile.Earlier(next, plan.Next), published.Next), nil
}

// enqueueProxyStatus sets the desired status of the CallbackProxy once the
// deploy controller has an outcome for its present generation; that outcome brings
// a pass.
func (r *Reconciler) enqueueProxyStatus(proxy *callbackv1alpha1.CallbackProxy, plan *compile.Plan, fleet *status.Fleet, now time.Time) (next time.Time) {
	deployed, found := r.Deployer.Outcome(proxy)
	if !found {
		return time.Time{}
	}
	fleet.Deployed = deployed
	compute := func(stored *callbackv1alpha1.CallbackProxy) callbackv1alpha1.CallbackProxyStatus {
		return status.ComputeProxy(stored, plan, fleet, now)
	}
	desired := compute(proxy)
	r.Statuses.EnqueueProxy(proxy, &desired, compute)
	return status.NextProxy(&desired, fleet, now)
}

// reconcileMissingProxy sets the desired statuses of routes that name a
// CallbackProxy that does not exist. Nothing is kept for its name, which is a
// tenant's choice.
func (r *Reconciler) reconcileMissingProxy(ctx context.Context, key types.NamespacedName, now time.Time) (next time.Time, err error) {
	began := r.passes.clock.Now()
	snapshot, err := r.gather(ctx, key, nil)
	if err != nil {
		return time.Time{}, err
	}
	plan := compile.Compile(snapshot, now)
	r.forget(key)
	r.passes.noteMissing(began)
	return compile.Earlier(plan.Next, r.enqueueRouteStatuses(key, plan, &publish.Config{}, &status.Fleet{}, now)), nil
}

// reconcileUndecodableProxy sets the desired status of a CallbackProxy whose spec
// cannot be decoded. Its published config stays, and so do the statuses of its
// routes: which of them it would accept is unknown.
func (r *Reconciler) reconcileUndecodableProxy(ctx context.Context, proxy *kube.Proxy, now time.Time) (next time.Time, err error) {
	snapshot, err := r.gather(ctx, client.ObjectKeyFromObject(proxy), nil)
	if err != nil {
		return time.Time{}, err
	}
	decodeError, routes := proxy.DecodeError, len(snapshot.Routes)
	compute := func(stored *callbackv1alpha1.CallbackProxy) callbackv1alpha1.CallbackProxyStatus {
		return status.ComputeUndecodableProxy(stored, decodeError, routes, now)
	}
	desired := compute(&proxy.CallbackProxy)
	r.Statuses.EnqueueProxy(&proxy.CallbackProxy, &desired, compute)
	return status.NextStalled(desired.Conditions, now), nil
}

// enqueueRouteStatuses sets the desired statuses of a fleet's routes, and returns
// when the next one changes by time alone.
func (r *Reconciler) enqueueRouteStatuses(key types.NamespacedName, plan *compile.Plan, published *publish.Config, fleet *status.Fleet, now time.Time) (next time.Time) {
	routes := make([]*callbackv1alpha1.CallbackRoute, len(plan.Verdicts))
	for i := range plan.Verdicts {
		routes[i] = plan.Verdicts[i].Route
	}
	traffic, recent := r.Observer.Traffic(key, routes), r.Observer.Recent(key, routes)
	for _, verdict := range plan.Verdicts {
		uid := verdict.Route.UID
		observation := &status.Observation{Fleet: fleet, Since: published.Since(uid), Traffic: traffic[uid], Recent: recent[uid]}
		compute := func(stored *callbackv1alpha1.CallbackRoute) callbackv1alpha1.CallbackRouteStatus {
			v := verdict
			v.Route = stored
			return status.ComputeRoute(&v, observation, now)
		}
		desired := compute(verdict.Route)
		r.Statuses.EnqueueRoute(verdict.Route, &desired, compute)
		next = compile.Earlier(next, status.NextRoute(&verdict, observation, &desired, now))
	}
	return next
}

// requeueAt requests a pass at the next transition; the zero time requests none.
func requeueAt(next, now time.Time) ctrl.Result {
	if next.IsZero() {
		return ctrl.Result{}
	}
	return ctrl.Result{RequeueAfter: max(next.Sub(now), time.Millisecond)}
}

// capRequeue returns a reconciler that requests each pass after maxRequeue at the
// latest.
func capRequeue(r reconcile.Reconciler) reconcile.Func {
	return func(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
		result, err := r.Reconcile(ctx, req)
		result.RequeueAfter = min(result.RequeueAfter, maxRequeue)
		return result, err
	}
}

// forget drops what is known of a fleet that is gone.
func (r *Reconciler) forget(key types.NamespacedName) {
	r.Publisher.Forget(key)
	r.Observer.Forget(key)
	r.passes.forget(key)
}

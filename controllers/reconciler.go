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
	"net/netip"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/deploy"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/publish"
	"github.com/callbackproxy/callback-operator/controllers/status"
)

// fieldOwner names this controller in managed fields and events.
const fieldOwner = "callback-operator"

// Reconciler reconciles one CallbackProxy with everything that names it: the
// conflicts are between routes, so the table is the unit, not the route.
type Reconciler struct {
	Client   client.Client
	Recorder teller
	Clock    clock.PassiveClock
	// Publisher writes configs, Observer asks the instances.
	Publisher *publish.Publisher
	Observer  *Observer
	// Deployer runs the proxies; a pass reads its last outcome.
	Deployer *deploy.Controller
	// Settings say what may be read; APIServer is where the API server is, where
	// its Service may not.
	Settings  Settings
	APIServer []netip.Addr
	// Grants says whether ReferenceGrants can be listed.
	Grants func() bool
	// RoutesOf selects the routes of a fleet from the cache; nil where there
	// is none, and all routes are looked through.
	RoutesOf func(types.NamespacedName) client.ListOption

	pace     *pace
	arrivals arrivals
	mu       sync.Mutex
	tallies  map[types.NamespacedName]*tally
	retold   map[types.NamespacedName]struct{}
}

// sight is what a pass sees of the world besides its objects.
type sight struct {
	fleet     status.Fleet
	published publish.Config
	// deployed is the outcome of the deploy controller, isDeployed whether there is
	// one for the present generation.
	deployed   status.Deployed
	isDeployed bool
	counted    map[types.UID]status.Traffic
	tally      *tally
}

// use returns what came for a route in all its life.
func (s *sight) use(route *callbackv1alpha1.CallbackRoute) status.Traffic {
	return s.tally.total(route.UID, s.counted[route.UID], status.ReadTraffic(&route.Status))
}

// maxSleep is how long nothing may ask for a pass of a fleet that waits for an
// instant: a timer stands still while its machine sleeps, and does not know when
// the time of day is set.
const maxSleep = time.Minute

// reconcile is Reconcile for those whose clock may change.
func (r *Reconciler) reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	result, err := r.Reconcile(ctx, req)
	result.RequeueAfter = min(result.RequeueAfter, maxSleep)
	return result, err
}

// Reconcile makes one pass for the CallbackProxy of a request. It is also
// called for names that do not exist, as routes may still point there.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	key, now, began := req.NamespacedName, r.Clock.Now(), r.pace.clock.Now()
	if wait := r.pace.pass(key, began); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	r.arrivals.begin(req)
	proxy, err := r.getProxy(ctx, key)
	if err != nil {
		return ctrl.Result{}, err
	}
	var next time.Time
	switch {
	case proxy == nil:
		if wait := r.pace.passInVain(began); wait > 0 {
			r.forget(key)
			return ctrl.Result{RequeueAfter: wait}, nil
		}
		next, err = r.tellOrphans(ctx, key, now, began)
	case proxy.DecodeError != "":
		next, err = r.tellUnread(ctx, proxy, now, began)
	default:
		next, err = r.serve(ctx, &proxy.CallbackProxy, now, began)
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	return requeueAt(next, r.Clock.Now()), nil
}

// serve publishes what a fleet is to serve, and says what it does. It returns
// when there is more to do; zero: when something changes.
func (r *Reconciler) serve(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, now, began time.Time) (next time.Time, err error) {
	key := client.ObjectKeyFromObject(proxy)
	snapshot, err := r.gather(ctx, key, proxy)
	if err != nil {
		return time.Time{}, err
	}
	result := compile.Compile(snapshot, now)
	looked := r.pace.clock.Since(began)
	seen := &sight{tally: r.tally(key, result)}
	seen.published, err = r.Publisher.Publish(ctx, proxy, result.Table, now)
	if seen.published.Wrote {
		r.pace.published(key)
	}
	if err != nil {
		return time.Time{}, err
	}
	r.Observer.published(key, seen.published.Version, result.Table)
	seen.deployed, seen.isDeployed = r.Deployer.Outcome(proxy)
	if err = r.observe(ctx, key, seen); err != nil {
		return time.Time{}, err
	}
	r.pace.looked(key, looked, began.Add(looked))
	r.retell(snapshot, now)
	more, err := r.writeStatuses(ctx, snapshot, result, seen, now, began)
	return compile.Earlier(compile.Earlier(result.Next, more), seen.published.Next), err
}

// tellOrphans says of routes that their CallbackProxy does not exist. Nothing is
// kept of that: its name is a tenant's choice.
func (r *Reconciler) tellOrphans(ctx context.Context, key types.NamespacedName, now, began time.Time) (next time.Time, err error) {
	snapshot, err := r.gather(ctx, key, nil)
	if err != nil {
		return time.Time{}, err
	}
	result := compile.Compile(snapshot, now)
	looked := r.pace.clock.Since(began)
	seen := &sight{tally: r.tally(key, result)}
	r.forget(key)
	r.pace.lookedInVain(looked, began.Add(looked))
	more, err := r.writeStatuses(ctx, snapshot, result, seen, now, began)
	return compile.Earlier(result.Next, more), err
}

// tellUnread says of a CallbackProxy that it cannot be read. What is published
// for it stays, and so does what is said of its routes: which of them it would
// accept is not known.
func (r *Reconciler) tellUnread(ctx context.Context, proxy *kube.Proxy, now, began time.Time) (next time.Time, err error) {
	key := client.ObjectKeyFromObject(proxy)
	snapshot, err := r.gather(ctx, key, nil)
	if err != nil {
		return time.Time{}, err
	}
	pending, next := r.pendingProxy(key, &proxy.CallbackProxy, func(p *callbackv1alpha1.CallbackProxy) callbackv1alpha1.CallbackProxyStatus {
		return status.ComputeUndecodableProxy(p, proxy.DecodeError, len(snapshot.Routes), now)
	}, now)
	more, err := r.write(ctx, key, pending, now, began)
	return compile.Earlier(next, more), err
}

// requeueAt asks for a pass at the next transition; the zero time asks for
// none.
func requeueAt(next, now time.Time) ctrl.Result {
	if next.IsZero() {
		return ctrl.Result{}
	}
	return ctrl.Result{RequeueAfter: max(next.Sub(now), time.Millisecond)}
}

// observe hands the Observer the fleet's pods and keeps what it knows.
func (r *Reconciler) observe(ctx context.Context, key types.NamespacedName, seen *sight) error {
	total, targets, err := r.listInstances(ctx, key)
	if err != nil {
		return fmt.Errorf("list instances of CallbackProxy %s: %w", key, err)
	}
	instances, counted := r.Observer.Observe(ctx, key, targets, seen.published.Version)
	seen.counted = counted
	seen.fleet = status.Fleet{
		Total:     total,
		Instances: instances,
		Published: seen.published.Version,
		Hash:      seen.published.Hash,
		Deployed:  seen.deployed,
	}
	return nil
}

// tally returns what is known of the use of a fleet's routes, without those
// that are gone.
func (r *Reconciler) tally(key types.NamespacedName, result *compile.Plan) *tally {
	alive := make(map[types.UID]struct{}, len(result.Verdicts))
	for i := range result.Verdicts {
		alive[result.Verdicts[i].Route.UID] = struct{}{}
	}
	r.Observer.keep(key, alive)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tallies[key] == nil {
		r.tallies[key] = &tally{}
	}
	r.tallies[key].keep(alive)
	return r.tallies[key]
}

// forget drops what is known of a fleet that is gone.
func (r *Reconciler) forget(key types.NamespacedName) {
	r.Publisher.Forget(key)
	r.Observer.Forget(key)
	r.pace.forget(key)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tallies, key)
	delete(r.retold, key)
}

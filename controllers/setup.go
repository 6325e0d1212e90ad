// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/deploy"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/metrics"
	"github.com/callbackproxy/callback-operator/controllers/observe"
	"github.com/callbackproxy/callback-operator/controllers/publish"
	"github.com/callbackproxy/callback-operator/controllers/statuswriter"
)

// workers is how many fleets are reconciled at a time.
const workers = 4

// A failed pass is repeated after firstRetry, then after twice that, up to
// lastRetry. When half of all writes conflict, most passes fail, and each makes
// some progress all the same.
const (
	firstRetry = 10 * time.Millisecond
	lastRetry  = 3 * time.Second
)

// Indexes of routes: by the Services that they name, and by their fleet.
const (
	serviceIndex = "services"
	fleetIndex   = "fleet"
)

// ClientOptions returns the options of the manager's client. A read waits
// until the cache holds what this client wrote: without that a pass would see
// the world before its own last write and write it again.
func ClientOptions() client.Options {
	consistent := true
	return client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: &consistent}}
}

// Setup adds the controller to a manager that was made with NewScheme,
// CacheOptions of the same settings, and ClientOptions. It makes the key pair of this leadership:
// the private half never leaves the process.
func Setup(ctx context.Context, mgr ctrl.Manager, now clock.PassiveClock, settings Settings) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make report key: %w", err)
	}
	reports, err := observe.NewClient(private, now)
	if err != nil {
		return err
	}
	writer, err := client.New(mgr.GetConfig(), client.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
	})
	if err != nil {
		return fmt.Errorf("make client for events: %w", err)
	}
	recorder := statuswriter.NewRecorder(writer, clock.RealClock{}, mgr.GetLogger())
	if err := mgr.Add(recorder); err != nil {
		return fmt.Errorf("add recorder of events: %w", err)
	}
	grants := &grantWatch{mapper: mgr.GetRESTMapper()}
	r := &Reconciler{
		Client:       mgr.GetClient(),
		Clock:        now,
		Publisher:    publish.New(mgr.GetClient(), public),
		Observer:     observe.New(mgr.GetClient(), reports, now),
		Statuses:     statuswriter.New(mgr.GetClient(), recorder, clock.RealClock{}),
		Deployer:     deploy.New(mgr.GetClient(), mgr.GetAPIReader(), settings.Scope, settings.Proxies),
		Settings:     settings,
		APIServer:    apiServerAddresses(mgr.GetConfig()),
		GrantVersion: grants.servedVersion,
		RoutesOf: func(key types.NamespacedName) client.ListOption {
			return client.MatchingFields{fleetIndex: key.String()}
		},
		passes: newPassLimits(clock.RealClock{}),
	}
	if err := mgr.Add(r.Observer); err != nil {
		return fmt.Errorf("add observer: %w", err)
	}
	if err := r.Statuses.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up writer of statuses: %w", err)
	}
	if err := r.Deployer.SetupWithManager(mgr); err != nil {
		return err
	}
	if err := mgr.Add(metrics.NewCollector(mgr.GetClient())); err != nil {
		return fmt.Errorf("add collector: %w", err)
	}
	if err := mgr.GetFieldIndexer().IndexField(ctx, &kube.Route{}, serviceIndex, indexServices); err != nil {
		return fmt.Errorf("index routes by service: %w", err)
	}
	if err := mgr.GetFieldIndexer().IndexField(ctx, &kube.Route{}, fleetIndex, indexFleet); err != nil {
		return fmt.Errorf("index routes by fleet: %w", err)
	}
	c, err := r.watch(mgr)
	if err != nil {
		return fmt.Errorf("set up controller: %w", err)
	}
	grants.start = func(grant client.Object) error {
		return c.Watch(source.Kind(mgr.GetCache(), grant, handler.EnqueueRequestsFromMapFunc(r.allFleets)))
	}
	return mgr.Add(grants)
}

// +kubebuilder:rbac:groups=callbackproxy.io,resources=callbackroutes;callbackproxies,verbs=get;list;watch
// +kubebuilder:rbac:groups=callbackproxy.io,resources=callbackroutes/status;callbackproxies/status,verbs=patch
// +kubebuilder:rbac:groups=callbackproxy.io,resources=callbackproxyconfigs,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups="",resources=services;namespaces;pods,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=referencegrants,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=events,verbs=create
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,namespace=callback-system,verbs=get;create;update

// watch wires every kind that a pass reads to the fleets it concerns.
func (r *Reconciler) watch(mgr ctrl.Manager) (controller.Controller, error) {
	changed := builder.WithPredicates(r.changed())
	controlled := ctrl.NewControllerManagedBy(mgr).
		Named("callbackproxy").
		For(&kube.Proxy{}, changed).
		Watches(&kube.Route{}, handler.EnqueueRequestsFromMapFunc(fleetOfRoute), changed).
		Watches(&callbackv1alpha1.CallbackProxyConfig{}, handler.EnqueueRequestsFromMapFunc(fleetOfLabel)).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(fleetOfLabel)).
		Watches(&corev1.Service{}, handler.EnqueueRequestsFromMapFunc(r.fleetsOfService)).
		Watches(&discoveryv1.EndpointSlice{}, handler.EnqueueRequestsFromMapFunc(r.fleetsOfSlice),
			builder.WithPredicates(endpointsChanged)).
		WatchesRawSource(source.Channel(r.Observer.Changed(), handler.TypedFuncs[types.NamespacedName, reconcile.Request]{
			GenericFunc: enqueueObserved,
		})).
		WatchesRawSource(source.Channel(r.Deployer.Changed(),
			handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, key types.NamespacedName) []reconcile.Request { return request(key) }))).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: workers,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
		})
	if len(r.Settings.WatchNamespaces) == 0 {
		controlled.Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.allFleets),
			builder.OnlyMetadata, builder.WithPredicates(predicate.LabelChangedPredicate{}))
	}
	return controlled.Build(capRequeue(r))
}

// observeDelay is how long a report waits for those of other instances: a fleet
// acknowledges a change almost at once, and one pass sees all of it.
const observeDelay = 25 * time.Millisecond

func enqueueObserved(_ context.Context, e observe.Event, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	queue.AddAfter(reconcile.Request{NamespacedName: e.Object}, observeDelay)
}

func request(key types.NamespacedName) []reconcile.Request {
	if key.Name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: key}}
}

func fleetOfRoute(_ context.Context, object client.Object) []reconcile.Request {
	route, is := object.(*kube.Route)
	if !is {
		return nil
	}
	return request(proxyKey(&route.CallbackRoute))
}

func fleetOfLabel(_ context.Context, object client.Object) []reconcile.Request {
	return request(types.NamespacedName{
		Namespace: object.GetNamespace(),
		Name:      object.GetLabels()[callbackv1alpha1.ProxyLabel],
	})
}

func indexServices(object client.Object) []string {
	route, is := object.(*kube.Route)
	if !is {
		return nil
	}
	var keys []string
	for _, key := range serviceKeys(&route.CallbackRoute) {
		keys = append(keys, key.String())
	}
	return keys
}

func indexFleet(object client.Object) []string {
	route, is := object.(*kube.Route)
	if !is {
		return nil
	}
	return []string{proxyKey(&route.CallbackRoute).String()}
}

// fleetsOfService finds the fleets whose routes name a Service, and the one
// that is reached by it.
func (r *Reconciler) fleetsOfService(ctx context.Context, object client.Object) []reconcile.Request {
	return append(r.fleetsNaming(ctx, client.ObjectKeyFromObject(object)), fleetOfLabel(ctx, object)...)
}

func (r *Reconciler) fleetsOfSlice(ctx context.Context, object client.Object) []reconcile.Request {
	key := types.NamespacedName{
		Namespace: object.GetNamespace(),
		Name:      object.GetLabels()[discoveryv1.LabelServiceName],
	}
	if key.Name == "" {
		return nil
	}
	return r.fleetsNaming(ctx, key)
}

func (r *Reconciler) fleetsNaming(ctx context.Context, service types.NamespacedName) []reconcile.Request {
	if service == apiServer {
		return r.allFleets(ctx, nil)
	}
	var routes kube.RouteList
	err := r.Client.List(ctx, &routes, client.MatchingFields{serviceIndex: service.String()},
		client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "cannot find the routes of a service")
		return nil
	}
	var requests []reconcile.Request
	for i := range routes.Items {
		requests = append(requests, request(proxyKey(&routes.Items[i].CallbackRoute))...)
	}
	return requests
}

func (r *Reconciler) allFleets(ctx context.Context, _ client.Object) []reconcile.Request {
	var proxies kube.ProxyList
	if err := r.Client.List(ctx, &proxies, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "cannot list the fleets")
		return nil
	}
	var requests []reconcile.Request
	for i := range proxies.Items {
		requests = append(requests, request(client.ObjectKeyFromObject(&proxies.Items[i]))...)
	}
	return requests
}

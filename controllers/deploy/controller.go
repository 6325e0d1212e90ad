// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package deploy runs the proxies of CallbackProxies. In: one CallbackProxy; out:
// the objects of controllers/workload, applied or deleted, and the outcome for the
// status. I/O; it is a controller of its own and keeps only the last outcomes.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/controllers/workload"
)

const (
	// retryInterval is the time until a refused object is applied again, and until
	// a name that another owner holds is looked up again: the cache does not hold
	// foreign objects, so no event reports their deletion.
	retryInterval = 10 * time.Second
	// conflictInterval is the time until the next attempt after a concurrent write.
	conflictInterval = 100 * time.Millisecond
	// maxEvents bounds the outcomes that wait for the main controller.
	maxEvents = 1024
)

// Event requests a pass over the CallbackProxy that it names.
type Event = event.TypedGenericEvent[types.NamespacedName]

// Controller applies the objects that run a CallbackProxy's proxies, and deletes
// them when the mode changes. It never writes to an object that the CallbackProxy
// does not control by owner reference.
//
// The outcome reaches the status by one way: the controller keeps the last outcome
// of each CallbackProxy, the pass reads it with Outcome, and an Event requests a
// pass when it changed.
type Controller struct {
	// client reads from the cache, which holds labelled objects only; live reads
	// from the API server.
	client  client.Client
	live    client.Reader
	scope   kube.Scope
	options workload.Options
	changed chan Event

	mu       sync.Mutex
	outcomes map[types.NamespacedName]outcome
}

// outcome is the result of one reconcile of one generation.
type outcome struct {
	uid        types.UID
	generation int64
	deployed   status.Deployed
}

// New returns a Controller that reads from the cache of c and, for names that the
// cache does not hold, from live.
func New(c client.Client, live client.Reader, scope kube.Scope, options workload.Options) *Controller {
	scope.ProxyNamespaces = slices.Sorted(slices.Values(scope.ProxyNamespaces))
	return &Controller{
		client: c, live: live, scope: scope, options: options,
		changed:  make(chan Event, maxEvents),
		outcomes: map[types.NamespacedName]outcome{},
	}
}

// Outcome returns the result for the present generation of a CallbackProxy; false
// until there is one. The status of a CallbackProxy is not written before: it
// would report a fleet as deployed that is not.
func (c *Controller) Outcome(proxy *callbackv1alpha1.CallbackProxy) (status.Deployed, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, found := c.outcomes[client.ObjectKeyFromObject(proxy)]
	return o.deployed, found && o.uid == proxy.UID && o.generation == proxy.Generation
}

// Changed returns the channel of changed outcomes.
func (c *Controller) Changed() <-chan Event { return c.changed }

// Reconcile applies the objects of one CallbackProxy and records the outcome.
//
//	deleted or undecodable   nothing: objects go with their owner, or stay
//	mode Deployment          all objects, in the namespaces of the manager only
//	mode Sidecar             the RoleBinding; the other objects are deleted
//	otherwise                an empty RoleBinding where there is one; deleted as above
func (c *Controller) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	stored := &kube.Proxy{}
	switch err := c.client.Get(ctx, req.NamespacedName, stored); {
	case apierrors.IsNotFound(err):
		c.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("get CallbackProxy: %w", err)
	case !stored.DeletionTimestamp.IsZero():
		c.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	case stored.DecodeError != "":
		return ctrl.Result{}, nil
	}
	proxy := &stored.CallbackProxy
	if proxy.Spec.Mode == callbackv1alpha1.ModeDeployment && !c.scope.Manages(proxy.Namespace) {
		return ctrl.Result{}, c.record(ctx, proxy, status.Deployed{Unmanaged: true, Managed: c.scope.ProxyNamespaces})
	}
	desired, err := c.desiredObjects(ctx, proxy)
	if err != nil {
		return ctrl.Result{}, err
	}
	deployed, retry, failed := c.applyAll(ctx, proxy, desired)
	failed = errors.Join(failed, c.deleteUndesired(ctx, proxy, desired))
	if _, known := c.Outcome(proxy); failed == nil || !known {
		failed = errors.Join(failed, c.record(ctx, proxy, deployed))
	}
	return ctrl.Result{RequeueAfter: retry}, failed
}

// applyAll applies each desired object; a failure of one does not stop the others.
// It returns the outcome and when to retry (zero: never).
func (c *Controller) applyAll(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, desired []desiredObject) (deployed status.Deployed, retry time.Duration, err error) {
	var failed []error
	retryAfter := func(d time.Duration) {
		if retry == 0 || d < retry {
			retry = d
		}
	}
	for _, object := range desired {
		name := object.GetKind() + " " + object.GetName()
		result, err := c.ensure(ctx, proxy, object)
		switch {
		case err != nil:
			failed = append(failed, fmt.Errorf("apply %s: %w", name, err))
		case result.isTaken:
			deployed.Taken = append(deployed.Taken, name)
			retryAfter(retryInterval)
		case result.refusal != "":
			deployed.Refused = append(deployed.Refused, status.RefusedObject{Object: name, Message: result.refusal})
			retryAfter(retryInterval)
		case result.isConflict:
			retryAfter(conflictInterval)
		}
	}
	return deployed, retry, errors.Join(failed...)
}

// deleteUndesired deletes the controller's own objects that the mode does not
// desire. RoleBindings stay, without subjects: the manager may not delete any.
func (c *Controller) deleteUndesired(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, desired []desiredObject) error {
	if !c.scope.Manages(proxy.Namespace) {
		return nil
	}
	var failed []error
	// The Deployment goes first: it serves.
	for _, kind := range []schema.GroupVersionKind{kube.KindDeployment, kube.KindService, kube.KindBudget, kube.KindNetworkPolicy, kube.KindServiceAccount} {
		if slices.ContainsFunc(desired, func(o desiredObject) bool { return o.GetKind() == kind.Kind }) {
			continue
		}
		if err := c.deleteOwn(ctx, proxy, kind); err != nil {
			failed = append(failed, fmt.Errorf("delete %s %s: %w", kind.Kind, workload.Name(proxy.Name), err))
		}
	}
	return errors.Join(failed...)
}

// record keeps an outcome, and requests a pass when it changed.
func (c *Controller) record(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, deployed status.Deployed) error {
	key := client.ObjectKeyFromObject(proxy)
	now := outcome{uid: proxy.UID, generation: proxy.Generation, deployed: deployed}
	c.mu.Lock()
	before := c.outcomes[key]
	c.outcomes[key] = now
	c.mu.Unlock()
	if reflect.DeepEqual(before, now) {
		return nil
	}
	select {
	case c.changed <- Event{Object: key}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Controller) forget(key types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.outcomes, key)
}

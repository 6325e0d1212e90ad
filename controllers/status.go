// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	callbackac "github.com/callbackproxy/callback-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
)

// statusWriters is how many statuses of one pass are written at a time.
const statusWriters = 8

// writeStatuses writes each status that differs from the stored one, whole,
// and then emits the events of its transitions. One status that cannot be
// written does not keep the others from being written.
func (r *Reconciler) writeStatuses(ctx context.Context, s *compile.Snapshot, result *compile.Result, fleet *compile.Fleet, published Published, now time.Time) error {
	var group errgroup.Group
	group.SetLimit(statusWriters)
	failed := make([]error, len(result.Verdicts)+1)
	for i := range result.Verdicts {
		verdict := &result.Verdicts[i]
		status := compile.RouteStatus(verdict, fleet, published.Since(verdict.Route.UID), now)
		if apiequality.Semantic.DeepEqual(verdict.Route.Status, status) {
			continue
		}
		group.Go(func() error {
			failed[i] = r.writeRouteStatus(ctx, verdict.Route, &status)
			return nil
		})
	}
	if s.Proxy != nil {
		status := compile.ProxyStatus(s.Proxy, result, fleet, now)
		if !apiequality.Semantic.DeepEqual(s.Proxy.Status, status) {
			group.Go(func() error {
				failed[len(result.Verdicts)] = r.writeProxyStatus(ctx, s.Proxy, &status)
				return nil
			})
		}
	}
	_ = group.Wait()
	return errors.Join(failed...)
}

func (r *Reconciler) writeRouteStatus(ctx context.Context, route *callbackv1alpha1.CallbackRoute, status *callbackv1alpha1.CallbackRouteStatus) error {
	desired := callbackac.CallbackRoute(route.Name, route.Namespace).WithUID(route.UID).
		WithStatus(callbackac.CallbackRouteStatus().
			WithObservedGeneration(status.ObservedGeneration).
			WithConditions(conditionsToApply(status.Conditions)...).
			WithProxies(callbackac.ProxyCounts().
				WithTotal(*status.Proxies.Total).
				WithReady(*status.Proxies.Ready).
				WithProgrammed(*status.Proxies.Programmed)))
	if err := r.Client.Status().Apply(ctx, desired, client.ForceOwnership, client.FieldOwner(fieldOwner)); err != nil {
		return gone(fmt.Errorf("write status of CallbackRoute %s/%s: %w", route.Namespace, route.Name, err))
	}
	statusWrites.WithLabelValues("CallbackRoute").Inc()
	r.emit(callbackv1alpha1.SchemeGroupVersion.WithKind("CallbackRoute"), route, route.Status.Conditions, status.Conditions)
	return nil
}

func (r *Reconciler) writeProxyStatus(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, status *callbackv1alpha1.CallbackProxyStatus) error {
	apply := callbackac.CallbackProxyStatus().
		WithObservedGeneration(status.ObservedGeneration).
		WithConditions(conditionsToApply(status.Conditions)...).
		WithRoutes(callbackac.RouteCounts().WithTotal(*status.Routes.Total).WithAccepted(*status.Routes.Accepted)).
		WithConfigGeneration(status.ConfigGeneration).
		WithConfigHash(status.ConfigHash)
	for i := range status.Instances {
		instance := &status.Instances[i]
		apply.WithInstances(callbackac.ProxyInstance().WithPod(instance.Pod).WithState(instance.State).
			WithGeneration(instance.Generation).WithHash(instance.Hash))
	}
	desired := callbackac.CallbackProxy(proxy.Name, proxy.Namespace).WithUID(proxy.UID).WithStatus(apply)
	if err := r.Client.Status().Apply(ctx, desired, client.ForceOwnership, client.FieldOwner(fieldOwner)); err != nil {
		return gone(fmt.Errorf("write status of CallbackProxy %s/%s: %w", proxy.Namespace, proxy.Name, err))
	}
	statusWrites.WithLabelValues("CallbackProxy").Inc()
	r.emit(callbackv1alpha1.SchemeGroupVersion.WithKind("CallbackProxy"), proxy, proxy.Status.Conditions, status.Conditions)
	return nil
}

// gone drops the error of an object that was deleted, or made anew under the
// same name, in the meantime: its next event brings the next pass.
func gone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

func conditionsToApply(conditions []metav1.Condition) []*metav1ac.ConditionApplyConfiguration {
	out := make([]*metav1ac.ConditionApplyConfiguration, 0, len(conditions))
	for _, c := range conditions {
		out = append(out, metav1ac.Condition().
			WithType(c.Type).
			WithStatus(c.Status).
			WithObservedGeneration(c.ObservedGeneration).
			WithLastTransitionTime(c.LastTransitionTime).
			WithReason(c.Reason).
			WithMessage(c.Message))
	}
	return out
}

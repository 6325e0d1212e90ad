// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
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
	kind := callbackv1alpha1.SchemeGroupVersion.WithKind("CallbackRoute")
	if err := r.applyStatus(ctx, kind, route, status); err != nil {
		return err
	}
	r.emit(kind, route, route.Status.Conditions, status.Conditions, routeNews)
	return nil
}

func (r *Reconciler) writeProxyStatus(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, status *callbackv1alpha1.CallbackProxyStatus) error {
	kind := callbackv1alpha1.SchemeGroupVersion.WithKind("CallbackProxy")
	if err := r.applyStatus(ctx, kind, proxy, status); err != nil {
		return err
	}
	r.emit(kind, proxy, proxy.Status.Conditions, status.Conditions, proxyNews)
	return nil
}

// statusPatch applies a status and nothing else. The answer of the API server
// is read into it; it holds the whole object, which typed code may be unable
// to read, so only the metadata are typed here.
type statusPatch struct {
	metav1ac.TypeMetaApplyConfiguration
	*metav1ac.ObjectMetaApplyConfiguration `json:"metadata,omitempty"`

	Status json.RawMessage `json:"status"`
}

// IsApplyConfiguration marks the type as an apply configuration.
func (*statusPatch) IsApplyConfiguration() {}

func (r *Reconciler) applyStatus(ctx context.Context, kind schema.GroupVersionKind, object client.Object, status any) error {
	content, err := json.Marshal(status)
	if err != nil {
		return fmt.Errorf("encode status of %s: %w", kind.Kind, err)
	}
	patch := &statusPatch{
		TypeMetaApplyConfiguration: *metav1ac.TypeMeta().WithAPIVersion(kind.GroupVersion().String()).WithKind(kind.Kind),
		ObjectMetaApplyConfiguration: metav1ac.ObjectMeta().
			WithNamespace(object.GetNamespace()).WithName(object.GetName()).WithUID(object.GetUID()),
		Status: content,
	}
	if err := r.Client.Status().Apply(ctx, patch, client.ForceOwnership, client.FieldOwner(fieldOwner)); err != nil {
		return gone(fmt.Errorf("write status of %s %s/%s: %w", kind.Kind, object.GetNamespace(), object.GetName(), err))
	}
	statusWrites.WithLabelValues(kind.Kind).Inc()
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

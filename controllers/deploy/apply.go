// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/workload"
)

// This file computes the desired objects and applies or deletes one object.

const (
	// fieldOwner names this controller in managed fields.
	fieldOwner = "callback-operator"
	// maxRefusalBytes bounds a message of the API server in the status.
	maxRefusalBytes = 512
)

// desiredObject is an object to apply.
type desiredObject struct {
	*unstructured.Unstructured
	// onlyExisting applies the object only where it exists already.
	onlyExisting bool
}

// applied is the result for one object; zero: it is as desired, or not desired
// yet.
type applied struct {
	// isTaken is set when the object has another owner.
	isTaken bool
	// refusal is the message of the API server that refused the object.
	refusal string
	// isConflict is set when the object changed since it was read.
	isConflict bool
}

// desiredObjects returns the objects of a CallbackProxy. While a
// HorizontalPodAutoscaler scales the Deployment, its replicas are those that were
// read, for that resourceVersion only: without the field the API server would set
// its default, and a late cache would undo a decision of the autoscaler.
func (c *Controller) desiredObjects(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy) ([]desiredObject, error) {
	if proxy.Spec.Mode != callbackv1alpha1.ModeDeployment {
		binding, err := workload.RoleBinding(proxy, c.options)
		if err != nil {
			return nil, fmt.Errorf("compute RoleBinding: %w", err)
		}
		return []desiredObject{{binding, proxy.Spec.Mode != callbackv1alpha1.ModeSidecar}}, nil
	}
	replicas, version := workload.Replicas(proxy), ""
	scaled, err := c.scaledDeployment(ctx, proxy)
	if err != nil {
		return nil, err
	}
	if scaled != nil {
		replicas, version = *scaled.Spec.Replicas, scaled.ResourceVersion
	}
	objects, err := workload.Objects(proxy, c.options, replicas)
	if err != nil {
		return nil, fmt.Errorf("compute objects: %w", err)
	}
	desired := make([]desiredObject, len(objects))
	for i, object := range objects {
		if object.GetKind() == kube.KindDeployment.Kind {
			object.SetResourceVersion(version)
		}
		desired[i].Unstructured = object
	}
	return desired, nil
}

// scaledDeployment returns the Deployment of a CallbackProxy if there is one and
// a HorizontalPodAutoscaler decides its replicas; nil otherwise.
func (c *Controller) scaledDeployment(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy) (*appsv1.Deployment, error) {
	name := workload.Name(proxy.Name)
	var autoscalers autoscalingv2.HorizontalPodAutoscalerList
	if err := c.client.List(ctx, &autoscalers, client.InNamespace(proxy.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list HorizontalPodAutoscalers: %w", err)
	}
	if !slices.ContainsFunc(autoscalers.Items, func(h autoscalingv2.HorizontalPodAutoscaler) bool {
		return h.Spec.ScaleTargetRef.Kind == kube.KindDeployment.Kind && h.Spec.ScaleTargetRef.Name == name
	}) {
		return nil, nil //nolint:nilnil // no Deployment is scaled
	}
	deployment := &appsv1.Deployment{}
	switch err := c.client.Get(ctx, types.NamespacedName{Namespace: proxy.Namespace, Name: name}, deployment); {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // there is no Deployment yet
	case err != nil:
		return nil, fmt.Errorf("get Deployment %s: %w", name, err)
	case deployment.Spec.Replicas == nil || !isOwn(deployment, proxy.UID):
		return nil, nil //nolint:nilnil // there is no Deployment of the proxy's own yet
	}
	return deployment, nil
}

// ensure applies one object unless it has another owner. An error is transient.
func (c *Controller) ensure(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, desired desiredObject) (applied, error) {
	readers := []client.Reader{c.client, c.live}
	if desired.onlyExisting {
		readers = readers[:1] // the cache holds all own objects, as these have the label
	}
	existing, err := find(ctx, desired, readers)
	switch {
	case err != nil:
		return applied{}, err
	case desired.onlyExisting && (existing == nil || !isOwn(existing, proxy.UID)):
		return applied{}, nil
	case existing != nil && !isOwn(existing, proxy.UID):
		return applied{isTaken: true}, nil
	case existing != nil && !existing.GetDeletionTimestamp().IsZero():
		return applied{}, nil // the event of its deletion brings the next reconcile
	}
	return c.apply(ctx, desired, existing)
}

// apply writes one object by server-side apply. An own object is named by its UID
// and its fields are forced. A new one is not forced, so that an object that
// another client creates in the same moment keeps its fields.
func (c *Controller) apply(ctx context.Context, desired desiredObject, existing client.Object) (applied, error) {
	options := []client.ApplyOption{client.FieldOwner(fieldOwner), client.DisableReadYourWritesConsistency}
	if existing != nil {
		desired.SetUID(existing.GetUID())
		options = append(options, client.ForceOwnership)
	}
	err := c.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(desired.Unstructured), options...)
	var refused apierrors.APIStatus
	switch {
	case err == nil:
		ctrl.LoggerFrom(ctx).V(1).Info("object applied", "kind", desired.GetKind(), "name", desired.GetName())
		return applied{}, nil
	case apierrors.IsConflict(err):
		return applied{isConflict: true}, nil
	case isTransient(err), !errors.As(err, &refused):
		return applied{}, err
	}
	return applied{refusal: compile.Clip(refused.Status().Message, maxRefusalBytes)}, nil
}

// isTransient reports whether an error is no verdict on the object.
func isTransient(err error) bool {
	return apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsUnauthorized(err)
}

// find returns an object from the first reader that has it; nil when none has.
func find(ctx context.Context, desired desiredObject, readers []client.Reader) (client.Object, error) {
	for _, reader := range readers {
		object := kube.NewOwned(desired.GroupVersionKind())
		err := reader.Get(ctx, client.ObjectKeyFromObject(desired), object)
		if err == nil {
			return object, nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("get object: %w", err)
		}
	}
	return nil, nil //nolint:nilnil // there is no such object
}

// deleteOwn deletes an object of a kind that the controller applied.
func (c *Controller) deleteOwn(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, kind schema.GroupVersionKind) error {
	object := kube.NewOwned(kind)
	err := c.client.Get(ctx, types.NamespacedName{Namespace: proxy.Namespace, Name: workload.Name(proxy.Name)}, object)
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	if !isOwn(object, proxy.UID) || object.GetLabels()[callbackv1alpha1.ProxyLabel] != proxy.Name || !object.GetDeletionTimestamp().IsZero() {
		return nil
	}
	uid := object.GetUID()
	if err := c.client.Delete(ctx, object, client.Preconditions{UID: &uid}); err != nil {
		return client.IgnoreNotFound(err)
	}
	ctrl.LoggerFrom(ctx).Info("object deleted: the CallbackProxy does not desire it", "kind", kind.Kind, "name", object.GetName())
	return nil
}

// isOwn reports whether the CallbackProxy with a UID controls an object.
func isOwn(object client.Object, uid types.UID) bool {
	owner := metav1.GetControllerOfNoCopy(object)
	return owner != nil && owner.UID == uid && owner.Kind == "CallbackProxy"
}

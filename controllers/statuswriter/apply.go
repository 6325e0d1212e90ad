// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package statuswriter

// This file reads stored objects and applies statuses.

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/status"
)

// The kinds that have statuses.
const (
	kindRoute = "CallbackRoute"
	kindProxy = "CallbackProxy"
)

// fieldOwner names the controller in managed fields and events.
const fieldOwner = "callback-operator"

// storedObject is an object as the cache holds it.
type storedObject struct {
	kind   string
	object client.Object
	status any // a pointer, as desired statuses
}

// read returns the stored object of a key; nil when it is gone.
func (w *Writer) read(ctx context.Context, key Key) (*storedObject, error) {
	var stored *storedObject
	switch key.Kind {
	case kindProxy:
		proxy := &kube.Proxy{}
		stored = &storedObject{key.Kind, proxy, &proxy.Status}
	default:
		route := &kube.Route{}
		stored = &storedObject{key.Kind, route, &route.Status}
	}
	err := w.client.Get(ctx, key.NamespacedName, stored.object)
	switch {
	case apierrors.IsNotFound(err), err == nil && stored.object.GetUID() != key.UID:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("get %s %s: %w", key.Kind, key.NamespacedName, err)
	}
	return stored, nil
}

// isGone returns whether a conflict came from an object that was created anew.
func (w *Writer) isGone(ctx context.Context, key Key) bool {
	stored, err := w.read(ctx, key)
	return err == nil && stored == nil
}

// statusPatch applies a status and nothing else.
type statusPatch struct {
	metav1ac.TypeMetaApplyConfiguration
	*metav1ac.ObjectMetaApplyConfiguration `json:"metadata,omitempty"`

	// Status is raw, because the API server's response is decoded into the patch,
	// and typed code may be unable to decode it.
	Status json.RawMessage `json:"status"`
}

// IsApplyConfiguration marks the type as an apply configuration.
func (*statusPatch) IsApplyConfiguration() {}

// apply writes a whole status. Fields that it lacks are removed, if this
// controller wrote them; those of other writers stay.
func (w *Writer) apply(ctx context.Context, key Key, desired any) error {
	content, err := json.Marshal(desired)
	if err != nil {
		return fmt.Errorf("encode status of %s: %w", key.Kind, err)
	}
	patch := &statusPatch{
		TypeMetaApplyConfiguration:   *metav1ac.TypeMeta().WithAPIVersion(callbackv1alpha1.SchemeGroupVersion.String()).WithKind(key.Kind),
		ObjectMetaApplyConfiguration: metav1ac.ObjectMeta().WithNamespace(key.Namespace).WithName(key.Name).WithUID(key.UID),
		Status:                       content,
	}
	if err := w.client.Status().Apply(ctx, patch, client.ForceOwnership, client.FieldOwner(fieldOwner)); err != nil {
		return fmt.Errorf("write status of %s %s: %w", key.Kind, key.NamespacedName, err)
	}
	statusWrites.WithLabelValues(key.Kind).Inc()
	return nil
}

func compareStatus(before, after any) status.Change {
	switch after := after.(type) {
	case *callbackv1alpha1.CallbackRouteStatus:
		if before, is := before.(*callbackv1alpha1.CallbackRouteStatus); is {
			return status.CompareRoute(before, after)
		}
	case *callbackv1alpha1.CallbackProxyStatus:
		if before, is := before.(*callbackv1alpha1.CallbackProxyStatus); is {
			return compareProxy(before, after)
		}
	}
	return status.Spec
}

func conditionsOf(statusOf any) *[]metav1.Condition {
	switch s := statusOf.(type) {
	case *callbackv1alpha1.CallbackRouteStatus:
		return &s.Conditions
	case *callbackv1alpha1.CallbackProxyStatus:
		return &s.Conditions
	}
	return &[]metav1.Condition{}
}

func observedGeneration(statusOf any) int64 {
	switch s := statusOf.(type) {
	case *callbackv1alpha1.CallbackRouteStatus:
		return s.ObservedGeneration
	case *callbackv1alpha1.CallbackProxyStatus:
		return s.ObservedGeneration
	}
	return 0
}

// keepTransitionTimes returns the desired status with the transition times of
// stored conditions that it repeats: the pass may have computed it from an older
// status, and with a later time.
func keepTransitionTimes(stored, desired any) any {
	before := *conditionsOf(stored)
	var out any
	switch d := desired.(type) {
	case *callbackv1alpha1.CallbackRouteStatus:
		copied := *d
		out = &copied
	case *callbackv1alpha1.CallbackProxyStatus:
		copied := *d
		out = &copied
	}
	after := conditionsOf(out)
	*after = slices.Clone(*after)
	for i := range *after {
		c := &(*after)[i]
		if was := meta.FindStatusCondition(before, c.Type); was != nil && isRepeated(was, c) {
			c.LastTransitionTime = was.LastTransitionTime
		}
	}
	return out
}

// isRepeated returns whether a condition has no transition. As package status
// computes it, that of a refusal is another reason or generation as well, and that
// of SunsetPassed is the sunset.
func isRepeated(before, after *metav1.Condition) bool {
	switch after.Type {
	case callbackv1alpha1.ConditionSunsetPassed:
		return false
	case callbackv1alpha1.ConditionAccepted, callbackv1alpha1.ConditionResolvedRefs:
		return before.Status == after.Status && (after.Status != metav1.ConditionFalse ||
			before.Reason == after.Reason && before.ObservedGeneration == after.ObservedGeneration)
	}
	return before.Status == after.Status
}

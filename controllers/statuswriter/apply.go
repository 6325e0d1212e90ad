// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package statuswriter

// This file reads stored objects and applies statuses.

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
)

// fieldOwner names the controller in managed fields and events.
const fieldOwner = "callback-operator"

// read returns the stored object of a key; nil when it is gone.
func (w *Writer) read(ctx context.Context, key Key) (client.Object, error) {
	var object client.Object = &kube.Route{}
	if key.Kind == kindProxy {
		object = &kube.Proxy{}
	}
	err := w.client.Get(ctx, key.NamespacedName, object)
	switch {
	case apierrors.IsNotFound(err), err == nil && object.GetUID() != key.UID:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("get %s %s: %w", key.Kind, key.NamespacedName, err)
	}
	return object, nil
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
// controller wrote them; those of other writers stay. The UID makes it fail for an
// object that was created anew.
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
	return nil
}

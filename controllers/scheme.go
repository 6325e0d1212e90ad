// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// NewScheme returns the scheme of the manager's client and cache. It differs
// from the API's own in one point: a CallbackRoute is read as a StoredRoute.
func NewScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(discoveryv1.AddToScheme(scheme))
	utilruntime.Must(gatewayv1beta1.Install(scheme))
	group := callbackv1alpha1.SchemeGroupVersion
	scheme.AddKnownTypes(group,
		&callbackv1alpha1.CallbackProxy{}, &callbackv1alpha1.CallbackProxyList{},
		&callbackv1alpha1.CallbackProxyConfig{}, &callbackv1alpha1.CallbackProxyConfigList{},
	)
	scheme.AddKnownTypeWithName(group.WithKind("CallbackRoute"), &StoredRoute{})
	scheme.AddKnownTypeWithName(group.WithKind("CallbackRouteList"), &StoredRouteList{})
	metav1.AddToGroupVersion(scheme, group)
	return scheme
}

// StoredRoute is a CallbackRoute as it is stored, decodable or not. A typed
// list fails as a whole when one object in it cannot be decoded, and with it
// every tenant's route; so decoding a StoredRoute never fails, and what went
// wrong is kept beside what could be read.
type StoredRoute struct {
	callbackv1alpha1.CallbackRoute
	// DecodeError is empty when the whole object was read. Otherwise only
	// metadata, proxyRef and a readable status are there.
	DecodeError string `json:"-"`
}

// StoredRouteList is a list of StoredRoutes.
type StoredRouteList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []StoredRoute `json:"items"`
}

// UnmarshalJSON reads what can be read. It fails only on what is no
// Kubernetes object at all.
func (r *StoredRoute) UnmarshalJSON(data []byte) error {
	*r = StoredRoute{}
	err := json.Unmarshal(data, &r.CallbackRoute)
	if err == nil {
		return nil
	}
	*r = StoredRoute{DecodeError: err.Error()}
	var object struct {
		metav1.TypeMeta
		Metadata metav1.ObjectMeta `json:"metadata"`
		Spec     json.RawMessage   `json:"spec"`
		Status   json.RawMessage   `json:"status"`
	}
	if err := json.Unmarshal(data, &object); err != nil {
		return fmt.Errorf("decode CallbackRoute: %w", err)
	}
	r.TypeMeta, r.ObjectMeta = object.TypeMeta, object.Metadata
	var spec struct {
		ProxyRef callbackv1alpha1.ProxyReference `json:"proxyRef"`
	}
	if json.Unmarshal(object.Spec, &spec) == nil {
		r.Spec.ProxyRef = spec.ProxyRef
	}
	var status callbackv1alpha1.CallbackRouteStatus
	if json.Unmarshal(object.Status, &status) == nil {
		r.Status = status
	}
	return nil
}

// DeepCopyObject implements runtime.Object.
func (r *StoredRoute) DeepCopyObject() runtime.Object {
	out := &StoredRoute{DecodeError: r.DecodeError}
	r.DeepCopyInto(&out.CallbackRoute)
	return out
}

// DeepCopyObject implements runtime.Object.
func (l *StoredRouteList) DeepCopyObject() runtime.Object {
	out := &StoredRouteList{TypeMeta: l.TypeMeta, Items: make([]StoredRoute, len(l.Items))}
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	for i := range l.Items {
		out.Items[i].DecodeError = l.Items[i].DecodeError
		l.Items[i].DeepCopyInto(&out.Items[i].CallbackRoute)
	}
	return out
}

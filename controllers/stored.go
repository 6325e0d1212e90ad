// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

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
	parts, partsErr := readParts(data)
	if partsErr != nil {
		return fmt.Errorf("decode CallbackRoute: %w", partsErr)
	}
	*r = StoredRoute{}
	r.TypeMeta, r.ObjectMeta = parts.TypeMeta, parts.Metadata
	_ = json.Unmarshal(parts.Status, &r.Status) // what cannot be read is written anew
	if json.Unmarshal(parts.Spec, &r.Spec) == nil {
		return nil
	}
	var spec struct {
		ProxyRef callbackv1alpha1.ProxyReference `json:"proxyRef"`
	}
	_ = json.Unmarshal(parts.Spec, &spec)
	r.Spec = callbackv1alpha1.CallbackRouteSpec{ProxyRef: spec.ProxyRef}
	r.DecodeError = err.Error()
	return nil
}

// objectParts is an object of which parts may be unreadable.
type objectParts struct {
	metav1.TypeMeta
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     json.RawMessage   `json:"spec"`
	Status   json.RawMessage   `json:"status"`
}

func readParts(data []byte) (*objectParts, error) {
	parts := &objectParts{}
	return parts, json.Unmarshal(data, parts)
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

// StoredProxy is a CallbackProxy as it is stored, decodable or not, for the
// same reason.
type StoredProxy struct {
	callbackv1alpha1.CallbackProxy
	// DecodeError is empty when the spec was read.
	DecodeError string `json:"-"`
}

// StoredProxyList is a list of StoredProxies.
type StoredProxyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []StoredProxy `json:"items"`
}

// UnmarshalJSON reads what can be read.
func (p *StoredProxy) UnmarshalJSON(data []byte) error {
	*p = StoredProxy{}
	err := json.Unmarshal(data, &p.CallbackProxy)
	if err == nil {
		return nil
	}
	parts, partsErr := readParts(data)
	if partsErr != nil {
		return fmt.Errorf("decode CallbackProxy: %w", partsErr)
	}
	*p = StoredProxy{}
	p.TypeMeta, p.ObjectMeta = parts.TypeMeta, parts.Metadata
	if json.Unmarshal(parts.Spec, &p.Spec) != nil {
		p.Spec, p.DecodeError = callbackv1alpha1.CallbackProxySpec{}, err.Error()
	}
	if json.Unmarshal(parts.Status, &p.Status) != nil {
		p.Status = callbackv1alpha1.CallbackProxyStatus{}
	}
	return nil
}

// DeepCopyObject implements runtime.Object.
func (p *StoredProxy) DeepCopyObject() runtime.Object {
	out := &StoredProxy{DecodeError: p.DecodeError}
	p.DeepCopyInto(&out.CallbackProxy)
	return out
}

// DeepCopyObject implements runtime.Object.
func (l *StoredProxyList) DeepCopyObject() runtime.Object {
	out := &StoredProxyList{TypeMeta: l.TypeMeta, Items: make([]StoredProxy, len(l.Items))}
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	for i := range l.Items {
		out.Items[i].DecodeError = l.Items[i].DecodeError
		l.Items[i].DeepCopyInto(&out.Items[i].CallbackProxy)
	}
	return out
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// This file defines the stored objects that decode even if their spec does not.
// A typed list fails as a whole when one object in it cannot be decoded, and one
// tenant's object would stop all other routes. (Go cannot embed a type parameter,
// so each kind is a struct of its own around the generic decode and List.)

// Route is a stored CallbackRoute, decodable or not.
type Route struct {
	callbackv1alpha1.CallbackRoute
	// DecodeError is empty when the whole object was decoded. Otherwise only
	// metadata, spec.proxyRef and, if it can be decoded, the status are set.
	DecodeError string `json:"-"`
}

// UnmarshalJSON fails only for data that is no Kubernetes object.
func (r *Route) UnmarshalJSON(data []byte) (err error) {
	r.CallbackRoute, r.DecodeError, err = decode[callbackv1alpha1.CallbackRoute](data, "proxyRef")
	return err
}

// DeepCopyInto copies the object.
func (r *Route) DeepCopyInto(out *Route) {
	out.DecodeError = r.DecodeError
	r.CallbackRoute.DeepCopyInto(&out.CallbackRoute)
}

// DeepCopyObject implements runtime.Object.
func (r *Route) DeepCopyObject() runtime.Object {
	out := &Route{}
	r.DeepCopyInto(out)
	return out
}

// Proxy is a stored CallbackProxy, decodable or not.
type Proxy struct {
	callbackv1alpha1.CallbackProxy
	// DecodeError is empty when the whole object was decoded. Otherwise only
	// metadata and, if it can be decoded, the status are set.
	DecodeError string `json:"-"`
}

// UnmarshalJSON fails only for data that is no Kubernetes object.
func (p *Proxy) UnmarshalJSON(data []byte) (err error) {
	p.CallbackProxy, p.DecodeError, err = decode[callbackv1alpha1.CallbackProxy](data)
	return err
}

// DeepCopyInto copies the object.
func (p *Proxy) DeepCopyInto(out *Proxy) {
	out.DecodeError = p.DecodeError
	p.CallbackProxy.DeepCopyInto(&out.CallbackProxy)
}

// DeepCopyObject implements runtime.Object.
func (p *Proxy) DeepCopyObject() runtime.Object {
	out := &Proxy{}
	p.DeepCopyInto(out)
	return out
}

// List is a list of stored objects; decoding it fails only for data that is no
// Kubernetes list.
type List[T any, P interface {
	*T
	DeepCopyInto(*T)
}] struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []T `json:"items"`
}

type (
	// RouteList is a list of stored CallbackRoutes.
	RouteList = List[Route, *Route]
	// ProxyList is a list of stored CallbackProxies.
	ProxyList = List[Proxy, *Proxy]
)

// DeepCopyObject implements runtime.Object.
func (l *List[T, P]) DeepCopyObject() runtime.Object {
	out := &List[T, P]{TypeMeta: l.TypeMeta, Items: make([]T, len(l.Items))}
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	for i := range l.Items {
		P(&l.Items[i]).DeepCopyInto(&out.Items[i])
	}
	return out
}

// decode reads an object of type T. When its spec cannot be decoded, decodeError
// is the reason and the object has of its spec only the kept fields, as far as
// these can be decoded. An undecodable status is left empty, because the
// controller writes a whole one anyway.
func decode[T any](data []byte, kept ...string) (object T, decodeError string, err error) {
	cause := json.Unmarshal(data, &object)
	if cause == nil {
		return object, "", nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return object, "", fmt.Errorf("decode %T: %w", object, err)
	}
	object = *new(T)
	for _, name := range []string{"apiVersion", "kind", "metadata"} {
		if !decodeField(&object, name, fields[name]) {
			return object, "", fmt.Errorf("decode %s of %T: %w", name, object, cause)
		}
	}
	decodeField(&object, "status", fields["status"])
	if decodeField(&object, "spec", fields["spec"]) {
		return object, "", nil
	}
	var spec, rest map[string]json.RawMessage
	if json.Unmarshal(fields["spec"], &spec) == nil {
		rest = make(map[string]json.RawMessage, len(kept))
		for _, name := range kept {
			rest[name] = spec[name]
		}
		if remainder, err := json.Marshal(rest); err == nil {
			decodeField(&object, "spec", remainder)
		}
	}
	return object, cause.Error(), nil
}

// decodeField sets one top-level field of an object. It reports false, and leaves
// the object as it was, when the value cannot be decoded.
func decodeField[T any](object *T, name string, value json.RawMessage) bool {
	if value == nil {
		return true
	}
	data, err := json.Marshal(map[string]json.RawMessage{name: value})
	if err != nil {
		return false
	}
	changed := *object
	if json.Unmarshal(data, &changed) != nil {
		return false
	}
	*object = changed
	return true
}

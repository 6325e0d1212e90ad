// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the API of callback-operator: CallbackRoute (what an
// identity team writes), CallbackProxy (what a platform team writes) and
// CallbackProxyConfig (what the controller compiles out of both and the
// proxies read). Types only; the package imports nothing of this project.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +groupName=callbackproxy.io
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// SchemeGroupVersion is the group and version of every kind of this package.
var SchemeGroupVersion = schema.GroupVersion{Group: "callbackproxy.io", Version: "v1alpha1"}

var schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

// AddToScheme registers the kinds of this package.
var AddToScheme = schemeBuilder.AddToScheme

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(SchemeGroupVersion,
		&CallbackRoute{}, &CallbackRouteList{},
		&CallbackProxy{}, &CallbackProxyList{},
		&CallbackProxyConfig{}, &CallbackProxyConfigList{},
	)
	metav1.AddToGroupVersion(scheme, SchemeGroupVersion)
	return nil
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kube defines how the manager reads the Kubernetes API: its scheme, the
// stored objects that decode even if their spec does not, the namespaces in
// scope, and what the cache keeps of each object. In: settings and a REST config;
// out: options for controller-runtime. It makes no requests of its own.
package kube

import (
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// NewScheme returns the scheme of the manager's client and cache. It differs
// from the API's own in two points: a CallbackRoute is read as a Route, and a
// CallbackProxy as a Proxy.
func NewScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(appsv1.AddToScheme(scheme))
	utilruntime.Must(autoscalingv2.AddToScheme(scheme))
	utilruntime.Must(discoveryv1.AddToScheme(scheme))
	utilruntime.Must(gatewayv1.Install(scheme))
	utilruntime.Must(gatewayv1beta1.Install(scheme))
	group := callbackv1alpha1.SchemeGroupVersion
	scheme.AddKnownTypes(group,
		&callbackv1alpha1.CallbackProxyConfig{}, &callbackv1alpha1.CallbackProxyConfigList{},
	)
	scheme.AddKnownTypeWithName(group.WithKind("CallbackRoute"), &Route{})
	scheme.AddKnownTypeWithName(group.WithKind("CallbackRouteList"), &RouteList{})
	scheme.AddKnownTypeWithName(group.WithKind("CallbackProxy"), &Proxy{})
	scheme.AddKnownTypeWithName(group.WithKind("CallbackProxyList"), &ProxyList{})
	metav1.AddToGroupVersion(scheme, group)
	return scheme
}

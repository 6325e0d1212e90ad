// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// NewScheme returns the scheme of the manager's client and cache. It differs
// from the API's own in two points: a CallbackRoute is read as a StoredRoute,
// a CallbackProxy as a StoredProxy.
func NewScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(appsv1.AddToScheme(scheme))
	utilruntime.Must(autoscalingv2.AddToScheme(scheme))
	utilruntime.Must(discoveryv1.AddToScheme(scheme))
	utilruntime.Must(eventsv1.AddToScheme(scheme))
	utilruntime.Must(gatewayv1beta1.Install(scheme))
	group := callbackv1alpha1.SchemeGroupVersion
	scheme.AddKnownTypes(group,
		&callbackv1alpha1.CallbackProxyConfig{}, &callbackv1alpha1.CallbackProxyConfigList{},
	)
	scheme.AddKnownTypeWithName(group.WithKind("CallbackRoute"), &StoredRoute{})
	scheme.AddKnownTypeWithName(group.WithKind("CallbackRouteList"), &StoredRouteList{})
	scheme.AddKnownTypeWithName(group.WithKind("CallbackProxy"), &StoredProxy{})
	scheme.AddKnownTypeWithName(group.WithKind("CallbackProxyList"), &StoredProxyList{})
	metav1.AddToGroupVersion(scheme, group)
	return scheme
}

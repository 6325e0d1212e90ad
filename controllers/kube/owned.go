// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The kinds of the objects that run the proxies of a CallbackProxy.
var (
	KindDeployment     = appsv1.SchemeGroupVersion.WithKind("Deployment")
	KindService        = corev1.SchemeGroupVersion.WithKind("Service")
	KindServiceAccount = corev1.SchemeGroupVersion.WithKind("ServiceAccount")
	KindBudget         = policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget")
	KindNetworkPolicy  = networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy")
	KindRoleBinding    = rbacv1.SchemeGroupVersion.WithKind("RoleBinding")
)

// NewOwned returns an empty object of one of these kinds, of the Go type by which
// the cache holds it: a typed Deployment for its replicas, a typed Service
// because routes name Services too, and otherwise metadata alone.
func NewOwned(kind schema.GroupVersionKind) client.Object {
	switch kind {
	case KindDeployment:
		return &appsv1.Deployment{}
	case KindService:
		return &corev1.Service{}
	}
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	return object
}

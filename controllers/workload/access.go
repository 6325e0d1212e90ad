// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// serviceAccount returns the proxies' account. Its token is mounted only by the
// token volume of the pod.
func serviceAccount(proxy *callbackv1alpha1.CallbackProxy) *corev1.ServiceAccount {
	mount := false
	return &corev1.ServiceAccount{
		TypeMeta:                     metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta:                   meta(proxy, Name(proxy.Name)),
		AutomountServiceAccountToken: &mount,
	}
}

// roleBinding returns the RoleBinding that lets accounts read the compiled config
// of the namespace.
func roleBinding(proxy *callbackv1alpha1.CallbackProxy, o Options, subjects []rbacv1.Subject) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
		ObjectMeta: meta(proxy, RoleBindingName(proxy.Name)),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: o.ClusterRole},
		Subjects:   subjects,
	}
}

// subjects returns the accounts of the proxies. In mode Sidecar any pod of the
// namespace may get a proxy, whatever its account.
func subjects(proxy *callbackv1alpha1.CallbackProxy) []rbacv1.Subject {
	switch proxy.Spec.Mode {
	case callbackv1alpha1.ModeDeployment:
		return []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: proxy.Namespace, Name: Name(proxy.Name)}}
	case callbackv1alpha1.ModeSidecar:
		return []rbacv1.Subject{{
			APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:serviceaccounts:" + proxy.Namespace,
		}}
	case callbackv1alpha1.ModeExternal: // the user binds the accounts
	}
	return nil
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// Options are the settings of the manager that decide about every fleet.
type Options struct {
	// Image of the proxies, and when and with which Secrets it is pulled. The
	// Secrets are in the namespace of the fleet.
	Image       string
	PullPolicy  corev1.PullPolicy
	PullSecrets []string
	// ClusterRole lets a proxy read its config.
	ClusterRole string
	// ManagerNamespace is where the manager asks from; empty: it is not known.
	ManagerNamespace string
}

const (
	// Manager is the value of the label app.kubernetes.io/managed-by.
	Manager = "callback-operator"
	// MetricsLabel of a Namespace, with the value MetricsAllowed, lets its pods
	// reach the admin port of the fleets, where the metrics are.
	MetricsLabel = "callbackproxy.io/metrics"
	// MetricsAllowed is the value of MetricsLabel.
	MetricsAllowed = "allowed"
	// defaultReplicas is how many proxies a fleet has that does not say.
	defaultReplicas = 2
)

// Name returns the name of what runs a fleet, its RoleBinding aside.
func Name(proxy string) string { return "callback-" + proxy }

// RoleBindingName returns the name of a fleet's RoleBinding.
func RoleBindingName(proxy string) string { return "callback-proxy-" + proxy }

// Replicas returns how many proxies a CallbackProxy declares.
func Replicas(proxy *callbackv1alpha1.CallbackProxy) int32 {
	return cmp.Or(proxy.Spec.Deployment.Replicas, defaultReplicas)
}

// Objects returns what runs the fleet of a CallbackProxy of mode Deployment,
// in the order in which it is to be made: an account that may read its config
// comes before the pods that want to. replicas is how many proxies there are to
// be, whoever decides it; with one there is no PodDisruptionBudget.
func Objects(proxy *callbackv1alpha1.CallbackProxy, o Options, replicas int32) ([]*unstructured.Unstructured, error) {
	typed := []runtime.Object{
		serviceAccount(proxy),
		roleBinding(proxy, o, subjects(proxy)),
		networkPolicy(proxy, o),
		service(proxy),
		deployment(proxy, o, replicas),
	}
	if replicas > 1 {
		typed = append(typed, disruptionBudget(proxy))
	}
	return bare(typed)
}

// RoleBinding returns the one object of a fleet of mode Sidecar. Without a mode
// it names nobody: then it gives nothing, and is applied only where there is
// one, as the operator may not delete RoleBindings.
func RoleBinding(proxy *callbackv1alpha1.CallbackProxy, o Options) (*unstructured.Unstructured, error) {
	objects, err := bare([]runtime.Object{roleBinding(proxy, o, subjects(proxy))})
	if err != nil {
		return nil, err
	}
	return objects[0], nil
}

// bare returns objects as they are applied: what is not in there is not ours to
// decide.
func bare(typed []runtime.Object) ([]*unstructured.Unstructured, error) {
	objects := make([]*unstructured.Unstructured, 0, len(typed))
	for _, object := range typed {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return nil, fmt.Errorf("convert %T: %w", object, err)
		}
		delete(content, "status")
		objects = append(objects, &unstructured.Unstructured{Object: content})
	}
	return objects, nil
}

// meta is the metadata of an object of a fleet. There is no blockOwnerDeletion:
// where the API server checks it, it takes more rights over CallbackProxies.
func meta(proxy *callbackv1alpha1.CallbackProxy, name string) metav1.ObjectMeta {
	controller := true
	return metav1.ObjectMeta{
		Namespace: proxy.Namespace,
		Name:      name,
		Labels:    labels(proxy),
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: callbackv1alpha1.SchemeGroupVersion.String(),
			Kind:       "CallbackProxy",
			Name:       proxy.Name,
			UID:        proxy.UID,
			Controller: &controller,
		}},
	}
}

func labels(proxy *callbackv1alpha1.CallbackProxy) map[string]string {
	return map[string]string{
		"app.kubernetes.io/name":       "callback-proxy",
		"app.kubernetes.io/instance":   proxy.Name,
		"app.kubernetes.io/managed-by": Manager,
		callbackv1alpha1.ProxyLabel:    proxy.Name,
	}
}

// selector finds the pods of a fleet.
func selector(proxy *callbackv1alpha1.CallbackProxy) map[string]string {
	return map[string]string{callbackv1alpha1.ProxyLabel: proxy.Name}
}

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

// Options are the settings of the manager that apply to every fleet.
type Options struct {
	// Image of the proxies, and when and with which Secrets it is pulled. The
	// Secrets are in the namespace of the fleet.
	Image       string
	PullPolicy  corev1.PullPolicy
	PullSecrets []string
	// ClusterRole lets a proxy read its config.
	ClusterRole string
	// ManagerNamespace is the namespace from which the manager polls; empty when
	// it is unknown.
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
	// defaultReplicas is the number of proxies when spec.deployment.replicas is
	// not set.
	defaultReplicas = 2
)

// Name returns the name of a fleet's objects, except its RoleBinding.
func Name(proxy string) string { return "callback-" + proxy }

// RoleBindingName returns the name of a fleet's RoleBinding.
func RoleBindingName(proxy string) string { return "callback-proxy-" + proxy }

// Replicas returns the number of proxies that a CallbackProxy declares.
func Replicas(proxy *callbackv1alpha1.CallbackProxy) int32 {
	return cmp.Or(proxy.Spec.Deployment.Replicas, defaultReplicas)
}

// Objects returns the objects that run the fleet of a CallbackProxy of mode
// Deployment, in the order in which they are to be applied: the account that may
// read the config comes before the pods that use it. replicas is the number of
// proxies, declared or decided by an autoscaler; with one proxy there is no
// PodDisruptionBudget.
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

// RoleBinding returns the only object of a fleet of mode Sidecar. In mode External
// it has no subjects and grants nothing; it is applied only where one exists,
// because the operator may not delete RoleBindings.
func RoleBinding(proxy *callbackv1alpha1.CallbackProxy, o Options) (*unstructured.Unstructured, error) {
	objects, err := bare([]runtime.Object{roleBinding(proxy, o, subjects(proxy))})
	if err != nil {
		return nil, err
	}
	return objects[0], nil
}

// bare returns objects with only the fields that are applied; other clients decide
// all others.
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

// meta returns the metadata of an object of a fleet. It leaves blockOwnerDeletion
// out: an API server that checks it requires more rights over CallbackProxies.
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

// selector returns the labels that select the pods of a fleet.
func selector(proxy *callbackv1alpha1.CallbackProxy) map[string]string {
	return map[string]string{callbackv1alpha1.ProxyLabel: proxy.Name}
}

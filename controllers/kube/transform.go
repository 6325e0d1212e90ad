// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// This file holds the cache's transforms: one function per kind of which a cluster
// has many objects, or to which a tenant can add. It keeps the fields that a
// controller reads.

var withoutManagedFields = cache.TransformStripManagedFields()

// transform makes an informer's transform of a slimming function.
func transform[T client.Object](slim func(T) T) func(any) (any, error) {
	return func(object any) (any, error) {
		typed, is := object.(T)
		if !is {
			return withoutManagedFields(object)
		}
		return slim(typed), nil
	}
}

// identity keeps the fields that name an object and its version, and the labels.
func identity(o client.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(), ResourceVersion: o.GetResourceVersion(),
		Generation: o.GetGeneration(), CreationTimestamp: o.GetCreationTimestamp(), DeletionTimestamp: o.GetDeletionTimestamp(),
		Labels: o.GetLabels(),
	}
}

// slimRoute keeps of the metadata the identity and the hold: a tenant can fill
// metadata with far more than a spec holds.
func slimRoute(route *Route) *Route {
	annotations := route.Annotations
	route.ObjectMeta = identity(route)
	route.Labels = nil
	if reason, held := annotations[callbackv1alpha1.HoldAnnotation]; held {
		reason = strings.TrimSpace(reason)
		// A reason of this length has no effect, so a cut one
		// has none either. Only whole characters are kept.
		reason = strings.ToValidUTF8(reason[:min(len(reason), maxCachedHold)], "")
		route.Annotations = map[string]string{callbackv1alpha1.HoldAnnotation: reason}
	}
	return route
}

// maxCachedHold is more bytes than the reason of a hold may have.
const maxCachedHold = 2048

func slimProxy(proxy *Proxy) *Proxy {
	proxy.ObjectMeta = identity(proxy)
	proxy.Labels = nil
	return proxy
}

func slimPod(pod *corev1.Pod) *corev1.Pod {
	slim := &corev1.Pod{TypeMeta: pod.TypeMeta, ObjectMeta: identity(pod)}
	slim.Spec.Containers = slimContainers(pod.Spec.Containers)
	slim.Spec.InitContainers = slimContainers(pod.Spec.InitContainers)
	slim.Status.Phase, slim.Status.PodIP = pod.Status.Phase, pod.Status.PodIP
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			slim.Status.Conditions = []corev1.PodCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	return slim
}

func slimContainers(containers []corev1.Container) []corev1.Container {
	slim := make([]corev1.Container, len(containers))
	for i := range containers {
		slim[i] = corev1.Container{Name: containers[i].Name, Ports: containers[i].Ports}
	}
	return slim
}

func slimService(service *corev1.Service) *corev1.Service {
	slim := &corev1.Service{TypeMeta: service.TypeMeta, ObjectMeta: identity(service)}
	slim.Labels = nil
	if proxy, is := service.Labels[callbackv1alpha1.ProxyLabel]; is {
		slim.Labels = map[string]string{callbackv1alpha1.ProxyLabel: proxy}
	}
	slim.OwnerReferences = controllerOf(service)
	slim.Spec.Type = service.Spec.Type
	slim.Spec.ClusterIP, slim.Spec.ClusterIPs = service.Spec.ClusterIP, service.Spec.ClusterIPs
	slim.Spec.Ports = service.Spec.Ports
	return slim
}

// slimMetadata keeps the identity and the controller of an object.
func slimMetadata(object *metav1.PartialObjectMetadata) *metav1.PartialObjectMetadata {
	slim := &metav1.PartialObjectMetadata{TypeMeta: object.TypeMeta, ObjectMeta: identity(object)}
	slim.OwnerReferences = controllerOf(object)
	return slim
}

// controllerOf keeps, of an object's owners, the controller.
func controllerOf(object client.Object) []metav1.OwnerReference {
	owner := metav1.GetControllerOf(object)
	if owner == nil {
		return nil
	}
	return []metav1.OwnerReference{*owner}
}

// slimSlice keeps of the labels only the Service's name: a cluster has many
// EndpointSlices, and each change of a Pod writes one.
func slimSlice(slice *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	slim := &discoveryv1.EndpointSlice{TypeMeta: slice.TypeMeta, ObjectMeta: identity(slice)}
	slim.Labels = nil
	if service := slice.Labels[discoveryv1.LabelServiceName]; service != "" {
		slim.Labels = map[string]string{discoveryv1.LabelServiceName: service}
	}
	slim.AddressType, slim.Ports = slice.AddressType, slice.Ports
	slim.Endpoints = make([]discoveryv1.Endpoint, len(slice.Endpoints))
	for i := range slice.Endpoints {
		slim.Endpoints[i].Addresses = slice.Endpoints[i].Addresses
		slim.Endpoints[i].Conditions.Ready = slice.Endpoints[i].Conditions.Ready
	}
	return slim
}

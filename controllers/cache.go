// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// CacheOptions returns what the manager caches: of pods and of what fleets are
// made of only what carries their label, and of each object of others only what
// a pass reads. A cluster has far more Services, endpoints and pods than routes.
func CacheOptions(settings Settings) cache.Options {
	label, err := labels.NewRequirement(callbackv1alpha1.ProxyLabel, selection.Exists, nil)
	if err != nil {
		panic(err) // the label is a constant
	}
	fleet := labels.NewSelector().Add(*label)
	options := cache.Options{
		DefaultTransform: withoutManagedFields,
		ByObject: map[client.Object]cache.ByObject{
			&StoredRoute{}:               {Transform: transform(slimRoute)},
			&StoredProxy{}:               {Transform: transform(slimProxy)},
			&corev1.Pod{}:                {Label: fleet, Transform: transform(slimPod)},
			&corev1.Service{}:            {Transform: transform(slimService)},
			&discoveryv1.EndpointSlice{}: {Transform: transform(slimSlice)},
			stub(kindRoleBinding):        {Label: fleet, Transform: transform(slimPart)},
		},
	}
	if len(settings.WatchNamespaces) > 0 {
		options.DefaultNamespaces = namespaces(settings.WatchNamespaces)
	}
	if len(settings.ProxyNamespaces) > 0 {
		managed := namespaces(settings.ProxyNamespaces)
		options.ByObject[&appsv1.Deployment{}] = cache.ByObject{Namespaces: managed, Label: fleet, Transform: transform(slimDeployment)}
		options.ByObject[&autoscalingv2.HorizontalPodAutoscaler{}] = cache.ByObject{Namespaces: managed, Transform: transform(slimScaler)}
		for _, kind := range metadataKinds {
			options.ByObject[stub(kind)] = cache.ByObject{Namespaces: managed, Label: fleet, Transform: transform(slimPart)}
		}
	}
	return options
}

// metadataKinds are those of which only the metadata are read, in the namespaces
// in which fleets are run.
var metadataKinds = []schema.GroupVersionKind{kindServiceAccount, kindBudget, kindNetworkPolicy}

func namespaces(names []string) map[string]cache.Config {
	configs := make(map[string]cache.Config, len(names))
	for _, name := range names {
		configs[name] = cache.Config{}
	}
	return configs
}

var withoutManagedFields = cache.TransformStripManagedFields()

// transform makes an informer's transform of a function that replaces an
// object by what is read of it.
func transform[T client.Object](slim func(T) T) func(any) (any, error) {
	return func(object any) (any, error) {
		typed, is := object.(T)
		if !is {
			return withoutManagedFields(object)
		}
		return slim(typed), nil
	}
}

// identity keeps what names an object, and the labels.
func identity(o client.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(), ResourceVersion: o.GetResourceVersion(),
		Generation: o.GetGeneration(), CreationTimestamp: o.GetCreationTimestamp(), DeletionTimestamp: o.GetDeletionTimestamp(),
		Labels: o.GetLabels(),
	}
}

// slimRoute keeps of the metadata what is read of them: a tenant may fill them
// with far more than a spec can hold.
func slimRoute(route *StoredRoute) *StoredRoute {
	annotations := route.Annotations
	route.ObjectMeta = identity(route)
	route.Labels = nil
	if reason, held := annotations[callbackv1alpha1.HoldAnnotation]; held {
		// One that is longer has no effect, however long it is.
		route.Annotations = map[string]string{
			callbackv1alpha1.HoldAnnotation: clip(strings.TrimSpace(reason), maxCachedHold),
		}
	}
	return route
}

// maxCachedHold is more than a hold's reason may have.
const maxCachedHold = 2048

func slimProxy(proxy *StoredProxy) *StoredProxy {
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
	if fleet, is := service.Labels[callbackv1alpha1.ProxyLabel]; is {
		slim.Labels = map[string]string{callbackv1alpha1.ProxyLabel: fleet}
	}
	slim.OwnerReferences = controllers(service)
	slim.Spec.Type = service.Spec.Type
	slim.Spec.ClusterIP, slim.Spec.ClusterIPs = service.Spec.ClusterIP, service.Spec.ClusterIPs
	slim.Spec.Ports = service.Spec.Ports
	return slim
}

// slimPart keeps of an object of a fleet whose it is and which version.
func slimPart(object *metav1.PartialObjectMetadata) *metav1.PartialObjectMetadata {
	slim := &metav1.PartialObjectMetadata{TypeMeta: object.TypeMeta, ObjectMeta: identity(object)}
	slim.OwnerReferences = controllers(object)
	return slim
}

func slimDeployment(deployment *appsv1.Deployment) *appsv1.Deployment {
	slim := &appsv1.Deployment{TypeMeta: deployment.TypeMeta, ObjectMeta: identity(deployment)}
	slim.OwnerReferences = controllers(deployment)
	slim.Spec.Replicas = deployment.Spec.Replicas
	return slim
}

func slimScaler(scaler *autoscalingv2.HorizontalPodAutoscaler) *autoscalingv2.HorizontalPodAutoscaler {
	slim := &autoscalingv2.HorizontalPodAutoscaler{TypeMeta: scaler.TypeMeta, ObjectMeta: identity(scaler)}
	slim.Labels = nil
	slim.Spec.ScaleTargetRef = scaler.Spec.ScaleTargetRef
	return slim
}

// controllers keeps of an object's owners the one that controls it.
func controllers(object client.Object) []metav1.OwnerReference {
	owner := metav1.GetControllerOf(object)
	if owner == nil {
		return nil
	}
	return []metav1.OwnerReference{*owner}
}

// slimSlice keeps of the labels only the Service's name: a cluster's slices
// are many, and are written at every change of a pod.
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

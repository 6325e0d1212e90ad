// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// CacheOptions returns the options of the manager's cache. It holds only the Pods
// and the objects of fleets that have the fleet label, and of kinds with many
// objects only the fields that a controller reads: a cluster has far more Services,
// EndpointSlices and Pods than routes.
func CacheOptions(scope Scope) cache.Options {
	label, err := labels.NewRequirement(callbackv1alpha1.ProxyLabel, selection.Exists, nil)
	if err != nil {
		panic(err) // the label is a constant
	}
	labelled := labels.NewSelector().Add(*label)
	options := cache.Options{
		DefaultTransform: withoutManagedFields,
		ByObject: map[client.Object]cache.ByObject{
			&Route{}:                     {Transform: transform(slimRoute)},
			&Proxy{}:                     {Transform: transform(slimProxy)},
			&corev1.Pod{}:                {Label: labelled, Transform: transform(slimPod)},
			&corev1.Service{}:            {Transform: transform(slimService)},
			&discoveryv1.EndpointSlice{}: {Transform: transform(slimSlice)},
			NewOwned(KindRoleBinding):    {Label: labelled, Transform: transform(slimMetadata)},
		},
	}
	if len(scope.WatchNamespaces) > 0 {
		options.DefaultNamespaces = cacheConfigs(scope.WatchNamespaces)
	}
	if len(scope.ProxyNamespaces) > 0 {
		managed := cacheConfigs(scope.ProxyNamespaces)
		options.ByObject[&appsv1.Deployment{}] = cache.ByObject{Namespaces: managed, Label: labelled}
		options.ByObject[&autoscalingv2.HorizontalPodAutoscaler{}] = cache.ByObject{Namespaces: managed}
		for _, kind := range []schema.GroupVersionKind{KindServiceAccount, KindBudget, KindNetworkPolicy} {
			options.ByObject[NewOwned(kind)] = cache.ByObject{Namespaces: managed, Label: labelled, Transform: transform(slimMetadata)}
		}
	}
	return options
}

func cacheConfigs(namespaces []string) map[string]cache.Config {
	configs := make(map[string]cache.Config, len(namespaces))
	for _, namespace := range namespaces {
		configs[namespace] = cache.Config{}
	}
	return configs
}

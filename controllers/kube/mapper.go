// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"net/http"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// NewMapper returns a mapper that knows the kinds that the manager needs without
// a request, and requests all others from the API server. So a manager that starts
// while the API server is away waits for it instead of ending.
func NewMapper(config *rest.Config, httpClient *http.Client) (meta.RESTMapper, error) {
	dynamic, err := apiutil.NewDynamicRESTMapper(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("make mapper: %w", err)
	}
	known := meta.NewDefaultRESTMapper(nil)
	known.Add(corev1.SchemeGroupVersion.WithKind("Namespace"), meta.RESTScopeRoot)
	for _, kind := range []schema.GroupVersionKind{
		corev1.SchemeGroupVersion.WithKind("Event"), corev1.SchemeGroupVersion.WithKind("Pod"), corev1.SchemeGroupVersion.WithKind("Service"),
		discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"),
		callbackv1alpha1.SchemeGroupVersion.WithKind("CallbackProxy"),
		callbackv1alpha1.SchemeGroupVersion.WithKind("CallbackProxyConfig"),
		callbackv1alpha1.SchemeGroupVersion.WithKind("CallbackRoute"),
		KindDeployment, KindServiceAccount, KindBudget, KindNetworkPolicy, KindRoleBinding,
		autoscalingv2.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"),
	} {
		known.Add(kind, meta.RESTScopeNamespace)
	}
	return meta.FirstHitRESTMapper{MultiRESTMapper: meta.MultiRESTMapper{known, dynamic}}, nil
}

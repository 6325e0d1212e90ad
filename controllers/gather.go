// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/kube"
)

// apiServer is the Service of the API server itself.
var apiServer = types.NamespacedName{Namespace: metav1.NamespaceDefault, Name: "kubernetes"}

// gather reads everything that a pass decides about. What it returns is shared
// with the cache and must not be changed. proxy is nil when there is none.
func (r *Reconciler) gather(ctx context.Context, key types.NamespacedName, proxy *callbackv1alpha1.CallbackProxy) (*compile.Snapshot, error) {
	s := &compile.Snapshot{
		Key:            key,
		Proxy:          proxy,
		Namespaces:     map[string]labels.Set{},
		Services:       map[types.NamespacedName]*corev1.Service{},
		EndpointSlices: map[types.NamespacedName][]discoveryv1.EndpointSlice{},
	}
	options := []client.ListOption{client.UnsafeDisableDeepCopy}
	if r.RoutesOf != nil {
		options = append(options, r.RoutesOf(key))
	}
	var list kube.RouteList
	if err := r.Client.List(ctx, &list, options...); err != nil {
		return nil, fmt.Errorf("list CallbackRoutes: %w", err)
	}
	for i := range list.Items {
		if route := &list.Items[i]; proxyKey(&route.CallbackRoute) == key {
			s.Routes = append(s.Routes, compile.Route{Object: &route.CallbackRoute, DecodeError: route.DecodeError})
		}
	}
	if s.Proxy == nil {
		return s, nil
	}
	for _, step := range []func(context.Context, *compile.Snapshot) error{
		r.gatherNamespaces, r.gatherServices, r.gatherGrants, r.gatherForbidden,
	} {
		if err := step(ctx, s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// getProxy returns a CallbackProxy, nil when there is none that stays. None is
// found in namespaces that are not watched.
func (r *Reconciler) getProxy(ctx context.Context, key types.NamespacedName) (*kube.Proxy, error) {
	if !r.Settings.Watches(key.Namespace) {
		return nil, nil
	}
	proxy := &kube.Proxy{}
	switch err := r.Client.Get(ctx, key, proxy); {
	case apierrors.IsNotFound(err) || err == nil && !proxy.DeletionTimestamp.IsZero():
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("get CallbackProxy: %w", err)
	}
	return proxy, nil
}

// proxyKey names the CallbackProxy of a route.
func proxyKey(route *callbackv1alpha1.CallbackRoute) types.NamespacedName {
	ref := route.Spec.ProxyRef
	return types.NamespacedName{
		Namespace: cmp.Or(string(ref.Namespace), route.Namespace),
		Name:      string(ref.Name),
	}
}

// serviceKeys names the Services of a route.
func serviceKeys(route *callbackv1alpha1.CallbackRoute) []types.NamespacedName {
	keys := make([]types.NamespacedName, 0, len(route.Spec.Backends))
	for i := range route.Spec.Backends {
		ref := &route.Spec.Backends[i].Service
		keys = append(keys, types.NamespacedName{
			Namespace: cmp.Or(string(ref.Namespace), route.Namespace),
			Name:      string(ref.Name),
		})
	}
	return keys
}

func (r *Reconciler) gatherNamespaces(ctx context.Context, s *compile.Snapshot) error {
	for _, route := range s.Routes {
		name := route.Object.Namespace
		if _, known := s.Namespaces[name]; known {
			continue
		}
		if len(r.Settings.WatchNamespaces) > 0 {
			// Namespaces may not be read; their names are known all the same.
			s.Namespaces[name] = labels.Set{corev1.LabelMetadataName: name}
			continue
		}
		namespace := &metav1.PartialObjectMetadata{}
		namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
		switch err := r.Client.Get(ctx, types.NamespacedName{Name: name}, namespace); {
		case err == nil:
			s.Namespaces[name] = namespace.Labels
		case !apierrors.IsNotFound(err):
			return fmt.Errorf("get Namespace %s: %w", name, err)
		}
	}
	return nil
}

func (r *Reconciler) gatherServices(ctx context.Context, s *compile.Snapshot) error {
	looked := map[types.NamespacedName]struct{}{}
	for _, route := range s.Routes {
		for _, key := range serviceKeys(route.Object) {
			if _, done := looked[key]; done || !r.Settings.Watches(key.Namespace) {
				continue
			}
			looked[key] = struct{}{}
			if err := r.gatherService(ctx, s, key); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Reconciler) gatherService(ctx context.Context, s *compile.Snapshot, key types.NamespacedName) error {
	service := &corev1.Service{}
	if err := r.Client.Get(ctx, key, service); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("get Service %s: %w", key, err)
	}
	s.Services[key] = service
	var list discoveryv1.EndpointSliceList
	err := r.Client.List(ctx, &list, client.InNamespace(key.Namespace),
		client.MatchingLabels{discoveryv1.LabelServiceName: key.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return fmt.Errorf("list EndpointSlices of Service %s: %w", key, err)
	}
	s.EndpointSlices[key] = list.Items
	return nil
}

// gatherGrants lists the ReferenceGrants beside Services of other namespaces.
// Without the kind there are none, and nothing crosses a namespace.
func (r *Reconciler) gatherGrants(ctx context.Context, s *compile.Snapshot) error {
	if !r.Grants() {
		return nil
	}
	looked := map[string]struct{}{}
	for _, route := range s.Routes {
		for _, key := range serviceKeys(route.Object) {
			if _, done := looked[key.Namespace]; done || key.Namespace == route.Object.Namespace || !r.Settings.Watches(key.Namespace) {
				continue
			}
			looked[key.Namespace] = struct{}{}
			var list gatewayv1beta1.ReferenceGrantList
			if err := r.Client.List(ctx, &list, client.InNamespace(key.Namespace), client.UnsafeDisableDeepCopy); err != nil {
				return fmt.Errorf("list ReferenceGrants in namespace %s: %w", key.Namespace, err)
			}
			for i := range list.Items {
				s.Grants = append(s.Grants, gatewayv1.ReferenceGrant(list.Items[i]))
			}
		}
	}
	return nil
}

// gatherForbidden finds the API server's own addresses: no route may lead a
// stranger's request there.
func (r *Reconciler) gatherForbidden(ctx context.Context, s *compile.Snapshot) error {
	if !r.Settings.Watches(apiServer.Namespace) {
		s.Forbidden = r.APIServer
		return nil
	}
	service := &corev1.Service{}
	if err := r.Client.Get(ctx, apiServer, service); err != nil {
		return client.IgnoreNotFound(err)
	}
	var list discoveryv1.EndpointSliceList
	err := r.Client.List(ctx, &list, client.InNamespace(apiServer.Namespace),
		client.MatchingLabels{discoveryv1.LabelServiceName: apiServer.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return fmt.Errorf("list EndpointSlices of the API server: %w", err)
	}
	addresses := slices.Clone(service.Spec.ClusterIPs)
	for _, slice := range list.Items {
		for _, endpoint := range slice.Endpoints {
			addresses = append(addresses, endpoint.Addresses...)
		}
	}
	for _, text := range addresses {
		if addr, err := netip.ParseAddr(text); err == nil {
			s.Forbidden = append(s.Forbidden, addr)
		}
	}
	return nil
}

// listInstances returns how many pods a fleet has that are meant to serve, and
// all that may have something to say, by name: also those that are not ready
// now, and those that end, which serve on for a while. A ready one counts even
// if there is nowhere to ask it.
func (r *Reconciler) listInstances(ctx context.Context, key types.NamespacedName) (total int, targets []Target, err error) {
	var pods corev1.PodList
	err = r.Client.List(ctx, &pods, client.InNamespace(key.Namespace),
		client.MatchingLabels{callbackv1alpha1.ProxyLabel: key.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return 0, nil, err
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
			continue
		}
		stays := pod.DeletionTimestamp.IsZero()
		if stays {
			total++
		}
		targets = append(targets, Target{Pod: pod.Name, UID: pod.UID, Address: adminAddress(pod), Ready: stays && isReady(pod)})
	}
	slices.SortFunc(targets, func(a, b Target) int { return cmp.Compare(a.Pod, b.Pod) })
	return total, targets, nil
}

// adminAddress is where a pod can be asked, as IP:port; empty: nowhere.
func adminAddress(pod *corev1.Pod) string {
	port := adminPort(pod)
	addr, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil || port == 0 {
		return ""
	}
	return netip.AddrPortFrom(addr, uint16(port)).String() //nolint:gosec // the API bounds ports
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// adminPort finds the container port named "admin", also that of a native
// sidecar.
func adminPort(pod *corev1.Pod) int32 {
	for _, containers := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for _, container := range containers {
			for _, port := range container.Ports {
				if port.Name == callbackv1alpha1.AdminPortName {
					return port.ContainerPort
				}
			}
		}
	}
	return 0
}

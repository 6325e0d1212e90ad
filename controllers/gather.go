// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

// This file reads the objects that a pass decides about.

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

// gather reads all that a pass decides about. The result is shared with the cache
// and must not be changed. proxy is nil when there is none.
func (r *Reconciler) gather(ctx context.Context, key types.NamespacedName, proxy *callbackv1alpha1.CallbackProxy) (*compile.Snapshot, error) {
	s := &compile.Snapshot{
		Key:            key,
		Proxy:          proxy,
		Namespaces:     map[string]labels.Set{},
		Services:       map[types.NamespacedName]*corev1.Service{},
		EndpointSlices: map[types.NamespacedName][]discoveryv1.EndpointSlice{},
	}
	// A list that waits for the writes of statuses would delay the pass. It needs
	// none of them: the writer compares with the stored status again.
	options := []client.ListOption{client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency}
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
	published, err := r.Publisher.Published(ctx, proxy)
	if err != nil {
		return nil, err
	}
	s.Previous = published.Table
	for _, step := range []func(context.Context, *compile.Snapshot) error{
		r.gatherNamespaces, r.gatherServices, r.gatherGrants, r.gatherForbidden,
	} {
		if err := step(ctx, s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// getProxy returns a CallbackProxy; nil when it does not exist, is being deleted,
// or is in a namespace that the manager does not watch.
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

// gatherNamespaces reads the labels of the routes' namespaces, and of those with
// claims in the table that was published last.
func (r *Reconciler) gatherNamespaces(ctx context.Context, s *compile.Snapshot) error {
	names := map[string]struct{}{}
	for _, route := range s.Routes {
		names[route.Object.Namespace] = struct{}{}
	}
	if s.Previous != nil {
		for i := range s.Previous.Routes {
			names[s.Previous.Routes[i].Namespace] = struct{}{}
		}
		for i := range s.Previous.Holds {
			names[s.Previous.Holds[i].Namespace] = struct{}{}
		}
	}
	for name := range names {
		if len(r.Settings.WatchNamespaces) > 0 {
			// The manager may not read Namespaces; their names are known all the same.
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

// gatherServices reads the Services of the routes and their EndpointSlices.
func (r *Reconciler) gatherServices(ctx context.Context, s *compile.Snapshot) error {
	for _, route := range s.Routes {
		for _, key := range serviceKeys(route.Object) {
			if _, isRead := s.Services[key]; isRead || !r.Settings.Watches(key.Namespace) {
				continue
			}
			var err error
			if s.Services[key], s.EndpointSlices[key], err = r.readService(ctx, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// readService returns a Service and its EndpointSlices; nil when it does not
// exist.
func (r *Reconciler) readService(ctx context.Context, key types.NamespacedName) (*corev1.Service, []discoveryv1.EndpointSlice, error) {
	service := &corev1.Service{}
	if err := r.Client.Get(ctx, key, service); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil, nil
		}
		return nil, nil, fmt.Errorf("get Service %s: %w", key, err)
	}
	var list discoveryv1.EndpointSliceList
	err := r.Client.List(ctx, &list, client.InNamespace(key.Namespace),
		client.MatchingLabels{discoveryv1.LabelServiceName: key.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, nil, fmt.Errorf("list EndpointSlices of Service %s: %w", key, err)
	}
	return service, list.Items, nil
}

// gatherGrants reads the ReferenceGrants beside Services of other namespaces.
func (r *Reconciler) gatherGrants(ctx context.Context, s *compile.Snapshot) error {
	read := map[string]struct{}{}
	for _, route := range s.Routes {
		for _, key := range serviceKeys(route.Object) {
			if _, done := read[key.Namespace]; done || key.Namespace == route.Object.Namespace || !r.Settings.Watches(key.Namespace) {
				continue
			}
			read[key.Namespace] = struct{}{}
			grants, err := r.listGrants(ctx, key.Namespace)
			if err != nil {
				return fmt.Errorf("list ReferenceGrants in namespace %s: %w", key.Namespace, err)
			}
			s.Grants = append(s.Grants, grants...)
		}
	}
	return nil
}

// listGrants lists in the version of the kind that the API server serves. Without
// the kind there are none, so no reference crosses a namespace.
func (r *Reconciler) listGrants(ctx context.Context, namespace string) ([]gatewayv1.ReferenceGrant, error) {
	options := []client.ListOption{client.InNamespace(namespace), client.UnsafeDisableDeepCopy}
	switch r.GrantVersion() {
	case gatewayv1.GroupVersion.Version:
		var list gatewayv1.ReferenceGrantList
		err := r.Client.List(ctx, &list, options...)
		return list.Items, err
	case gatewayv1beta1.GroupVersion.Version:
		var list gatewayv1beta1.ReferenceGrantList
		err := r.Client.List(ctx, &list, options...)
		grants := make([]gatewayv1.ReferenceGrant, len(list.Items))
		for i := range list.Items {
			grants[i] = gatewayv1.ReferenceGrant(list.Items[i])
		}
		return grants, err
	}
	return nil, nil
}

// gatherForbidden finds the addresses of the API server itself: no route may lead
// a request from outside there.
func (r *Reconciler) gatherForbidden(ctx context.Context, s *compile.Snapshot) error {
	if !r.Settings.Watches(apiServer.Namespace) {
		s.Forbidden = r.APIServer
		return nil
	}
	service, endpoints, err := r.readService(ctx, apiServer)
	if err != nil || service == nil {
		return err
	}
	addresses := slices.Clone(service.Spec.ClusterIPs)
	for _, slice := range endpoints {
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

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// snapshot_test.go: the objects of the API server, read without the manager, and the memory of the processes.

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// newTolerantClient returns a client that reads routes as the manager does: also
// those that no typed client decodes.
func (s *system) newTolerantClient() client.Client {
	s.t.Helper()
	c, err := client.New(s.ControlPlane.Config, client.Options{Scheme: kube.NewScheme()})
	s.Expect(err).NotTo(HaveOccurred())
	return c
}

// routes lists all routes, also those that do not decode.
func (s *system) routes() ([]kube.Route, error) {
	var list kube.RouteList
	if err := s.tolerant.List(s.ctx, &list); err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return list.Items, nil
}

// snapshot reads the input of compile, without the manager.
func (s *system) snapshot(key types.NamespacedName) (*compile.Snapshot, error) {
	snapshot := &compile.Snapshot{
		Key: key, Namespaces: map[string]labels.Set{},
		Services: map[types.NamespacedName]*corev1.Service{}, EndpointSlices: map[types.NamespacedName][]discoveryv1.EndpointSlice{},
	}
	proxy := &kube.Proxy{}
	var services corev1.ServiceList
	var namespaces corev1.NamespaceList
	var slices discoveryv1.EndpointSliceList
	var grants gatewayv1.ReferenceGrantList
	routes, err := s.routes()
	err = errors.Join(err, s.tolerant.Get(s.ctx, key, proxy))
	for _, list := range []client.ObjectList{&services, &namespaces, &slices, &grants} {
		err = errors.Join(err, s.Client.List(s.ctx, list))
	}
	if err != nil {
		return nil, fmt.Errorf("read what is declared: %w", err)
	}
	snapshot.Proxy, snapshot.Grants = &proxy.CallbackProxy, grants.Items
	if snapshot.Previous, err = s.storedTable(key); err != nil {
		return nil, err
	}
	for i := range routes {
		r := &routes[i]
		if string(r.Spec.ProxyRef.Name) == key.Name && cmp.Or(string(r.Spec.ProxyRef.Namespace), r.Namespace) == key.Namespace {
			snapshot.Routes = append(snapshot.Routes, compile.Route{Object: &r.CallbackRoute, DecodeError: r.DecodeError})
		}
	}
	for i := range services.Items {
		snapshot.Services[client.ObjectKeyFromObject(&services.Items[i])] = &services.Items[i]
	}
	for _, namespace := range namespaces.Items {
		snapshot.Namespaces[namespace.Name] = namespace.Labels
	}
	for _, slice := range slices.Items {
		service := types.NamespacedName{Namespace: slice.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]}
		snapshot.EndpointSlices[service] = append(snapshot.EndpointSlices[service], slice)
		if service.Namespace == metav1.NamespaceDefault && service.Name == "kubernetes" {
			snapshot.Forbidden = append(snapshot.Forbidden, addressesOf(&slice)...)
		}
	}
	return snapshot, nil
}

// storedTable decodes the stored config; nil when there is none.
func (s *system) storedTable(key types.NamespacedName) (*routetable.Table, error) {
	index, shards, err := s.storedConfig(key)
	if err != nil || index == nil {
		return nil, err
	}
	table, err := routetable.Decode(routetable.Payload{Hash: index.Spec.Hash, Data: index.Spec.Payload},
		func(hash string) (string, bool) { data, found := shards[hash]; return data, found })
	if err != nil {
		return nil, fmt.Errorf("decode the stored config: %w", err)
	}
	return table, nil
}

func addressesOf(slice *discoveryv1.EndpointSlice) []netip.Addr {
	var addresses []netip.Addr
	for _, endpoint := range slice.Endpoints {
		for _, text := range endpoint.Addresses {
			if address, err := netip.ParseAddr(text); err == nil {
				addresses = append(addresses, address)
			}
		}
	}
	return addresses
}

// condition returns one of a route's conditions; an empty one when it is
// absent.
func (s *system) condition(namespace, name, kind string) metav1.Condition {
	s.t.Helper()
	stored := &kube.Route{}
	s.Expect(s.tolerant.Get(s.ctx, types.NamespacedName{Namespace: namespace, Name: name}, stored)).To(Succeed())
	if condition := meta.FindStatusCondition(stored.Status.Conditions, kind); condition != nil {
		return *condition
	}
	return metav1.Condition{}
}

// memory returns the usage of the manager, and that of the proxy with the
// largest memory.
func (s *system) memory() (manager, proxy fixture.Usage) {
	s.t.Helper()
	for i, process := range s.measured() {
		u, err := fixture.UsageOf(process.PID())
		s.Expect(err).NotTo(HaveOccurred())
		if i == 0 {
			manager = u
		} else {
			proxy.Resident, proxy.Peak = max(proxy.Resident, u.Resident), max(proxy.Peak, u.Peak)
		}
	}
	return manager, proxy
}

// forgetPeaks starts the measurement of their peak memory again.
func (s *system) forgetPeaks() {
	s.t.Helper()
	for _, process := range s.measured() {
		s.Expect(fixture.ForgetPeak(process.PID())).To(Succeed())
	}
}

func (s *system) measured() []*fixture.Process {
	processes := []*fixture.Process{s.managers[0].Process()}
	for _, p := range s.proxies {
		processes = append(processes, p.Process())
	}
	return processes
}

// mib is an amount of memory, or its growth, in MiB.
func mib(bytes, before uint64) float64 { return (float64(bytes) - float64(before)) / (1 << 20) }

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// settles is converges for a world with more in it than two backends and good
// routes: grants, EndpointSlices, routes that are refused or unreadable.
func (s *system) settles(limit time.Duration) time.Duration {
	s.t.Helper()
	began := time.Now()
	s.Eventually(s.settled, limit, 100*time.Millisecond).Should(Succeed())
	return time.Since(began)
}

// settled returns what is not as declared: the stored config in its bytes,
// what the proxies run, and for each route of the fleet whether it is accepted
// and served.
func (s *system) settled() error {
	snapshot, err := s.snapshot(fleet)
	if err != nil {
		return err
	}
	result := compile.Compile(snapshot, time.Now())
	encoded, err := routetable.Encode(result.Table, routetable.DefaultShardBytes)
	if err != nil {
		return fmt.Errorf("encode what is declared: %w", err)
	}
	index, err := s.storedAs(encoded)
	if err != nil {
		return err
	}
	version := routetable.Version{Epoch: index.Spec.Epoch, Generation: index.Spec.Generation}
	for i := range s.proxies {
		if runs, err := s.version(i); err != nil || runs != version {
			return fmt.Errorf("proxy %d runs %+v, published is %+v (%w)", i, runs, version, err)
		}
	}
	for i := range result.Verdicts {
		if client.ObjectKeyFromObject(result.Verdicts[i].Route) == s.mute {
			continue
		}
		if err := agrees(&result.Verdicts[i]); err != nil {
			return err
		}
	}
	return nil
}

// agrees returns what a route's status does not say as it is.
func agrees(v *compile.Verdict) error {
	accepted := meta.FindStatusCondition(v.Route.Status.Conditions, callbackv1alpha1.ConditionAccepted)
	if accepted == nil || accepted.ObservedGeneration != v.Route.Generation || accepted.Reason != v.Accepted.Reason ||
		(accepted.Status == metav1.ConditionTrue) != v.Accepted.OK {
		return fmt.Errorf("route %s/%s, generation %d, should have Accepted with reason %s and has %+v",
			v.Route.Namespace, v.Route.Name, v.Route.Generation, v.Accepted.Reason, accepted)
	}
	programmed := meta.FindStatusCondition(v.Route.Status.Conditions, callbackv1alpha1.ConditionProgrammed)
	if programmed == nil || programmed.ObservedGeneration != v.Route.Generation || (programmed.Status == metav1.ConditionTrue) != v.Accepted.OK {
		return fmt.Errorf("route %s/%s, generation %d, has Programmed %+v", v.Route.Namespace, v.Route.Name, v.Route.Generation, programmed)
	}
	return nil
}

// routes lists all routes, readable or not.
func (s *system) routes() ([]kube.Route, error) {
	var list kube.RouteList
	if err := s.wide().List(s.ctx, &list); err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return list.Items, nil
}

// snapshot reads past the manager what it compiles.
func (s *system) snapshot(key types.NamespacedName) (*compile.Snapshot, error) {
	snapshot := &compile.Snapshot{
		Key: key, Namespaces: map[string]labels.Set{},
		Services: map[types.NamespacedName]*corev1.Service{}, EndpointSlices: map[types.NamespacedName][]discoveryv1.EndpointSlice{},
	}
	proxy := &kube.Proxy{}
	var services corev1.ServiceList
	var namespaces corev1.NamespaceList
	var slices discoveryv1.EndpointSliceList
	var grants gatewayv1beta1.ReferenceGrantList
	routes, err := s.routes()
	err = errors.Join(err, s.wide().Get(s.ctx, key, proxy))
	for _, list := range []client.ObjectList{&services, &namespaces, &slices, &grants} {
		err = errors.Join(err, s.wide().List(s.ctx, list))
	}
	if err != nil {
		return nil, fmt.Errorf("read what is declared: %w", err)
	}
	snapshot.Proxy, snapshot.Grants = &proxy.CallbackProxy, grants.Items
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

// condition returns one of a route's conditions; an empty one when it is not
// there.
func (s *system) condition(namespace, name, kind string) metav1.Condition {
	s.t.Helper()
	stored := &kube.Route{}
	s.Expect(s.wide().Get(s.ctx, types.NamespacedName{Namespace: namespace, Name: name}, stored)).To(Succeed())
	if condition := meta.FindStatusCondition(stored.Status.Conditions, kind); condition != nil {
		return *condition
	}
	return metav1.Condition{}
}

// memory returns what the manager uses, and of the memory of the proxies the
// most that one of them has.
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

// forgetPeaks lets the most that they have count from now on.
func (s *system) forgetPeaks() {
	s.t.Helper()
	for _, process := range s.measured() {
		s.Expect(fixture.ForgetPeak(process.PID())).To(Succeed())
	}
}

func (s *system) measured() []*fixture.Process {
	return append([]*fixture.Process{s.managers[0].current()}, s.proxies[:]...)
}

// mib is an amount of memory, or its growth, in MiB.
func mib(bytes, before uint64) float64 { return (float64(bytes) - float64(before)) / (1 << 20) }

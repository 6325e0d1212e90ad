// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// F15: metadata that a tenant adds takes no memory in the cache, and all fields
// that a controller reads stay.
func TestF15_CacheKeepsOnlyReadFields(t *testing.T) {
	g := NewWithT(t)
	ballast, yes := strings.Repeat("x", 200_000), true
	meta := metav1.ObjectMeta{
		Namespace: "identity", Name: "acme", UID: "u", ResourceVersion: "7", Generation: 3,
		Labels:          map[string]string{"a": ballast, callbackv1alpha1.ProxyLabel: "edge", discoveryv1.LabelServiceName: "idp"},
		Annotations:     map[string]string{"b": ballast, callbackv1alpha1.HoldAnnotation: "why"},
		Finalizers:      []string{ballast},
		ManagedFields:   []metav1.ManagedFieldsEntry{{Manager: ballast}},
		OwnerReferences: []metav1.OwnerReference{{Name: ballast}, {Name: "edge", UID: "p", Controller: &yes}},
	}
	slim := func(object client.Object) client.Object {
		t.Helper()
		for kind, options := range CacheOptions(Scope{ProxyNamespaces: []string{"identity"}}).ByObject {
			if sameKind(kind, object) {
				out, err := options.Transform(object)
				g.Expect(err).NotTo(HaveOccurred())
				kept, is := out.(client.Object)
				g.Expect(is).To(BeTrue())
				g.Expect([]any{kept.GetUID(), kept.GetResourceVersion(), kept.GetName()}).To(Equal([]any{meta.UID, "7", "acme"}))
				g.Expect(kept.GetManagedFields()).To(BeEmpty())
				g.Expect(kept.GetAnnotations()).NotTo(HaveKey("b"))
				return kept
			}
		}
		t.Fatalf("%T is cached whole", object)
		return nil
	}
	route := slim(&Route{CallbackRoute: callbackv1alpha1.CallbackRoute{ObjectMeta: meta, Spec: callbackv1alpha1.CallbackRouteSpec{Owner: "me"}}})
	g.Expect(route.GetAnnotations()).To(Equal(map[string]string{callbackv1alpha1.HoldAnnotation: "why"}))
	g.Expect(route.GetLabels()).To(BeEmpty())
	g.Expect(route.(*Route).Spec.Owner).To(Equal("me"))
	g.Expect(slim(&Proxy{CallbackProxy: callbackv1alpha1.CallbackProxy{ObjectMeta: meta}}).GetLabels()).To(BeEmpty())

	pod := slim(&corev1.Pod{ObjectMeta: meta, Status: corev1.PodStatus{
		PodIP: "10.0.0.1", Message: ballast,
		Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled}, {Type: corev1.PodReady, Status: corev1.ConditionTrue, Message: ballast}},
	}, Spec: corev1.PodSpec{InitContainers: []corev1.Container{{Image: ballast, Ports: []corev1.ContainerPort{{Name: "admin", ContainerPort: 9}}}}}})
	g.Expect(pod.(*corev1.Pod).Status.Conditions).To(ConsistOf(corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue}))
	g.Expect(pod.(*corev1.Pod).Spec.InitContainers[0].Ports[0].ContainerPort).To(BeEquivalentTo(9))
	g.Expect(pod.GetLabels()).To(HaveKeyWithValue(callbackv1alpha1.ProxyLabel, "edge"))
	service := slim(&corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.2", Ports: []corev1.ServicePort{{Port: 80}}}})
	g.Expect(service.(*corev1.Service).Spec.ClusterIP).To(Equal("10.0.0.2"))
	g.Expect(service.GetLabels()).To(Equal(map[string]string{callbackv1alpha1.ProxyLabel: "edge"}))
	owner := []metav1.OwnerReference{meta.OwnerReferences[1]}
	g.Expect(service.GetOwnerReferences()).To(Equal(owner))
	part := slim(&metav1.PartialObjectMetadata{ObjectMeta: meta})
	g.Expect(part.GetOwnerReferences()).To(Equal(owner))
	slice := slim(&discoveryv1.EndpointSlice{ObjectMeta: meta, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.3"}}}})
	g.Expect(slice.GetLabels()).To(Equal(map[string]string{discoveryv1.LabelServiceName: "idp"}))
	g.Expect(slice.(*discoveryv1.EndpointSlice).Endpoints[0].Addresses).To(Equal([]string{"10.0.0.3"}))
}

// The cache cuts a long reason at a whole character: the API server would return
// half of one as another character.
func TestSlimRoute_KeepsTheReasonOfAHold(t *testing.T) {
	g := NewWithT(t)
	for reason, want := range map[string]string{
		strings.Repeat(" ", maxCachedHold-1) + "é": "é",
		strings.Repeat("x", maxCachedHold-1) + "é": strings.Repeat("x", maxCachedHold-1),
		strings.Repeat("é", 256) + "\n":            strings.Repeat("é", 256),
	} {
		route := &Route{}
		route.Annotations = map[string]string{callbackv1alpha1.HoldAnnotation: reason}
		g.Expect(slimRoute(route).Annotations).To(Equal(map[string]string{callbackv1alpha1.HoldAnnotation: want}))
	}
}

func sameKind(a, b client.Object) bool { return fmt.Sprintf("%T", a) == fmt.Sprintf("%T", b) }

// The cache lists no more than the manager's roles allow: owned objects by label
// and in ProxyNamespaces only, and everything in WatchNamespaces only.
func TestCacheOptions_StayWithinTheRoles(t *testing.T) {
	g := NewWithT(t)
	inManaged := func(scope Scope) []string {
		var kinds []string
		for object, options := range CacheOptions(scope).ByObject {
			kind := object.GetObjectKind().GroupVersionKind().Kind
			if kind == "" {
				kind = strings.TrimPrefix(fmt.Sprintf("%T", object), "*")
			}
			if options.Namespaces != nil {
				g.Expect(options.Namespaces).To(Equal(map[string]cache.Config{"edge": {}}), kind)
				kinds = append(kinds, kind)
				g.Expect(options.Label != nil).To(Equal(kind != "v2.HorizontalPodAutoscaler"), kind)
			}
		}
		return kinds
	}
	g.Expect(inManaged(Scope{})).To(BeEmpty())
	g.Expect(inManaged(Scope{ProxyNamespaces: []string{"edge"}})).To(ConsistOf(
		"v1.Deployment", "v2.HorizontalPodAutoscaler", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"))
	g.Expect(CacheOptions(Scope{}).DefaultNamespaces).To(BeNil())
	g.Expect(CacheOptions(Scope{WatchNamespaces: []string{"edge"}}).DefaultNamespaces).To(Equal(map[string]cache.Config{"edge": {}}))
}

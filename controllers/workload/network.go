// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"cmp"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// service returns the Service by which callbacks reach the fleet, at the port of
// its listener. It leaves the admin port out: the manager polls each pod.
func service(proxy *callbackv1alpha1.CallbackProxy) *corev1.Service {
	port, protocol := Port(proxy), "http"
	declared := proxy.Spec.Deployment.Service
	object := &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: meta(proxy, Name(proxy.Name)),
		Spec: corev1.ServiceSpec{
			Type:     cmp.Or(corev1.ServiceType(declared.Type), corev1.ServiceTypeClusterIP),
			Selector: selector(proxy),
			Ports: []corev1.ServicePort{{
				Name: HTTPPortName, Protocol: corev1.ProtocolTCP, AppProtocol: &protocol,
				Port: port, TargetPort: intstr.FromString(HTTPPortName),
			}},
		},
	}
	object.Annotations = plain(declared.Annotations)
	return object
}

// undialled returns the networks of one address family that no proxy dials and
// that lie outside a host: link-local ones, where clouds serve credentials, and
// those that the compiler and the dialler refuse.
func undialled(linkLocal string, family func(netip.Addr) bool) []string {
	networks := []string{linkLocal}
	for _, network := range routetable.ForbiddenNetworks() {
		if family(network.Addr()) {
			networks = append(networks, network.String())
		}
	}
	return networks
}

// networkPolicy returns the NetworkPolicy of the pods. It allows callbacks from
// any address; the admin port from the manager and from namespaces with the metrics
// label; and connections of a proxy to any address except the metadata services of
// clouds. Backends and the API server may have any address: the compiler and the
// dialler make sure that a route leads to its own backends only. Pods are listed
// besides all addresses, because some networks apply a block of addresses only to
// traffic from and to outside the cluster.
func networkPolicy(proxy *callbackv1alpha1.CallbackProxy, o Options) *networkingv1.NetworkPolicy {
	callbacks, admin, tcp := intstr.FromInt32(Port(proxy)), intstr.FromInt32(AdminPort), corev1.ProtocolTCP
	return &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy"},
		ObjectMeta: meta(proxy, Name(proxy.Name)),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: selector(proxy)},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{
				{Ports: []networkingv1.NetworkPolicyPort{{Port: &callbacks, Protocol: &tcp}}},
				{Ports: []networkingv1.NetworkPolicyPort{{Port: &admin, Protocol: &tcp}}, From: adminPeers(o)},
			},
			Egress: []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{
				{NamespaceSelector: &metav1.LabelSelector{}},
				{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: undialled("169.254.0.0/16", netip.Addr.Is4)}},
				{IPBlock: &networkingv1.IPBlock{CIDR: "::/0", Except: undialled("fe80::/10", netip.Addr.Is6)}},
			}}},
		},
	}
}

// adminPeers returns the peers that may reach the admin port: the manager's
// namespace and the namespaces with the metrics label. A manager whose namespace
// is unknown must not be locked out: then every peer may connect, and /report
// still requires the manager's signature.
func adminPeers(o Options) []networkingv1.NetworkPolicyPeer {
	if o.ManagerNamespace == "" {
		return nil
	}
	return []networkingv1.NetworkPolicyPeer{
		{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: o.ManagerNamespace}}},
		{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{MetricsLabel: MetricsAllowed}}},
	}
}

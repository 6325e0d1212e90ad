// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

// pass.go holds what one call of Compile accumulates about all routes.

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// pass accumulates the results of the routes that are judged already.
type pass struct {
	snapshot *Snapshot
	now      time.Time
	claims   claims
	holds    *holds
	// grantedHosts holds the hosts that the CallbackProxy grants to a namespace,
	// sorted; accepted counts its accepted routes.
	grantedHosts map[string][]string
	accepted     map[string]int32
}

func newPass(s *Snapshot, now time.Time) *pass {
	return &pass{
		snapshot: s, now: now,
		claims: newClaims(), holds: newHolds(s.Previous),
		grantedHosts: map[string][]string{}, accepted: map[string]int32{},
	}
}

// accept adds a route that passed all rules.
func (p *pass) accept(c *candidate) {
	p.claims.add(c.entry, c.route.Object.CreationTimestamp.Time)
	p.accepted[c.entry.Namespace]++
}

func (p *pass) isGranted(host, namespace string) bool {
	_, found := slices.BinarySearch(p.hostsOf(namespace), host)
	return found
}

// hostsOf returns the hosts that the CallbackProxy grants to a namespace, sorted.
func (p *pass) hostsOf(namespace string) []string {
	granted, computed := p.grantedHosts[namespace]
	if computed {
		return granted
	}
	if p.snapshot.Proxy != nil {
		for _, host := range p.snapshot.Proxy.Spec.Hosts {
			if p.selects(host.Namespaces, namespace) {
				granted = append(granted, string(host.Hostname))
			}
		}
	}
	slices.Sort(granted)
	p.grantedHosts[namespace] = granted
	return granted
}

func (p *pass) selects(from callbackv1alpha1.HostNamespaces, namespace string) bool {
	switch from.From {
	case callbackv1alpha1.NamespacesFromAll:
		return true
	case "", callbackv1alpha1.NamespacesFromSame:
		return namespace == p.snapshot.Key.Namespace
	case callbackv1alpha1.NamespacesFromSelector:
		// An invalid selector grants nothing.
		selector, err := metav1.LabelSelectorAsSelector(from.Selector)
		labels, exists := p.snapshot.Namespaces[namespace]
		return err == nil && exists && selector.Matches(labels)
	}
	return false
}

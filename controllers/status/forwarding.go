// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

// forwarding.go judges whether the proxies in front of a fleet are trusted.

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const (
	// minClaimCallbacks is how many callbacks of a window show something.
	minClaimCallbacks = 20
	// cleanTime is the time without such a window that ends the condition.
	cleanTime = 15 * time.Minute
)

// forwardingSuspect computes the condition ForwardingSuspect; nil when it is not
// true.
//
//	nil ----> over half of minClaimCallbacks or more of a ForwardingWindow, over all
//	          instances, claim https from peers that are not trusted: true
//	nil <---- cleanTime without an instance at which over half do
func forwardingSuspect(proxy *callbackv1alpha1.CallbackProxy, fleet *Fleet, now time.Time) *compile.Finding {
	claims := addClaims(fleet)
	is := claims.Callbacks >= minClaimCallbacks && 2*claims.Claims > claims.Callbacks
	was := meta.IsStatusConditionTrue(proxy.Status.Conditions, callbackv1alpha1.ConditionForwardingSuspect)
	if !is && !(was && now.Before(claims.LastMost.Add(cleanTime))) {
		return nil
	}
	const found = "most callbacks claim https in X-Forwarded-Proto or Forwarded and come from peers that are not in spec.forwarding.trustedProxies, " +
		"so backends get neither their clients' addresses nor what else the front states"
	networks := untrusted(claims.Networks, proxy.Spec.Forwarding.TrustedProxies)
	if len(networks) == 0 {
		return new(compile.True(callbackv1alpha1.ReasonForwardingSuspect,
			found+"; none of them is in a private network: if they are your own proxies in front, set forwarding.trustedProxies to the networks of those alone; "+
				"else clients reach the instances past them"))
	}
	return new(compile.True(callbackv1alpha1.ReasonForwardingSuspect,
		found+"; private networks that they are in: %s; if these are your proxies in front alone, add them: forwarding.trustedProxies: [%s]",
		strings.Join(networks, ", "), strings.Join(networks, ", ")))
}

// nextForwarding returns when the condition ends though nothing more comes; zero
// when it is not there.
func nextForwarding(desired []metav1.Condition, fleet *Fleet) time.Time {
	if !meta.IsStatusConditionTrue(desired, callbackv1alpha1.ConditionForwardingSuspect) {
		return time.Time{}
	}
	return addClaims(fleet).LastMost.Add(cleanTime)
}

// addClaims adds up what the instances report. The networks are sorted, at most
// MaxForwardingNetworks.
func addClaims(fleet *Fleet) routetable.ForwardingUse {
	var all routetable.ForwardingUse
	for i := range fleet.Instances {
		instance := &fleet.Instances[i]
		if !instance.Reached {
			continue
		}
		one := &instance.Report.Forwarding
		all.Callbacks += one.Callbacks
		all.Claims += one.Claims
		if one.LastMost.After(all.LastMost) {
			all.LastMost = one.LastMost
		}
		all.Networks = append(all.Networks, one.Networks...)
	}
	slices.Sort(all.Networks)
	all.Networks = slices.Compact(all.Networks)
	all.Networks = all.Networks[:min(len(all.Networks), routetable.MaxForwardingNetworks)]
	return all
}

// untrusted returns the networks that none of the trusted ones contains.
func untrusted(networks []string, trusted []callbackv1alpha1.CIDR) []string {
	return slices.DeleteFunc(networks, func(text string) bool {
		network, err := netip.ParsePrefix(text)
		return err != nil || slices.ContainsFunc(trusted, func(cidr callbackv1alpha1.CIDR) bool {
			outer, err := netip.ParsePrefix(string(cidr))
			return err == nil && outer.Bits() <= network.Bits() && outer.Contains(network.Addr())
		})
	})
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// candidate is a route on its way through the rules, with what earlier rules
// found out for later ones.
type candidate struct {
	snapshot *Snapshot
	route    Route
	*pass
	entry *routetable.Route
	refs  Finding
	// noEndpoints names the backends whose EndpointSlices hold no ready
	// endpoint.
	noEndpoints map[string]struct{}
}

// pass accumulates the results of the older routes.
type pass struct {
	claims *claims
	// givenHosts holds the hosts that the CallbackProxy gives to a namespace,
	// and accepted how many of its routes are accepted.
	givenHosts map[string][]string
	accepted   map[string]int32
}

// rule looks at one thing. When it is broken, reason and message become the
// condition Accepted; the message says what to do about it.
type rule func(*candidate) (reason, message string, broken bool)

// acceptance is the chain that every route passes; the first broken rule
// ends it. Ownership of the host comes before everything that depends on other
// routes, so a stranger can neither win nor learn anything there.
var acceptance = []rule{
	isDecodable,
	hasProxy,
	mayUseHosts,
	keepsQuota,
	keepsLifetime,
	keepsAfterSunset,
	namesOwner,
	isServable,
	holdsCallback,
}

// notResolved is the condition ResolvedRefs of a route that is not accepted.
var notResolved = Finding{
	Unknown: true,
	Reason:  callbackv1alpha1.ReasonNotAccepted,
	Message: "backends are looked up once the route is accepted",
}

func isDecodable(c *candidate) (reason, message string, broken bool) {
	if c.route.DecodeError == "" {
		return "", "", false
	}
	return callbackv1alpha1.ReasonUndecodable,
		"the stored object cannot be read: " + c.route.DecodeError + "; apply it again with a value that the CRD's schema of today accepts",
		true
}

func hasProxy(c *candidate) (reason, message string, broken bool) {
	if c.snapshot.Proxy != nil {
		return "", "", false
	}
	return callbackv1alpha1.ReasonProxyNotFound,
		fmt.Sprintf("CallbackProxy %s does not exist: create it, or name another one in spec.proxyRef", c.snapshot.Key),
		true
}

// mayUseHosts gives one answer for hosts that are not listed and for those
// that are given to others.
func mayUseHosts(c *candidate) (reason, message string, broken bool) {
	given := c.hostsGiven()
	for _, host := range c.route.Object.Spec.Hostnames {
		if slices.Contains(given, string(host)) {
			continue
		}
		message = fmt.Sprintf("CallbackProxy %s does not give host %s to namespace %s: ask its owner to list it in spec.hosts",
			c.snapshot.Key, host, c.route.Object.Namespace)
		if len(given) > 0 {
			message += ", or use a host that is given: " + Enumerate(given)
		}
		return callbackv1alpha1.ReasonHostNotAllowed, message, true
	}
	return "", "", false
}

// hostsGiven returns the hosts that the CallbackProxy gives to the route's
// namespace, sorted.
func (c *candidate) hostsGiven() []string {
	given, known := c.givenHosts[c.route.Object.Namespace]
	if known {
		return given
	}
	for _, host := range c.snapshot.Proxy.Spec.Hosts {
		if c.selects(host.Namespaces) {
			given = append(given, string(host.Hostname))
		}
	}
	slices.Sort(given)
	c.givenHosts[c.route.Object.Namespace] = given
	return given
}

func (c *candidate) selects(from callbackv1alpha1.HostNamespaces) bool {
	namespace := c.route.Object.Namespace
	switch from.From {
	case callbackv1alpha1.NamespacesFromAll:
		return true
	case "", callbackv1alpha1.NamespacesFromSame:
		return namespace == c.snapshot.Key.Namespace
	case callbackv1alpha1.NamespacesFromSelector:
		// A selector that cannot be read gives nothing to anybody.
		selector, err := metav1.LabelSelectorAsSelector(from.Selector)
		known, exists := c.snapshot.Namespaces[namespace]
		return err == nil && exists && selector.Matches(known)
	}
	return false
}

func keepsQuota(c *candidate) (reason, message string, broken bool) {
	most := c.snapshot.Proxy.Spec.Policy.MaxRoutesPerNamespace
	if most <= 0 || c.accepted[c.route.Object.Namespace] < most {
		return "", "", false
	}
	return callbackv1alpha1.ReasonQuotaExceeded,
		fmt.Sprintf("CallbackProxy %s accepts %d routes of a namespace, and %s has as many older ones: delete some, or ask its owner for a higher policy.maxRoutesPerNamespace",
			c.snapshot.Key, most, c.route.Object.Namespace),
		true
}

func keepsLifetime(c *candidate) (reason, message string, broken bool) {
	end := c.route.Object.Spec.SunsetTime
	if !end.After(c.latestSunset()) {
		return "", "", false
	}
	return callbackv1alpha1.ReasonLifetimeExceedsPolicy,
		fmt.Sprintf("sunsetTime %s is later than CallbackProxy %s allows, %d days after the route's creation: set it to %s or earlier",
			FormatTime(end.Time), c.snapshot.Key, c.snapshot.Proxy.Spec.Policy.MaxLifetimeDays, FormatTime(c.latestSunset())),
		true
}

func keepsAfterSunset(c *candidate) (reason, message string, broken bool) {
	wanted := c.route.Object.Spec.AfterSunset
	if slices.Contains(c.snapshot.Proxy.Spec.Policy.AfterSunset, wanted) {
		return "", "", false
	}
	var allowed []string
	for _, value := range c.snapshot.Proxy.Spec.Policy.AfterSunset {
		allowed = append(allowed, string(value))
	}
	slices.Sort(allowed)
	return callbackv1alpha1.ReasonAfterSunsetNotAllowed,
		fmt.Sprintf("afterSunset %s is not allowed by CallbackProxy %s: use %s", wanted, c.snapshot.Key, Enumerate(allowed)),
		true
}

func namesOwner(c *candidate) (reason, message string, broken bool) {
	required := c.snapshot.Proxy.Spec.Policy.RequireOwner
	if required != nil && !*required || strings.TrimSpace(c.route.Object.Spec.Owner) != "" {
		return "", "", false
	}
	return callbackv1alpha1.ReasonOwnerRequired,
		fmt.Sprintf("CallbackProxy %s wants to know whom to ask about a route: set spec.owner, for example to a team's address", c.snapshot.Key),
		true
}

// isServable asks the contract itself: one entry that the proxies must refuse
// would make them refuse the whole table, and so hurt every other tenant.
func isServable(c *candidate) (reason, message string, broken bool) {
	entry, refs := c.compileEntry()
	if err := entry.Validate(); err != nil {
		return callbackv1alpha1.ReasonInvalid, "the spec cannot be served: " + err.Error(), true
	}
	c.entry, c.refs = entry, refs
	return "", "", false
}

func holdsCallback(c *candidate) (reason, message string, broken bool) {
	claim, by, taken := c.claims.conflict(c.entry)
	if !taken {
		return "", "", false
	}
	why := "is older"
	if by.created.Equal(c.route.Object.CreationTimestamp.Time) {
		why = "was created in the same second and comes first by name"
	}
	return callbackv1alpha1.ReasonConflict,
		fmt.Sprintf("%s %s on host %s is held by CallbackRoute %s, which %s: delete one of the two, or use another path or host",
			claim.PathType, claim.Path, claim.Host, by.id, why),
		true
}

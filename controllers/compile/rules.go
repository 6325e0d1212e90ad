// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

// rules.go holds the rules of acceptance, in their order.

import (
	"cmp"
	"slices"
	"strings"
	"time"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// candidate is a route on its way through the rules, with the results of earlier
// rules for later ones.
type candidate struct {
	*pass
	route Route
	// before are the claims that the route has in the previous table, sorted.
	before []routetable.Claim
	// rank is the route's place among those that compete for claims.
	rank int
	// refusal is the result of the first broken rule; nil without one.
	refusal *Finding
	entry   *routetable.Route
	refs    Finding
	// noEndpoints names the backends whose EndpointSlices hold no ready
	// endpoint.
	noEndpoints map[string]struct{}
}

// rule checks one thing. It returns nil, or the condition Accepted of a route that
// breaks it; the message contains what the user has to do.
type rule func(*candidate) *Finding

// refuse returns the condition of a broken rule.
func refuse(reason, format string, args ...any) *Finding {
	return new(False(reason, format, args...))
}

// A route passes ownRules, then rivalRules; the first broken rule ends it.
var (
	// ownRules concern the route and its CallbackProxy alone. The right to the
	// hosts is among them, so a route without that right can neither win a
	// conflict nor learn about the routes of a host.
	ownRules = []rule{
		isDecodable,
		hasProxy,
		mayUseHosts,
		keepsLifetime,
		keepsAfterSunset,
		hasOwner,
		isServable,
	}
	// rivalRules also depend on the routes that are accepted already and on holds.
	rivalRules = []rule{
		keepsQuota,
		hasNoConflict,
		isNotHeld,
		isNotCrowded,
	}
)

// notResolved is the condition ResolvedRefs of a route that is not accepted.
var notResolved = Unknown(callbackv1alpha1.ReasonNotAccepted, "backends are resolved once the route is accepted")

// check returns the result of the first broken rule; nil when none is. A rule that
// panics costs its own route only: the object is stored, so every later pass
// meets it as well.
func (c *candidate) check(rules []rule) (refusal *Finding) {
	defer func() {
		if recover() != nil {
			refusal = refuse(callbackv1alpha1.ReasonInvalid, "the controller failed on this route; this is a defect of the controller, please report it")
		}
	}()
	for _, rule := range rules {
		if broken := rule(c); broken != nil {
			return broken
		}
	}
	return nil
}

func isDecodable(c *candidate) *Finding {
	if c.route.DecodeError == "" {
		return nil
	}
	return refuse(callbackv1alpha1.ReasonUndecodable,
		"the stored object cannot be decoded: %s; apply it again with a value that the CRD's present schema accepts", c.route.DecodeError)
}

func hasProxy(c *candidate) *Finding {
	if c.snapshot.Proxy != nil {
		return nil
	}
	return refuse(callbackv1alpha1.ReasonProxyNotFound,
		"CallbackProxy %s does not exist: create it, or set spec.proxyRef to another one", c.snapshot.Key)
}

// mayUseHosts has one message for hosts that are not listed and for hosts that
// are granted to other namespaces.
func mayUseHosts(c *candidate) *Finding {
	namespace := c.route.Object.Namespace
	for _, host := range c.route.Object.Spec.Hostnames {
		if c.isGranted(string(host), namespace) {
			continue
		}
		refusal := refuse(callbackv1alpha1.ReasonHostNotAllowed,
			"CallbackProxy %s does not grant host %s to namespace %s: ask its owner to add it to spec.hosts", c.snapshot.Key, host, namespace)
		if granted := c.hostsOf(namespace); len(granted) > 0 {
			refusal.Message += ", or use a host that it grants: " + Enumerate(granted)
		}
		return refusal
	}
	return nil
}

func keepsLifetime(c *candidate) *Finding {
	end := c.route.Object.Spec.SunsetTime
	if !end.After(c.latestSunset()) {
		return nil
	}
	return refuse(callbackv1alpha1.ReasonLifetimeExceedsPolicy,
		"sunsetTime %s is later than CallbackProxy %s allows, %d days after the route's creation: set spec.sunsetTime to %s or earlier",
		FormatTime(end.Time), c.snapshot.Key, c.snapshot.Proxy.Spec.Policy.MaxLifetimeDays, FormatTime(c.latestSunset()))
}

func keepsAfterSunset(c *candidate) *Finding {
	declared := c.route.Object.Spec.AfterSunset
	if slices.Contains(c.snapshot.Proxy.Spec.Policy.AllowedAfterSunset, declared) {
		return nil
	}
	var allowed []string
	for _, value := range c.snapshot.Proxy.Spec.Policy.AllowedAfterSunset {
		allowed = append(allowed, string(value))
	}
	slices.Sort(allowed)
	return refuse(callbackv1alpha1.ReasonAfterSunsetNotAllowed,
		"CallbackProxy %s does not allow afterSunset: %s: set spec.afterSunset to %s", c.snapshot.Key, declared, Enumerate(allowed))
}

func hasOwner(c *candidate) *Finding {
	required := c.snapshot.Proxy.Spec.Policy.RequireOwner
	if required != nil && !*required || strings.TrimSpace(c.route.Object.Spec.Owner) != "" {
		return nil
	}
	return refuse(callbackv1alpha1.ReasonOwnerRequired,
		"CallbackProxy %s requires spec.owner: set it, for example to a team's address", c.snapshot.Key)
}

// isServable validates the entry as the proxies do: they refuse the whole table
// for one invalid entry, and so for every other tenant.
func isServable(c *candidate) *Finding {
	entry, refs := c.compileEntry()
	if err := entry.Validate(); err != nil {
		return refuse(callbackv1alpha1.ReasonInvalid, "the spec cannot be served: %s; correct the spec", err)
	}
	c.entry, c.refs = entry, refs
	return nil
}

func keepsQuota(c *candidate) *Finding {
	most, namespace := c.snapshot.Proxy.Spec.Policy.MaxRoutesPerNamespace, c.route.Object.Namespace
	if most <= 0 || c.accepted[namespace] < most {
		return nil
	}
	return refuse(callbackv1alpha1.ReasonQuotaExceeded,
		"CallbackProxy %s accepts %d routes of a namespace, and %s has as many accepted ones: delete some, or ask its owner for a higher policy.maxRoutesPerNamespace",
		c.snapshot.Key, most, namespace)
}

func hasNoConflict(c *candidate) *Finding {
	callback, claim, winner, found := c.claims.findConflict(c.entry, c.before)
	if !found {
		return nil
	}
	why := "serves it already"
	switch own := c.route.Object.CreationTimestamp.Time; {
	case winner.created.Before(own):
		why = "is older"
	case winner.created.Equal(own) && cmp.Or(cmp.Compare(winner.namespace, c.entry.Namespace), cmp.Compare(winner.name, c.entry.Name)) < 0:
		why = "was created in the same second and comes first by name"
	}
	return refuse(callbackv1alpha1.ReasonConflict,
		"callback %s: %s on host %s belongs to CallbackRoute %s, which %s: delete one of the two, or use another path or host; a route is accepted with all its callbacks or not at all",
		callback, describeClaim(claim), claim.Host, winner.namespace+"/"+winner.name, why)
}

func isNotHeld(c *candidate) *Finding {
	callback, claim, hold, found := c.findHold(c.entry, c.before)
	if !found {
		return nil
	}
	why := "is not accepted at present: ask its owner to correct or delete it"
	if !hold.ReleaseTime.IsZero() {
		why = "is deleted, until " + FormatTime(hold.ReleaseTime) + ": wait until then"
	}
	return refuse(callbackv1alpha1.ReasonConflict, "callback %s: %s on host %s is held for CallbackRoute %s, which served it and %s, or use another path or host",
		callback, describeClaim(claim), claim.Host, hold.ID(), why)
}

func isNotCrowded(c *candidate) *Finding {
	callback, claim, found := c.claims.findCrowded(c.entry, c.before)
	if !found {
		return nil
	}
	return refuse(callbackv1alpha1.ReasonConflict,
		"callback %s: %d callbacks on host %s have a query and the path %s, and no more are accepted: use another path or host",
		callback, maxQueries, claim.Host, claim.Path)
}

// describeClaim names what a callback claims on a host.
func describeClaim(claim routetable.Claim) string {
	text := string(claim.PathType) + " " + claim.Path
	if claim.Query != "" {
		text += " with query " + string(claim.Query)
	}
	return text
}

// latestSunset is the latest sunsetTime that the policy allows for the route.
func (c *candidate) latestSunset() time.Time {
	return c.route.Object.CreationTimestamp.UTC().AddDate(0, 0, int(c.snapshot.Proxy.Spec.Policy.MaxLifetimeDays))
}

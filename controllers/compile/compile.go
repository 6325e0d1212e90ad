// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package compile computes the route table of one CallbackProxy and one verdict
// for each of its routes. Input: a Snapshot of the cluster and the present time.
// Output: a Plan. Pure: the same objects give the same bytes in any order.
package compile

// compile.go holds the input and the output of the package, and Compile.

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
)

// Snapshot is the state of the cluster that concerns one CallbackProxy. Compile
// does not change it.
type Snapshot struct {
	// Key names the CallbackProxy.
	Key types.NamespacedName
	// Proxy is nil when it does not exist.
	Proxy *callbackv1alpha1.CallbackProxy
	// Routes are all routes that name the CallbackProxy, in any order.
	Routes []Route
	// Previous is the table that was published last; nil when there is none.
	Previous *routetable.Table
	// Namespaces holds the labels of the namespaces of Routes and of Previous.
	Namespaces map[string]labels.Set
	// Services holds the Services that the routes name; nil for one that does not
	// exist.
	Services map[types.NamespacedName]*corev1.Service
	// EndpointSlices holds the slices of those Services.
	EndpointSlices map[types.NamespacedName][]discoveryv1.EndpointSlice
	// Grants are the ReferenceGrants of the namespaces of those Services; none
	// when the kind is not installed.
	Grants []gatewayv1.ReferenceGrant
	// Forbidden are addresses that are never a backend, whatever Service has
	// them: those of the API server.
	Forbidden []netip.Addr
}

// Route is one stored CallbackRoute.
type Route struct {
	Object *callbackv1alpha1.CallbackRoute
	// DecodeError is the reason why the object's spec cannot be decoded. Object
	// then has its metadata only.
	DecodeError string
}

// Plan is the result for a Snapshot at one moment.
type Plan struct {
	// Table is what the instances serve; nil when there is no CallbackProxy.
	Table *routetable.Table
	// Verdicts are sorted by namespace and name, one for each route that is not
	// being deleted.
	Verdicts []Verdict
	// LostHosts are hosts that accepted routes used and that the CallbackProxy
	// does not grant to their namespaces any more, sorted by host.
	LostHosts []LostHost
	// Next is the time of the next change that no object causes; zero when there
	// is none.
	Next time.Time
}

// LostHost counts the routes whose callbacks on a host get 503 because the
// CallbackProxy does not grant the host to their namespaces any more.
type LostHost struct {
	Host   string
	Routes int
}

// Verdict is the decision about one route.
type Verdict struct {
	Route        *callbackv1alpha1.CallbackRoute
	Accepted     Finding
	ResolvedRefs Finding
	// The following fields are set for accepted routes only. Entry is what the
	// instances serve. Phase is the route's position in its schedule, and Warning
	// the last warning that is due, in days before the sunset (0: none).
	Entry   *routetable.Route
	Phase   sunset.Phase
	Warning int32
	// LatestSunset is the latest sunsetTime that the policy allows.
	LatestSunset time.Time
	// NoEndpoints names the backends whose EndpointSlices hold no ready
	// endpoint.
	NoEndpoints map[string]struct{}
}

// Finding is the content of one condition. The condition's status is True when
// OK is set, Unknown when Unknown is set, else False.
type Finding struct {
	OK      bool
	Unknown bool
	Reason  string
	Message string
}

// True returns the Finding of a condition that is True.
func True(reason, format string, args ...any) Finding {
	return Finding{OK: true, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// False returns the Finding of a condition that is False.
func False(reason, format string, args ...any) Finding {
	return Finding{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Unknown returns the Finding of a condition that is Unknown.
func Unknown(reason, message string) Finding {
	return Finding{Unknown: true, Reason: reason, Message: message}
}

// Compile decides about every route of a snapshot and builds the table. The rules
// that concern one route alone come first, so that the holds of refused routes
// are known before routes compete for claims. A route that only keeps claims
// which it has in the previous table comes before all others, so a route of
// another namespace cannot take a callback that is served.
func Compile(s *Snapshot, now time.Time) *Plan {
	p := newPass(s, now)
	candidates := make([]*candidate, 0, len(s.Routes))
	var rivals []*candidate
	for _, route := range byAge(s.Routes) {
		c := &candidate{pass: p, route: route}
		candidates = append(candidates, c)
		if c.refusal = c.check(ownRules); c.refusal != nil {
			p.holdRefused(c)
			continue
		}
		c.before = p.holds.before[c.entry.UID]
		c.rank = rankOf(c.entry, c.before)
		rivals = append(rivals, c)
	}
	p.holdGone()
	slices.SortStableFunc(rivals, func(a, b *candidate) int { return cmp.Compare(a.rank, b.rank) })
	for _, c := range rivals {
		if c.refusal = c.check(rivalRules); c.refusal == nil {
			p.accept(c)
		} else if c.refusal.Reason != callbackv1alpha1.ReasonConflict {
			p.holdRefused(c)
		}
	}
	for _, c := range rivals {
		if c.refusal != nil { // the message names the owners at the end of the pass
			if c.refusal.Reason == callbackv1alpha1.ReasonConflict {
				c.before = nil // it holds nothing, so the next pass finds none
			}
			c.refusal = cmp.Or(c.check(rivalRules), c.refusal)
		}
	}
	return p.plan(candidates)
}

// plan collects the results of a pass.
func (p *pass) plan(candidates []*candidate) *Plan {
	plan := &Plan{Verdicts: make([]Verdict, 0, len(candidates))}
	holds := p.remainingHolds()
	held := map[string]bool{}
	for i := range holds {
		held[holds[i].UID] = true
		plan.Next = Earlier(plan.Next, holds[i].ReleaseTime)
	}
	if p.snapshot.Proxy != nil {
		plan.Table = &routetable.Table{Settings: settings(p.snapshot.Proxy), Holds: holds}
		plan.LostHosts = p.lostHosts(holds)
	}
	for _, c := range candidates {
		if c.refusal != nil && held[string(c.route.Object.UID)] {
			c.refusal.Message += "; until the route is accepted again its callbacks get 503"
		}
		verdict := c.verdict()
		if verdict.Entry != nil {
			plan.Table.Routes = append(plan.Table.Routes, *verdict.Entry)
			plan.Next = Earlier(plan.Next, verdict.schedule(p.snapshot.Proxy, p.now))
		}
		plan.Verdicts = append(plan.Verdicts, verdict)
	}
	if plan.Table != nil {
		slices.SortFunc(plan.Table.Routes, func(a, b routetable.Route) int {
			return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
		})
	}
	slices.SortFunc(plan.Verdicts, func(a, b Verdict) int { return compareNames(a.Route, b.Route) })
	return plan
}

// verdict converts the result of the rules.
func (c *candidate) verdict() Verdict {
	if c.refusal != nil {
		return Verdict{Route: c.route.Object, Accepted: *c.refusal, ResolvedRefs: notResolved}
	}
	return Verdict{
		Route:        c.route.Object,
		Accepted:     True(callbackv1alpha1.ReasonAccepted, "the route may be served by CallbackProxy %s", c.snapshot.Key),
		ResolvedRefs: c.refs,
		Entry:        c.entry,
		LatestSunset: c.latestSunset(),
		NoEndpoints:  c.noEndpoints,
	}
}

// byAge returns the routes that are not being deleted, the oldest first: among
// routes of the same rank the oldest one gets a claim.
func byAge(routes []Route) []Route {
	alive := make([]Route, 0, len(routes))
	for _, r := range routes {
		if r.Object.DeletionTimestamp.IsZero() {
			alive = append(alive, r)
		}
	}
	slices.SortFunc(alive, func(a, b Route) int {
		return cmp.Or(
			a.Object.CreationTimestamp.Compare(b.Object.CreationTimestamp.Time),
			compareNames(a.Object, b.Object),
		)
	})
	return alive
}

func compareNames(a, b *callbackv1alpha1.CallbackRoute) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func settings(p *callbackv1alpha1.CallbackProxy) routetable.Settings {
	s := routetable.Settings{
		ListenerPort: p.Spec.Listener.Port, HealthPath: string(p.Spec.Listener.HealthPath),
		ProxyProtocol: p.Spec.Listener.ProxyProtocol == callbackv1alpha1.ProxyProtocolRequired,
		Forwarding: routetable.Forwarding{
			ExternalScheme: string(p.Spec.Forwarding.ExternalScheme), HostFrom: routetable.HostFrom(p.Spec.Forwarding.HostFrom),
		},
		Limits: routetable.Limits{
			HeaderKiB: p.Spec.Limits.HeaderKiB, TargetKiB: p.Spec.Limits.TargetKiB, BodyKiB: p.Spec.Limits.BodyKiB,
			Connections: p.Spec.Limits.Connections, InFlightPerRoute: p.Spec.Limits.InFlightPerRoute,
		},
		Pages: routetable.Pages{Product: string(p.Spec.Pages.Product), SupportURL: string(p.Spec.Pages.SupportURL)},
	}
	var trusted []string
	for _, cidr := range p.Spec.Forwarding.TrustedProxies {
		// The schema accepts more spellings of a network than the table does. A
		// value that is no network at all is left out.
		if network, err := netip.ParsePrefix(string(cidr)); err == nil {
			trusted = append(trusted, network.Masked().String())
		}
	}
	slices.Sort(trusted)
	s.Forwarding.TrustedProxies = slices.Compact(trusted)
	return s
}

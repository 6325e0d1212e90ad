// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package compile computes the route table of one CallbackProxy and one verdict
// for each of its routes. Input: a Snapshot of the cluster and the present time.
// Output: a Plan. Pure: the same objects give the same bytes in any order.
package compile

// compile.go holds the input and the output of the package, and Compile.

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
)

// Snapshot is what the controller gathered about one CallbackProxy. Nothing
// in it is changed.
type Snapshot struct {
	// Key names the CallbackProxy.
	Key types.NamespacedName
	// Proxy is nil when it does not exist.
	Proxy *callbackv1alpha1.CallbackProxy
	// Routes are all routes that name the CallbackProxy, in any order.
	Routes []Route
	// Namespaces holds the labels of the routes' namespaces.
	Namespaces map[string]labels.Set
	// Services holds the Services that the routes name and that exist.
	Services map[types.NamespacedName]*corev1.Service
	// EndpointSlices holds the slices of those.
	EndpointSlices map[types.NamespacedName][]discoveryv1.EndpointSlice
	// Grants are the ReferenceGrants of the namespaces of those Services;
	// none when the kind is not installed.
	Grants []gatewayv1beta1.ReferenceGrant
	// Forbidden are addresses that are never a backend, whatever Service
	// holds them: those of the API server.
	Forbidden []netip.Addr
}

// Route is one route as it was read.
type Route struct {
	Object *callbackv1alpha1.CallbackRoute
	// DecodeError says why the object's spec could not be read; then only
	// its metadata is there.
	DecodeError string
}

// Plan is what follows from a Snapshot at one moment.
type Plan struct {
	// Table is what the instances serve. Nil when there is no CallbackProxy.
	Table *routetable.Table
	// Verdicts are in the order of their routes' names, one for each route
	// that is not being deleted.
	Verdicts []Verdict
	// Next is when something will change though no object does; zero when
	// nothing will.
	Next time.Time
}

// Verdict is what was decided about one route.
type Verdict struct {
	Route        *callbackv1alpha1.CallbackRoute
	Accepted     Finding
	ResolvedRefs Finding
	// The following are of an accepted route. Entry is what the instances
	// serve; Phase is where in its schedule the route stands, and Warning which
	// of the warnings, in days before the sunset, came last (0: none).
	Entry   *routetable.Route
	Phase   sunset.Phase
	Warning int32
	// LatestSunset is the latest sunsetTime that the policy allows.
	LatestSunset time.Time
	// NoEndpoints names the backends whose EndpointSlices hold no ready
	// endpoint.
	NoEndpoints map[string]struct{}
}

// Finding is one condition's content. Its status is True when OK, else False,
// or Unknown when nothing was looked at.
type Finding struct {
	OK      bool
	Unknown bool
	Reason  string
	Message string
}

// Compile decides about every route of a snapshot and builds the table of
// those that may be served.
func Compile(s *Snapshot, now time.Time) *Plan {
	plan := &Plan{}
	var table *routetable.Table
	if s.Proxy != nil {
		table = &routetable.Table{Settings: settings(s.Proxy)}
	}
	pass := &pass{claims: newClaims(), givenHosts: map[string][]string{}, accepted: map[string]int32{}}
	for _, route := range byAge(s.Routes) {
		c := &candidate{snapshot: s, route: route, pass: pass}
		verdict := judge(c)
		if entry := verdict.Entry; entry != nil {
			table.Routes = append(table.Routes, *entry)
			pass.claims.add(entry, route.Object.CreationTimestamp.Time)
			pass.accepted[entry.Namespace]++
			plan.Next = Earlier(plan.Next, verdict.schedule(s.Proxy, now))
		}
		plan.Verdicts = append(plan.Verdicts, verdict)
	}
	if table != nil {
		slices.SortFunc(table.Routes, func(a, b routetable.Route) int {
			return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
		})
	}
	slices.SortFunc(plan.Verdicts, func(a, b Verdict) int {
		return compareNames(a.Route, b.Route)
	})
	plan.Table = table
	return plan
}

// judge runs the rules over one candidate. A rule that panics costs its route
// alone: the object is stored, so it would meet every later pass as well.
func judge(c *candidate) (verdict Verdict) {
	verdict = Verdict{Route: c.route.Object}
	defer func() {
		if recover() != nil {
			verdict.Accepted = Finding{
				Reason:  callbackv1alpha1.ReasonInvalid,
				Message: "the controller failed on this route; this is a defect of the controller, please report it",
			}
			verdict.ResolvedRefs = notResolved
			verdict.Entry = nil
		}
	}()
	for _, rule := range acceptance {
		if reason, message, broken := rule(c); broken {
			verdict.Accepted = Finding{Reason: reason, Message: message}
			verdict.ResolvedRefs = notResolved
			return verdict
		}
	}
	verdict.Accepted = Finding{
		OK:      true,
		Reason:  callbackv1alpha1.ReasonAccepted,
		Message: "the route may be served by CallbackProxy " + c.snapshot.Key.String(),
	}
	verdict.ResolvedRefs = c.refs
	verdict.Entry, verdict.NoEndpoints = c.entry, c.noEndpoints
	verdict.LatestSunset = c.latestSunset()
	return verdict
}

// byAge returns the routes that are not being deleted, the oldest first:
// whoever was there first keeps what it holds.
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
	s := routetable.Settings{ListenerPort: p.Spec.Listener.Port}
	for _, cidr := range p.Spec.TrustedProxies {
		// The schema accepts more spellings of a network than the table does.
		// What is none at all is trusted by nobody.
		if network, err := netip.ParsePrefix(string(cidr)); err == nil {
			s.TrustedProxies = append(s.TrustedProxies, network.Masked().String())
		}
	}
	slices.Sort(s.TrustedProxies)
	s.TrustedProxies = slices.Compact(s.TrustedProxies)
	return s
}

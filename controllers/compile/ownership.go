// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

// ownership.go converts the rules of ownership.

import (
	"cmp"
	"slices"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// ownershipOf returns the table's form of a route's ownership; nil when it has none.
func ownershipOf(spec *callbackv1alpha1.CallbackRouteSpec) *routetable.Ownership {
	declared := spec.Ownership
	if declared == nil {
		return nil
	}
	o := &routetable.Ownership{
		Rules:   make([]routetable.OwnershipRule, len(declared.Rules)),
		Unowned: routetable.Unowned{Type: routetable.UnownedType(declared.Unowned.Type), Backend: declared.Unowned.Backend},
		Observe: declared.Enforcement == callbackv1alpha1.OwnershipObserve,
	}
	for i := range declared.Rules {
		rule := &declared.Rules[i]
		o.Rules[i] = routetable.OwnershipRule{
			Type: routetable.RuleType(rule.Type), Backend: rule.Backend,
			Cookie: cookieOf(rule.Cookie), State: stateOf(rule.State, spec.Protocol), Connection: connectionOf(rule.Connection),
		}
		switch {
		case rule.Issuer != nil:
			o.Rules[i].Value = string(rule.Issuer.Value)
		case rule.Audience != nil:
			o.Rules[i].Value = string(rule.Audience.Value)
		}
	}
	return o
}

func cookieOf(m *callbackv1alpha1.CookieMatch) *routetable.CookieMatch {
	if m == nil {
		return nil
	}
	return &routetable.CookieMatch{Name: string(m.Name), NamePrefix: string(m.NamePrefix), ValuePrefix: string(m.ValuePrefix)}
}

// stateOf fills in the source of the protocol.
func stateOf(m *callbackv1alpha1.StateMatch, p callbackv1alpha1.Protocol) *routetable.StateMatch {
	if m == nil {
		return nil
	}
	source := callbackv1alpha1.StateSourceState
	if p == callbackv1alpha1.ProtocolSAML {
		source = callbackv1alpha1.StateSourceRelayState
	}
	return &routetable.StateMatch{
		Source: routetable.StateSource(cmp.Or(m.Source, source)),
		Prefix: string(m.Prefix), Length: m.Length, Alphabet: routetable.Alphabet(m.Alphabet),
	}
}

// connectionOf sorts the values, so that their order changes no byte of the table.
func connectionOf(m *callbackv1alpha1.ConnectionMatch) *routetable.ConnectionMap {
	if m == nil {
		return nil
	}
	out := &routetable.ConnectionMap{Parameter: string(m.Parameter), PathSegment: m.PathSegment}
	for i := range m.Backends {
		b := routetable.ConnectionBackend{Name: m.Backends[i].Name, Values: make([]string, len(m.Backends[i].Values))}
		for j, value := range m.Backends[i].Values {
			b.Values[j] = string(value)
		}
		slices.Sort(b.Values)
		b.Values = slices.Compact(b.Values)
		out.Backends = append(out.Backends, b)
	}
	return out
}

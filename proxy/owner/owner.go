// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package owner decides which backend a callback goes to. In: its route and
// what is known of the request; out: the backend, and the rung of the ladder of
// rules that decided. It is the one place of that decision. It reads parameters,
// tokens and assertions for routing only: it verifies nothing and changes no byte.
// Pure.
package owner

import "github.com/callbackproxy/callback-operator/proxy/routetable"

// Rung names what decided: a rule of the route's ownership, by its type, or one of
// these.
type Rung string

const (
	// Primary stands for a route without ownership, which gives every callback to the
	// backend with a weight.
	Primary Rung = "Primary"
	// Unowned stands for a callback that no rule matches.
	Unowned Rung = "Unowned"
)

// Decision is where a callback goes.
type Decision struct {
	// Owner is the backend that the rules name, or that gets what no rule matches;
	// nil when such callbacks are rejected.
	Owner *routetable.Backend
	Rung  Rung
	// Receiver is the backend that gets the callback; nil: it is rejected. It differs
	// from Owner only where ownership is observed.
	Receiver *routetable.Backend
}

// Decide returns the backend of a request. Rules come in the author's order, and the
// first that matches decides:
//
//	no ownership                     primary
//	a rule matches                   its backend
//	no rule, unowned a backend       that
//	no rule, unowned rejected        none; a request that is no response: primary
//	ownership observed               the unowned backend, whatever rule matches
func Decide(r *routetable.Route, request *Request) Decision {
	if r.Ownership == nil {
		primary := r.Primary()
		return Decision{Owner: primary, Rung: Primary, Receiver: primary}
	}
	unowned := r.Backend(r.Ownership.Unowned.Backend)
	if unowned == nil && !request.IsResponse {
		unowned = r.Primary()
	}
	d := Decision{Owner: unowned, Rung: Unowned, Receiver: unowned}
	for i := range r.Ownership.Rules {
		rule := &r.Ownership.Rules[i]
		if name, matches := request.match(rule); matches {
			d.Owner, d.Rung = r.Backend(name), Rung(rule.Type)
			if !r.Ownership.Observe {
				d.Receiver = d.Owner
			}
			break
		}
	}
	return d
}

// Choice is a backend that may get a callback.
type Choice struct {
	Backend *routetable.Backend
	// Failover is set for the replacement that the receiver declares.
	Failover bool
}

// Order returns the backends that may get a callback of a receiver, in order: a
// later one gets it only when no connection to those before it can be made, so
// before a byte was written. reachable reports whether an address of a backend may
// be reached: false only where it is known that none can.
//
//	no failover declared           receiver
//	only the failover reachable    failover, then receiver
//	otherwise                      receiver, then failover
func Order(r *routetable.Route, receiver *routetable.Backend, reachable func(*routetable.Backend) bool) []Choice {
	choices := []Choice{{receiver, false}}
	if receiver.Failover == nil {
		return choices
	}
	failover := r.Backend(receiver.Failover.Backend)
	choices = append(choices, Choice{failover, true})
	if !reachable(receiver) && reachable(failover) {
		choices[0], choices[1] = choices[1], choices[0]
	}
	return choices
}

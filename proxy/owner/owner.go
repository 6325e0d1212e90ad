// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package owner decides which backend a callback goes to. In: its route and
// what is known of the request; out: the backend, and the rung of the ladder of
// rules that decided. It is the one place of that decision. Pure.
package owner

import "github.com/callbackproxy/callback-operator/proxy/routetable"

// Rung names the rule that decided.
type Rung string

// The rungs: the backend with a weight, and the failover that it declares.
const (
	Primary  Rung = "Primary"
	Failover Rung = "Failover"
)

// Request is what is known of a request when its backend is decided.
type Request struct {
	// Reachable reports whether an address of a backend may be reached: false
	// only where it is known that none can.
	Reachable func(*routetable.Backend) bool
}

// Choice is a backend and why it gets the callback.
type Choice struct {
	Backend *routetable.Backend
	Rung    Rung
}

// Decide returns the backends that may get a callback, in order: a later one
// gets it only when no connection to those before it can be made, so before a
// byte was written.
//
//	no failover declared           primary
//	only the failover reachable    failover, then primary
//	otherwise                      primary, then failover
func Decide(r *routetable.Route, request Request) []Choice {
	primary := r.Primary()
	choices := []Choice{{primary, Primary}}
	if primary.Failover == nil {
		return choices
	}
	failover := r.Backend(primary.Failover.Backend)
	choices = append(choices, Choice{failover, Failover})
	if !request.Reachable(primary) && request.Reachable(failover) {
		choices[0], choices[1] = choices[1], choices[0]
	}
	return choices
}

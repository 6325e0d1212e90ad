// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

// This file gathers what the ready instances of a fleet report of the last
// callbacks of its routes.

import (
	"k8s.io/apimachinery/pkg/types"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// Recent returns what the last callbacks of a fleet's routes show, without the
// routes whose callbacks show nothing.
func (o *Observer) Recent(key types.NamespacedName, routes []*callbackv1alpha1.CallbackRoute) map[types.UID]status.Recent {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.fleets[key]
	if f == nil {
		return nil
	}
	out := map[types.UID]status.Recent{}
	for _, route := range routes {
		if uses := f.noteworthy(route.UID); uses != nil {
			out[route.UID] = recentOf(uses)
		}
	}
	return out
}

// noteworthy returns the reports of the ready instances about a route if one of
// them has a failure or a loop. The caller holds the lock.
func (f *fleet) noteworthy(uid types.UID) (uses []routetable.RouteUse) {
	noteworthy := false
	for _, i := range f.instances {
		use, known := i.entries.routes[uid]
		if !known || !i.pod.Ready || !i.isReachable() {
			continue
		}
		uses = append(uses, use)
		noteworthy = noteworthy || !use.LastLoop.IsZero()
		for n := range use.Backends {
			noteworthy = noteworthy || use.Backends[n].InRow > 0
		}
	}
	if !noteworthy {
		return nil
	}
	return uses
}

// recentOf adds up the reports of instances about one route.
func recentOf(uses []routetable.RouteUse) status.Recent {
	out := status.Recent{Backends: map[string]status.RecentBackend{}}
	for i := range uses {
		out.LastLoop = later(out.LastLoop, uses[i].LastLoop)
		for n := range uses[i].Backends {
			b := &uses[i].Backends[n]
			backend := out.Backends[b.Name]
			backend.LastSuccess = later(backend.LastSuccess, b.LastSuccess)
			if b.InRow > 0 {
				backend.Rows = append(backend.Rows, status.FailureRow{InRow: b.InRow, Failures: b.Failures})
			}
			out.Backends[b.Name] = backend
		}
	}
	return out
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// quietAfter is how long no callback must have come before a route counts as
// quiet.
const quietAfter = time.Hour

// Use is what came for a route in all its life.
type Use struct {
	Last                                   time.Time
	Callbacks, AfterSunset, Other, Refused int64
	// Backends is what each got, by name.
	Backends map[string]BackendUse
}

// BackendUse is what one backend got.
type BackendUse struct {
	Callbacks int64
	Last      time.Time
}

// StoredUse reads what a status says of a route's use.
func StoredUse(status *callbackv1alpha1.CallbackRouteStatus) Use {
	var use Use
	if t := status.Traffic; t != nil {
		use.Last = instant(t.LastCallbackTime)
		use.Callbacks, use.AfterSunset = number(t.Callbacks), number(t.AfterSunset)
		use.Other, use.Refused = number(t.Other), number(t.Refused)
	}
	for i := range status.Backends {
		b := &status.Backends[i]
		if b.Callbacks == nil {
			continue
		}
		if use.Backends == nil {
			use.Backends = make(map[string]BackendUse, len(status.Backends))
		}
		use.Backends[b.Name] = BackendUse{Callbacks: *b.Callbacks, Last: instant(b.LastCallbackTime)}
	}
	return use
}

// QuietAt is when an accepted route becomes quiet unless a callback comes, and
// since when it would be.
func QuietAt(route *callbackv1alpha1.CallbackRoute, use *Use) (at, since time.Time) {
	since = use.Last
	if since.IsZero() {
		since = route.CreationTimestamp.Time
	}
	return since.Add(quietAfter), since
}

func traffic(v *Verdict, use *Use, now time.Time) *callbackv1alpha1.Traffic {
	t := &callbackv1alpha1.Traffic{
		LastCallbackTime: timestamp(use.Last),
		Callbacks:        &use.Callbacks,
		AfterSunset:      positive(use.AfterSunset),
		Other:            positive(use.Other),
		Refused:          positive(use.Refused),
	}
	if at, since := QuietAt(v.Route, use); v.Accepted.OK && !now.Before(at) {
		t.QuietSince = timestamp(since)
	}
	return t
}

func backendStatuses(states []backendState, use *Use) []callbackv1alpha1.BackendStatus {
	statuses := make([]callbackv1alpha1.BackendStatus, len(states))
	for i := range states {
		used := use.Backends[states[i].name]
		statuses[i] = callbackv1alpha1.BackendStatus{
			Name:             states[i].name,
			Health:           states[i].health,
			Reason:           states[i].reason,
			Callbacks:        &used.Callbacks,
			LastCallbackTime: timestamp(used.Last),
		}
	}
	return statuses
}

func instant(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

func number(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// positive returns nil for 0: what never happened is not said.
func positive(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}

// timestamp returns an instant as the API stores it, in whole seconds.
func timestamp(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	stamp := metav1.NewTime(t.UTC().Truncate(time.Second))
	return &stamp
}

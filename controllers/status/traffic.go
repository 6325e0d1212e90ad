// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

// traffic.go reads and writes the counters of a route's status.

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
)

// quietAfter is the time without a callback after which a route is quiet.
const quietAfter = time.Hour

// Traffic counts the requests of a route's whole life.
type Traffic struct {
	// Last is the time of the last callback.
	Last                                            time.Time
	Callbacks, AfterSunset, Repeats, Other, Refused int64
	// LastRefused is when the last request was refused, and RefusedReason why.
	LastRefused   time.Time
	RefusedReason string
	// Backends holds the callbacks of each backend, by name.
	Backends map[string]BackendTraffic
}

// BackendTraffic counts the callbacks of one backend.
type BackendTraffic struct {
	Callbacks int64
	Last      time.Time
}

// ReadTraffic reads the counters of a stored status.
func ReadTraffic(status *callbackv1alpha1.CallbackRouteStatus) Traffic {
	var out Traffic
	if t := status.Traffic; t != nil {
		out.Last = timeOf(t.LastCallbackTime)
		out.Callbacks, out.AfterSunset = ptr.Deref(t.Callbacks, 0), ptr.Deref(t.AfterSunset, 0)
		out.Repeats = ptr.Deref(t.Repeats, 0)
		out.Other, out.Refused = ptr.Deref(t.Other, 0), ptr.Deref(t.Refused, 0)
		out.LastRefused, out.RefusedReason = timeOf(t.LastRefusedTime), t.LastRefusedReason
	}
	for i := range status.Backends {
		b := &status.Backends[i]
		if b.Callbacks == nil {
			continue
		}
		if out.Backends == nil {
			out.Backends = make(map[string]BackendTraffic, len(status.Backends))
		}
		out.Backends[b.Name] = BackendTraffic{Callbacks: *b.Callbacks, Last: timeOf(b.LastCallbackTime)}
	}
	return out
}

// QuietAt returns the time at which an accepted route becomes quiet unless a
// callback arrives, and the time since which it would be quiet.
func QuietAt(route *callbackv1alpha1.CallbackRoute, t *Traffic) (at, since time.Time) {
	since = t.Last
	if since.IsZero() {
		since = route.CreationTimestamp.Time
	}
	return since.Add(quietAfter), since
}

func trafficStatus(v *compile.Verdict, counted *Traffic, now time.Time) *callbackv1alpha1.Traffic {
	t := &callbackv1alpha1.Traffic{
		LastCallbackTime: timestamp(counted.Last),
		Callbacks:        &counted.Callbacks,
		AfterSunset:      positive(counted.AfterSunset),
		Repeats:          positive(counted.Repeats),
		Other:            positive(counted.Other),
		Refused:          positive(counted.Refused),
	}
	if counted.Refused > 0 && counted.RefusedReason != "" {
		t.LastRefusedTime, t.LastRefusedReason = timestamp(counted.LastRefused), counted.RefusedReason
	}
	if at, since := QuietAt(v.Route, counted); v.Accepted.OK && !now.Before(at) {
		t.QuietSince = timestamp(since)
	}
	return t
}

func backendStatuses(states []backendHealth, counted *Traffic) []callbackv1alpha1.BackendStatus {
	statuses := make([]callbackv1alpha1.BackendStatus, len(states))
	for i := range states {
		backend := counted.Backends[states[i].name]
		statuses[i] = callbackv1alpha1.BackendStatus{
			Name:             states[i].name,
			Health:           states[i].health,
			Reason:           states[i].reason,
			Callbacks:        &backend.Callbacks,
			LastCallbackTime: timestamp(backend.Last),
		}
	}
	return statuses
}

func timeOf(t *metav1.Time) time.Time { return ptr.Deref(t, metav1.Time{}).Time }

// positive returns nil for 0: the status leaves out what never happened.
func positive(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}

// timestamp returns a time as the API server stores it, in whole seconds.
func timestamp(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	stamp := metav1.NewTime(t.UTC().Truncate(time.Second))
	return &stamp
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expect

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

func newCondition(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	return metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: "because " + reason,
		ObservedGeneration: 3, LastTransitionTime: metav1.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
	}
}

// created is when every object was, and called when a route's last callback
// came.
var (
	created = metav1.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	called  = metav1.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
)

// readyRoute is a route whose status is as good as it can be. It has three
// backends: blue gets nothing, green is primary, and red is its failover.
func readyRoute() *callbackv1alpha1.CallbackRoute {
	n, none, some, many := int32(2), int64(0), int64(3), int64(4)
	weight := func(w int32) *int32 { return &w }
	last := called
	return &callbackv1alpha1.CallbackRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: "identity", Name: "acme-sso", Generation: 3, CreationTimestamp: created},
		Spec: callbackv1alpha1.CallbackRouteSpec{Backends: []callbackv1alpha1.Backend{
			{Name: "blue", Weight: weight(0)},
			{Name: "green", Weight: weight(100), Failover: &callbackv1alpha1.Failover{Backend: "red", LoginState: callbackv1alpha1.LoginStateShared}},
			{Name: "red", Weight: weight(0)},
		}},
		Status: callbackv1alpha1.CallbackRouteStatus{
			ObservedGeneration: 3,
			Conditions: []metav1.Condition{
				newCondition("Accepted", "True", "Accepted"),
				newCondition("ResolvedRefs", "True", "ResolvedRefs"),
				newCondition("Programmed", "True", "Programmed"),
				newCondition("BackendsHealthy", "True", "BackendsHealthy"),
				newCondition("Ready", "True", "Ready"),
			},
			PrimaryBackend: "green",
			Backends: []callbackv1alpha1.BackendStatus{
				{Name: "blue", Health: "Unknown", Callbacks: &none},
				{Name: "green", Health: "Healthy", Callbacks: &some, LastCallbackTime: &last},
				{Name: "red", Health: "Healthy", Callbacks: &none},
			},
			Traffic:   &callbackv1alpha1.Traffic{Callbacks: &many, LastCallbackTime: &last},
			Instances: &callbackv1alpha1.InstanceCounts{Total: &n, Ready: &n, Programmed: &n},
		},
	}
}

func set(route *callbackv1alpha1.CallbackRoute, conditions ...metav1.Condition) {
	for _, c := range conditions {
		found := false
		for i := range route.Status.Conditions {
			if route.Status.Conditions[i].Type == c.Type {
				route.Status.Conditions[i], found = c, true
			}
		}
		if !found {
			route.Status.Conditions = append(route.Status.Conditions, c)
		}
	}
}

// breakBackend makes a backend unhealthy, and BackendsHealthy report it.
func breakBackend(r *callbackv1alpha1.CallbackRoute, name, reason string) {
	for i := range r.Status.Backends {
		if b := &r.Status.Backends[i]; b.Name == name {
			b.Health, b.Reason = callbackv1alpha1.HealthUnhealthy, reason
		}
	}
	condition := newCondition("BackendsHealthy", "False", reason)
	condition.Message = ""
	for _, b := range r.Status.Backends {
		if b.Health == callbackv1alpha1.HealthUnhealthy {
			condition.Message += "backend " + b.Name + " is ill; "
		}
	}
	set(r, condition)
}

// blame makes Ready False for the reason of another condition.
func blame(r *callbackv1alpha1.CallbackRoute, kind string) {
	for _, c := range r.Status.Conditions {
		if c.Type == kind {
			c.Type, c.Status = "Ready", "False"
			set(r, c)
		}
	}
}

// refuse makes a route one that is not accepted.
func refuse(r *callbackv1alpha1.CallbackRoute) {
	zero := int32(0)
	set(r, newCondition("Accepted", "False", "Conflict"), newCondition("ResolvedRefs", "Unknown", "NotAccepted"),
		newCondition("Programmed", "False", "NotAccepted"), newCondition("BackendsHealthy", "Unknown", "NotAccepted"))
	blame(r, "Accepted")
	for i := range r.Status.Backends {
		r.Status.Backends[i].Health = callbackv1alpha1.HealthUnknown
	}
	r.Status.PrimaryBackend, r.Status.Instances.Programmed = "", &zero
}

func unmeasure(r *callbackv1alpha1.CallbackRoute) {
	for i := range r.Status.Backends {
		r.Status.Backends[i].Health = callbackv1alpha1.HealthUnknown
	}
	set(r, newCondition("BackendsHealthy", "Unknown", "NotMeasured"))
}

// end passes a planned sunset: the route stays ready.
func end(r *callbackv1alpha1.CallbackRoute) {
	r.Spec.SunsetTime = newCondition("SunsetPassed", "True", "SunsetPassed").LastTransitionTime
	set(r, newCondition("SunsetPassed", "True", "SunsetPassed"), newCondition("Ready", "True", "SunsetPassed"))
}

// pass passes a sunset that lay in the past when its generation was new.
func pass(r *callbackv1alpha1.CallbackRoute) {
	set(r, newCondition("SunsetPassed", "True", "SunsetPassed"))
	blame(r, "SunsetPassed")
}

// hold holds the sunset, by the annotation and by the condition.
func hold(r *callbackv1alpha1.CallbackRoute) {
	r.Annotations = map[string]string{callbackv1alpha1.HoldAnnotation: " partner is late "}
	condition := newCondition("SunsetHeld", "True", "SunsetHeld")
	condition.Message = "because: partner is late"
	set(r, condition)
}

type routeChanges map[string]func(*callbackv1alpha1.CallbackRoute)

func (changes routeChanges) contradict(t *testing.T) {
	t.Helper()
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			route := readyRoute()
			if err := ConsistentRoute(route); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			change(route)
			if ConsistentRoute(route) == nil {
				t.Error("counts as consistent")
			}
		})
	}
}

func TestConsistentRoute_FindsContradictions(t *testing.T) {
	zero := int32(0)
	routeChanges{
		"no status":                    func(r *callbackv1alpha1.CallbackRoute) { r.Status = callbackv1alpha1.CallbackRouteStatus{} },
		"about an older generation":    func(r *callbackv1alpha1.CallbackRoute) { r.Generation = 4 },
		"one condition about an older": func(r *callbackv1alpha1.CallbackRoute) { r.Status.Conditions[1].ObservedGeneration = 2 },
		"a condition is missing":       func(r *callbackv1alpha1.CallbackRoute) { r.Status.Conditions = r.Status.Conditions[1:] },
		"no condition about health": func(r *callbackv1alpha1.CallbackRoute) {
			r.Status.Conditions = append(r.Status.Conditions[:3], r.Status.Conditions[4])
		},
		"a condition twice": func(r *callbackv1alpha1.CallbackRoute) {
			r.Status.Conditions = append(r.Status.Conditions, r.Status.Conditions[0])
		},
		"an unknown condition":  func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("Happy", "True", "Happy")) },
		"an unknown reason":     func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("Accepted", "True", "Fine")) },
		"a reason of the other": func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("Programmed", "True", "Pending")) },
		"no message":            func(r *callbackv1alpha1.CallbackRoute) { r.Status.Conditions[2].Message = "" },
		"no time":               func(r *callbackv1alpha1.CallbackRoute) { r.Status.Conditions[2].LastTransitionTime = metav1.Time{} },
		"ready though pending":  func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("Programmed", "False", "Pending")) },
		"ready though unresolved": func(r *callbackv1alpha1.CallbackRoute) {
			set(r, newCondition("ResolvedRefs", "False", "BackendNotFound"))
		},
		"unready for no reason": func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("Ready", "False", "Pending")) },
		"refused and programmed": func(r *callbackv1alpha1.CallbackRoute) {
			refuse(r)
			set(r, newCondition("Programmed", "True", "Programmed"))
			r.Status.Instances.Programmed = r.Status.Instances.Ready
		},
		"refused and resolved": func(r *callbackv1alpha1.CallbackRoute) {
			refuse(r)
			set(r, newCondition("ResolvedRefs", "True", "ResolvedRefs"))
		},
		"refused and measured": func(r *callbackv1alpha1.CallbackRoute) {
			refuse(r)
			set(r, newCondition("BackendsHealthy", "Unknown", "NotMeasured"))
		},
		"refused for two reasons": func(r *callbackv1alpha1.CallbackRoute) { refuse(r); blame(r, "Programmed") },
		"refused and deprecated": func(r *callbackv1alpha1.CallbackRoute) {
			refuse(r)
			r.Spec.DeprecationTime = &created
			set(r, newCondition("Deprecated", "True", "Deprecated"))
		},
		"refused and ending": func(r *callbackv1alpha1.CallbackRoute) {
			refuse(r)
			set(r, newCondition("SunsetApproaching", "True", "SunsetApproaching"))
		},
		"refused and active": func(r *callbackv1alpha1.CallbackRoute) { refuse(r); r.Status.PrimaryBackend = "green" },
		"accepted and not part of the config": func(r *callbackv1alpha1.CallbackRoute) {
			set(r, newCondition("Programmed", "False", "NotAccepted"))
			blame(r, "Programmed")
			r.Status.Instances.Programmed = &zero
		},
		"stalled and ready": func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("Stalled", "True", "Invalid")) },
		"stalled without a refusal": func(r *callbackv1alpha1.CallbackRoute) {
			set(r, newCondition("Stalled", "True", "Invalid"), newCondition("Programmed", "False", "RefusedByProxy"))
			blame(r, "Programmed")
			r.Status.Instances.Programmed = &zero
		},
		"stalled for another reason": func(r *callbackv1alpha1.CallbackRoute) {
			refuse(r)
			set(r, newCondition("Stalled", "True", "Invalid"))
		},
		"stalled by a conflict": func(r *callbackv1alpha1.CallbackRoute) {
			refuse(r)
			set(r, newCondition("Stalled", "True", "Conflict"))
		},
		"not stalled": func(r *callbackv1alpha1.CallbackRoute) {
			refuse(r)
			set(r, newCondition("Stalled", "False", "Conflict"))
		},
		"invalid and not stalled": func(r *callbackv1alpha1.CallbackRoute) {
			refuse(r)
			set(r, newCondition("Accepted", "False", "Invalid"))
			blame(r, "Accepted")
		},
		"ready with the reason of an end that is ahead": func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("Ready", "True", "SunsetPassed")) },
		"no counts":                  func(r *callbackv1alpha1.CallbackRoute) { r.Status.Instances = nil },
		"programmed by no instance":  func(r *callbackv1alpha1.CallbackRoute) { r.Status.Instances.Programmed = &zero },
		"more programmed than ready": func(r *callbackv1alpha1.CallbackRoute) { r.Status.Instances.Ready = &zero },
		"more ready than there are":  func(r *callbackv1alpha1.CallbackRoute) { r.Status.Instances.Total = &zero },
		"none ready and programmed": func(r *callbackv1alpha1.CallbackRoute) {
			r.Status.Instances.Ready, r.Status.Instances.Programmed = &zero, &zero
		},
		"none ready and pending": func(r *callbackv1alpha1.CallbackRoute) {
			set(r, newCondition("Programmed", "False", "Pending"))
			blame(r, "Programmed")
			r.Status.Instances.Ready, r.Status.Instances.Programmed = &zero, &zero
		},
	}.contradict(t)
}

func TestConsistentRoute_AllowsWhatCanBe(t *testing.T) {
	for name, change := range (routeChanges{
		"refused": refuse,
		"pending": func(r *callbackv1alpha1.CallbackRoute) {
			one := int32(1)
			set(r, newCondition("Programmed", "False", "Pending"))
			blame(r, "Programmed")
			r.Status.Instances.Programmed = &one
		},
		"past the sunset":           pass,
		"ready after a planned end": end,
		"ready after a planned end, without a backend": func(r *callbackv1alpha1.CallbackRoute) {
			end(r)
			set(r, newCondition("ResolvedRefs", "False", "BackendNotFound"))
		},
		"past the sunset, and an instance is behind": func(r *callbackv1alpha1.CallbackRoute) {
			one := int32(1)
			end(r)
			set(r, newCondition("Programmed", "False", "Pending"))
			blame(r, "Programmed")
			r.Status.Instances.Programmed = &one
		},
		"stalled by an invalid spec": func(r *callbackv1alpha1.CallbackRoute) {
			refuse(r)
			set(r, newCondition("Accepted", "False", "Invalid"), newCondition("Stalled", "True", "Invalid"))
			blame(r, "Accepted")
		},
		"stalled by the policy": func(r *callbackv1alpha1.CallbackRoute) {
			refuse(r)
			set(r, newCondition("Accepted", "False", "LifetimeExceedsPolicy"), newCondition("Stalled", "True", "LifetimeExceedsPolicy"))
			blame(r, "Accepted")
		},
		"stalled by a backend": func(r *callbackv1alpha1.CallbackRoute) {
			set(r, newCondition("ResolvedRefs", "False", "InvalidBackend"), newCondition("Stalled", "True", "InvalidBackend"))
			blame(r, "ResolvedRefs")
		},
		"past the sunset with Serve": func(r *callbackv1alpha1.CallbackRoute) {
			r.Spec.AfterSunset = callbackv1alpha1.AfterSunsetServe
			set(r, newCondition("SunsetPassed", "True", "SunsetPassed"))
		},
		"past the sunset and held": func(r *callbackv1alpha1.CallbackRoute) {
			hold(r)
			set(r, newCondition("SunsetPassed", "True", "SunsetPassed"))
		},
		"past the sunset and the hold expired": func(r *callbackv1alpha1.CallbackRoute) {
			hold(r)
			pass(r)
			expired := newCondition("SunsetHeld", "False", "HoldExpired")
			expired.Message = "it was: partner is late"
			set(r, expired)
		},
		"the sunset approaches, and is held": func(r *callbackv1alpha1.CallbackRoute) {
			hold(r)
			set(r, newCondition("SunsetApproaching", "True", "SunsetApproaching"))
		},
		"held for no reason": func(r *callbackv1alpha1.CallbackRoute) {
			r.Annotations = map[string]string{callbackv1alpha1.HoldAnnotation: ""}
			set(r, newCondition("SunsetHeld", "False", "HoldWithoutReason"))
		},
		"refused, with the annotation": func(r *callbackv1alpha1.CallbackRoute) {
			refuse(r)
			r.Annotations = map[string]string{callbackv1alpha1.HoldAnnotation: "x"}
		},
		"nothing is measured":             unmeasure,
		"one without weight is unhealthy": func(r *callbackv1alpha1.CallbackRoute) { breakBackend(r, "blue", "CallbackPathNotServed") },
		"the failover is healthy":         func(r *callbackv1alpha1.CallbackRoute) { breakBackend(r, "green", "BackendUnhealthy") },
		"the failover is unhealthy":       func(r *callbackv1alpha1.CallbackRoute) { breakBackend(r, "red", "CallbackPathNotServed") },
		"none is served": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "green", "BackendUnhealthy")
			breakBackend(r, "red", "BackendUnhealthy")
			blame(r, "BackendsHealthy")
		},
		"the path is not served": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "green", "CallbackPathNotServed")
			blame(r, "BackendsHealthy")
		},
		"not resolved, and no backend is healthy": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "green", "CallbackPathNotServed")
			set(r, newCondition("ResolvedRefs", "False", "BackendNotFound"))
			blame(r, "ResolvedRefs")
		},
		"quiet since the last callback": func(r *callbackv1alpha1.CallbackRoute) { r.Status.Traffic.QuietSince = &called },
		"never called": func(r *callbackv1alpha1.CallbackRoute) {
			r.Status.Traffic.LastCallbackTime, r.Status.Traffic.QuietSince = nil, &created
		},
		"called after the sunset": func(r *callbackv1alpha1.CallbackRoute) {
			one := int64(1)
			r.Status.Traffic.AfterSunset = &one
			passed := newCondition("SunsetPassed", "True", "SunsetPassed")
			passed.Message = "it is over; 1 callback came after a sunset of this route, the last at noon"
			set(r, passed)
			blame(r, "SunsetPassed")
		},
		"being deleted": func(r *callbackv1alpha1.CallbackRoute) { r.DeletionTimestamp = &called },
	}) {
		t.Run(name, func(t *testing.T) {
			route := readyRoute()
			change(route)
			if err := ConsistentRoute(route); err != nil {
				t.Error(err)
			}
		})
	}
}

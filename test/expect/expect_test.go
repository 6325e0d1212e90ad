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
// backends: blue idles, green is active, and red stands by.
func readyRoute() *callbackv1alpha1.CallbackRoute {
	n, none, some, many := int32(2), int64(0), int64(3), int64(4)
	weight := func(w int32) *int32 { return &w }
	last := called
	return &callbackv1alpha1.CallbackRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: "identity", Name: "acme-sso", Generation: 3, CreationTimestamp: created},
		Spec: callbackv1alpha1.CallbackRouteSpec{Backends: []callbackv1alpha1.Backend{
			{Name: "blue", Weight: weight(0)}, {Name: "green", Weight: weight(100)}, {Name: "red"},
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
			ActiveBackend: "green",
			Backends: []callbackv1alpha1.BackendStatus{
				{Name: "blue", Health: "Unknown", Callbacks: &none},
				{Name: "green", Health: "Healthy", Callbacks: &some, LastCallbackTime: &last},
				{Name: "red", Health: "Healthy", Callbacks: &none},
			},
			Traffic: &callbackv1alpha1.Traffic{Callbacks: &many, LastCallbackTime: &last},
			Proxies: &callbackv1alpha1.ProxyCounts{Total: &n, Ready: &n, Programmed: &n},
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

// breakBackend makes a backend unhealthy, and says so in BackendsHealthy.
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
	r.Status.ActiveBackend, r.Status.Proxies.Programmed = "", &zero
}

func unmeasure(r *callbackv1alpha1.CallbackRoute) {
	for i := range r.Status.Backends {
		r.Status.Backends[i].Health = callbackv1alpha1.HealthUnknown
	}
	set(r, newCondition("BackendsHealthy", "Unknown", "NotMeasured"))
}

// pass lets the sunset pass.
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
				t.Error("is called consistent")
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
		"no word about health": func(r *callbackv1alpha1.CallbackRoute) {
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
			r.Status.Proxies.Programmed = r.Status.Proxies.Ready
		},
		"refused and resolved": func(r *callbackv1alpha1.CallbackRoute) {
			refuse(r)
			set(r, newCondition("ResolvedRefs", "True", "ResolvedRefs"))
		},
		"refused and measured": func(r *callbackv1alpha1.CallbackRoute) {
			refuse(r)
			set(r, newCondition("BackendsHealthy", "Unknown", "NotMeasured"))
		},
		"refused for two words": func(r *callbackv1alpha1.CallbackRoute) { refuse(r); blame(r, "Programmed") },
		"refused and deprecated": func(r *callbackv1alpha1.CallbackRoute) {
			refuse(r)
			r.Spec.DeprecationTime = &created
			set(r, newCondition("Deprecated", "True", "Deprecated"))
		},
		"refused and ending": func(r *callbackv1alpha1.CallbackRoute) {
			refuse(r)
			set(r, newCondition("SunsetApproaching", "True", "SunsetApproaching"))
		},
		"refused and active": func(r *callbackv1alpha1.CallbackRoute) { refuse(r); r.Status.ActiveBackend = "green" },
		"accepted and not part of the config": func(r *callbackv1alpha1.CallbackRoute) {
			set(r, newCondition("Programmed", "False", "NotAccepted"))
			blame(r, "Programmed")
			r.Status.Proxies.Programmed = &zero
		},
		"no counts":                  func(r *callbackv1alpha1.CallbackRoute) { r.Status.Proxies = nil },
		"programmed by nobody":       func(r *callbackv1alpha1.CallbackRoute) { r.Status.Proxies.Programmed = &zero },
		"more programmed than ready": func(r *callbackv1alpha1.CallbackRoute) { r.Status.Proxies.Ready = &zero },
		"more ready than there are":  func(r *callbackv1alpha1.CallbackRoute) { r.Status.Proxies.Total = &zero },
		"nobody ready and programmed": func(r *callbackv1alpha1.CallbackRoute) {
			r.Status.Proxies.Ready, r.Status.Proxies.Programmed = &zero, &zero
		},
		"nobody ready and pending": func(r *callbackv1alpha1.CallbackRoute) {
			set(r, newCondition("Programmed", "False", "Pending"))
			blame(r, "Programmed")
			r.Status.Proxies.Ready, r.Status.Proxies.Programmed = &zero, &zero
		},
	}.contradict(t)
}

func TestConsistentRoute_FindsContradictionsAboutTheEnd(t *testing.T) {
	routeChanges{
		"past the sunset and ready":  func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("SunsetPassed", "True", "SunsetPassed")) },
		"a sunset that has not come": func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("SunsetPassed", "False", "SunsetPassed")) },
		"unready by a sunset unsaid": func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("Ready", "False", "SunsetPassed")) },
		"deprecated without a time":  func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("Deprecated", "True", "Deprecated")) },
		"past and not deprecated":    func(r *callbackv1alpha1.CallbackRoute) { pass(r); r.Spec.DeprecationTime = &created },
		"past with Warn, not ready by it": func(r *callbackv1alpha1.CallbackRoute) {
			r.Spec.AfterSunset = callbackv1alpha1.AfterSunsetWarn
			pass(r)
		},
		"past and approaching": func(r *callbackv1alpha1.CallbackRoute) {
			pass(r)
			set(r, newCondition("SunsetApproaching", "True", "SunsetApproaching"))
		},
		"a sunset that does not approach": func(r *callbackv1alpha1.CallbackRoute) {
			set(r, newCondition("SunsetApproaching", "False", "SunsetApproaching"))
		},
		"held, and not ready by the sunset": func(r *callbackv1alpha1.CallbackRoute) { hold(r); pass(r) },
		"past, a hold without effect, and ready": func(r *callbackv1alpha1.CallbackRoute) {
			hold(r)
			pass(r)
			set(r, newCondition("SunsetHeld", "False", "HoldWithoutReason"), newCondition("Ready", "True", "Ready"))
		},
		"held without the annotation": func(r *callbackv1alpha1.CallbackRoute) { hold(r); r.Annotations = nil },
		"no reason without the annotation": func(r *callbackv1alpha1.CallbackRoute) {
			set(r, newCondition("SunsetHeld", "False", "HoldWithoutReason"))
		},
		"an annotation unsaid": func(r *callbackv1alpha1.CallbackRoute) {
			r.Annotations = map[string]string{callbackv1alpha1.HoldAnnotation: ""}
		},
		"held for a reason unsaid": func(r *callbackv1alpha1.CallbackRoute) {
			hold(r)
			set(r, newCondition("SunsetHeld", "True", "SunsetHeld"))
		},
		"held for no reason": func(r *callbackv1alpha1.CallbackRoute) {
			hold(r)
			r.Annotations[callbackv1alpha1.HoldAnnotation] = " "
		},
		"held by an expired hold": func(r *callbackv1alpha1.CallbackRoute) {
			hold(r)
			set(r, newCondition("SunsetHeld", "True", "HoldExpired"))
		},
		"a hold that held and did not": func(r *callbackv1alpha1.CallbackRoute) {
			hold(r)
			set(r, newCondition("SunsetHeld", "False", "SunsetHeld"))
		},
	}.contradict(t)
}

func TestConsistentRoute_FindsContradictionsAboutBackends(t *testing.T) {
	few := int64(-1)
	routeChanges{
		"a backend is not told":     func(r *callbackv1alpha1.CallbackRoute) { r.Status.Backends = r.Status.Backends[:2] },
		"a backend of another name": func(r *callbackv1alpha1.CallbackRoute) { r.Status.Backends[2].Name = "pink" },
		"no health":                 func(r *callbackv1alpha1.CallbackRoute) { r.Status.Backends[0].Health = "" },
		"healthy for a reason":      func(r *callbackv1alpha1.CallbackRoute) { r.Status.Backends[1].Reason = "BackendUnhealthy" },
		"unhealthy for no reason": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "red", "BackendUnhealthy")
			r.Status.Backends[2].Reason = ""
		},
		"unhealthy for any reason": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "red", "BackendUnhealthy")
			r.Status.Backends[2].Reason = "Tired"
		},
		"refused and healthy":          func(r *callbackv1alpha1.CallbackRoute) { refuse(r); r.Status.Backends[1].Health = "Healthy" },
		"uncounted":                    func(r *callbackv1alpha1.CallbackRoute) { r.Status.Backends[1].Callbacks = nil },
		"counted below zero":           func(r *callbackv1alpha1.CallbackRoute) { r.Status.Backends[1].Callbacks = &few },
		"active and not declared":      func(r *callbackv1alpha1.CallbackRoute) { r.Status.ActiveBackend = "pink" },
		"active and not the heaviest":  func(r *callbackv1alpha1.CallbackRoute) { r.Status.ActiveBackend = "red" },
		"accepted, and none is active": func(r *callbackv1alpha1.CallbackRoute) { r.Status.ActiveBackend = "" },
		"two are the heaviest":         func(r *callbackv1alpha1.CallbackRoute) { r.Spec.Backends[2].Weight = r.Spec.Backends[1].Weight },

		"healthy, and one is not": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "red", "BackendUnhealthy")
			set(r, newCondition("BackendsHealthy", "True", "BackendsHealthy"))
		},
		"unhealthy, and all are well": func(r *callbackv1alpha1.CallbackRoute) {
			set(r, newCondition("BackendsHealthy", "False", "BackendUnhealthy"))
		},
		"not measured, and two are": func(r *callbackv1alpha1.CallbackRoute) {
			set(r, newCondition("BackendsHealthy", "Unknown", "NotMeasured"))
		},
		"healthy, and nothing is known": func(r *callbackv1alpha1.CallbackRoute) {
			unmeasure(r)
			set(r, newCondition("BackendsHealthy", "True", "BackendsHealthy"))
		},
		"a reason that no backend has": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "red", "BackendUnhealthy")
			r.Status.Backends[2].Reason = "NoReadyEndpoints"
		},
		"one of two is not named": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "red", "BackendUnhealthy")
			r.Status.Backends[0].Health, r.Status.Backends[0].Reason = "Unhealthy", "BackendUnhealthy"
		},
		"not ready, and one stands by": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "green", "BackendUnhealthy")
			blame(r, "BackendsHealthy")
		},
		"not ready by an idle one": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "blue", "CallbackPathNotServed")
			blame(r, "BackendsHealthy")
		},
		"ready, and none is served": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "green", "BackendUnhealthy")
			breakBackend(r, "red", "NoReadyEndpoints")
		},
		"ready, and the path is not served": func(r *callbackv1alpha1.CallbackRoute) { breakBackend(r, "green", "CallbackPathNotServed") },
		"blames health before what comes first": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "green", "CallbackPathNotServed")
			blame(r, "BackendsHealthy")
			set(r, newCondition("ResolvedRefs", "False", "BackendNotFound"))
		},
	}.contradict(t)
}

func TestConsistentRoute_FindsContradictionsAboutTraffic(t *testing.T) {
	zero, three, five := int64(0), int64(3), int64(5)
	message := func(r *callbackv1alpha1.CallbackRoute, text string) {
		pass(r)
		passed := newCondition("SunsetPassed", "True", "SunsetPassed")
		passed.Message = text
		set(r, passed)
		blame(r, "SunsetPassed")
	}
	routeChanges{
		"no traffic":                     func(r *callbackv1alpha1.CallbackRoute) { r.Status.Traffic = nil },
		"no count":                       func(r *callbackv1alpha1.CallbackRoute) { r.Status.Traffic.Callbacks = nil },
		"more came after the sunset":     func(r *callbackv1alpha1.CallbackRoute) { r.Status.Traffic.AfterSunset = &five },
		"nothing, said":                  func(r *callbackv1alpha1.CallbackRoute) { r.Status.Traffic.Other = &zero },
		"quiet before the last callback": func(r *callbackv1alpha1.CallbackRoute) { r.Status.Traffic.QuietSince = &created },
		"quiet since the last one, of none": func(r *callbackv1alpha1.CallbackRoute) {
			r.Status.Traffic.QuietSince, r.Status.Traffic.LastCallbackTime = &called, nil
		},
		"refused and quiet": func(r *callbackv1alpha1.CallbackRoute) {
			refuse(r)
			r.Status.Traffic.QuietSince = r.Status.Traffic.LastCallbackTime
		},
		"past, and not told how many came": func(r *callbackv1alpha1.CallbackRoute) {
			message(r, "it is over")
			r.Status.Traffic.AfterSunset = &three
		},
		"past, and told of others": func(r *callbackv1alpha1.CallbackRoute) {
			message(r, "it is over; 2 callbacks came since, the last at noon")
			r.Status.Traffic.AfterSunset = &three
		},
		"past, and told of some that did not come": func(r *callbackv1alpha1.CallbackRoute) {
			message(r, "it is over; 2 callbacks came since, the last at noon")
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
			r.Status.Proxies.Programmed = &one
		},
		"past the sunset": pass,
		"past the sunset with Warn": func(r *callbackv1alpha1.CallbackRoute) {
			r.Spec.AfterSunset = callbackv1alpha1.AfterSunsetWarn
			set(r, newCondition("SunsetPassed", "True", "SunsetPassed"))
		},
		"past the sunset and held": func(r *callbackv1alpha1.CallbackRoute) {
			hold(r)
			set(r, newCondition("SunsetPassed", "True", "SunsetPassed"))
		},
		"past the sunset and held no more": func(r *callbackv1alpha1.CallbackRoute) {
			hold(r)
			pass(r)
			expired := newCondition("SunsetHeld", "False", "HoldExpired")
			expired.Message = "it was: partner is late"
			set(r, expired)
		},
		"the sunset comes, and is held": func(r *callbackv1alpha1.CallbackRoute) {
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
		"nothing is measured":          unmeasure,
		"an idle one is unhealthy":     func(r *callbackv1alpha1.CallbackRoute) { breakBackend(r, "blue", "CallbackPathNotServed") },
		"one stands by":                func(r *callbackv1alpha1.CallbackRoute) { breakBackend(r, "green", "BackendUnhealthy") },
		"the one that stands by fails": func(r *callbackv1alpha1.CallbackRoute) { breakBackend(r, "red", "CallbackPathNotServed") },
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
			passed.Message = "it is over; 1 callback came since, the last at noon"
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

func readyProxy() *callbackv1alpha1.CallbackProxy {
	n := int32(1)
	return &callbackv1alpha1.CallbackProxy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "edge", Name: "edge", Generation: 3},
		Status: callbackv1alpha1.CallbackProxyStatus{
			ObservedGeneration: 3,
			Conditions: []metav1.Condition{
				newCondition("Accepted", "True", "Accepted"), newCondition("Programmed", "True", "Programmed"), newCondition("Ready", "True", "Ready"),
			},
			Routes:           &callbackv1alpha1.RouteCounts{Total: &n, Accepted: &n},
			ConfigGeneration: 7,
			ConfigHash:       "hash",
			Instances:        []callbackv1alpha1.ProxyInstance{{Pod: "edge-1", State: callbackv1alpha1.InstanceCurrent, Generation: 7, Hash: "hash"}},
		},
	}
}

func TestConsistentProxy_FindsContradictions(t *testing.T) {
	two := int32(2)
	for name, change := range map[string]func(*callbackv1alpha1.CallbackProxy){
		"about an older generation": func(p *callbackv1alpha1.CallbackProxy) { p.Generation = 4 },
		"a condition is missing":    func(p *callbackv1alpha1.CallbackProxy) { p.Status.Conditions = p.Status.Conditions[:2] },
		"a condition of a route":    func(p *callbackv1alpha1.CallbackProxy) { p.Status.Conditions[0].Type = "ResolvedRefs" },
		"ready though not programmed": func(p *callbackv1alpha1.CallbackProxy) {
			p.Status.Conditions[1] = newCondition("Programmed", "False", "Pending")
		},
		"more accepted than there are":    func(p *callbackv1alpha1.CallbackProxy) { p.Status.Routes.Accepted = &two },
		"no counts":                       func(p *callbackv1alpha1.CallbackProxy) { p.Status.Routes = nil },
		"programmed without instances":    func(p *callbackv1alpha1.CallbackProxy) { p.Status.Instances = nil },
		"programmed and one is behind":    func(p *callbackv1alpha1.CallbackProxy) { p.Status.Instances[0].State = callbackv1alpha1.InstanceBehind },
		"current with another config":     func(p *callbackv1alpha1.CallbackProxy) { p.Status.Instances[0].Hash = "other" },
		"current with another generation": func(p *callbackv1alpha1.CallbackProxy) { p.Status.Instances[0].Generation = 6 },
		"current and silent":              func(p *callbackv1alpha1.CallbackProxy) { p.Status.Instances[0].LastReportTime = &called },
		"a clock that is not suspect": func(p *callbackv1alpha1.CallbackProxy) {
			p.Status.Conditions = append(p.Status.Conditions, newCondition("ClockSuspect", "False", "ClockSuspect"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := readyProxy()
			if err := ConsistentProxy(proxy); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			change(proxy)
			if ConsistentProxy(proxy) == nil {
				t.Error("is called consistent")
			}
		})
	}
}

func TestConsistentProxy_AllowsWhatCanBe(t *testing.T) {
	for name, change := range map[string]func(*callbackv1alpha1.CallbackProxy){
		"a suspect clock": func(p *callbackv1alpha1.CallbackProxy) {
			p.Status.Conditions = append(p.Status.Conditions, newCondition("ClockSuspect", "True", "ClockSuspect"))
		},
		"one is silent": func(p *callbackv1alpha1.CallbackProxy) {
			pending := newCondition("Programmed", "False", "Pending")
			p.Status.Conditions[1] = pending
			pending.Type = "Ready"
			p.Status.Conditions[2] = pending
			p.Status.Instances = append(p.Status.Instances,
				callbackv1alpha1.ProxyInstance{Pod: "edge-2", State: callbackv1alpha1.InstanceUnreachable, LastReportTime: &called})
		},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := readyProxy()
			change(proxy)
			if err := ConsistentProxy(proxy); err != nil {
				t.Error(err)
			}
		})
	}
}

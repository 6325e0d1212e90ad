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

// readyRoute is a route whose status is as good as it can be.
func readyRoute() *callbackv1alpha1.CallbackRoute {
	n := int32(2)
	return &callbackv1alpha1.CallbackRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: "identity", Name: "acme-sso", Generation: 3},
		Status: callbackv1alpha1.CallbackRouteStatus{
			ObservedGeneration: 3,
			Conditions: []metav1.Condition{
				newCondition("Accepted", "True", "Accepted"),
				newCondition("ResolvedRefs", "True", "ResolvedRefs"),
				newCondition("Programmed", "True", "Programmed"),
				newCondition("Ready", "True", "Ready"),
			},
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

func TestConsistentRoute_FindsContradictions(t *testing.T) {
	zero := int32(0)
	for name, change := range map[string]func(*callbackv1alpha1.CallbackRoute){
		"no status":                    func(r *callbackv1alpha1.CallbackRoute) { r.Status = callbackv1alpha1.CallbackRouteStatus{} },
		"about an older generation":    func(r *callbackv1alpha1.CallbackRoute) { r.Generation = 4 },
		"one condition about an older": func(r *callbackv1alpha1.CallbackRoute) { r.Status.Conditions[1].ObservedGeneration = 2 },
		"a condition is missing":       func(r *callbackv1alpha1.CallbackRoute) { r.Status.Conditions = r.Status.Conditions[1:] },
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
			set(r, newCondition("Accepted", "False", "Conflict"), newCondition("Ready", "False", "Conflict"))
		},
		"accepted and not part of the config": func(r *callbackv1alpha1.CallbackRoute) {
			set(r, newCondition("Programmed", "False", "NotAccepted"), newCondition("Ready", "False", "NotAccepted"))
			r.Status.Proxies.Programmed = &zero
		},
		"past the sunset and ready":  func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("SunsetPassed", "True", "SunsetPassed")) },
		"a sunset that has not come": func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("SunsetPassed", "False", "SunsetPassed")) },
		"unready by a sunset unsaid": func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("Ready", "False", "SunsetPassed")) },
		"deprecated without a time":  func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("Deprecated", "True", "Deprecated")) },
		"no counts":                  func(r *callbackv1alpha1.CallbackRoute) { r.Status.Proxies = nil },
		"programmed by nobody":       func(r *callbackv1alpha1.CallbackRoute) { r.Status.Proxies.Programmed = &zero },
		"more programmed than ready": func(r *callbackv1alpha1.CallbackRoute) { r.Status.Proxies.Ready = &zero },
		"more ready than there are":  func(r *callbackv1alpha1.CallbackRoute) { r.Status.Proxies.Total = &zero },
		"nobody ready and programmed": func(r *callbackv1alpha1.CallbackRoute) {
			r.Status.Proxies.Ready, r.Status.Proxies.Programmed = &zero, &zero
		},
		"past with Warn, not ready by it": func(r *callbackv1alpha1.CallbackRoute) {
			r.Spec.AfterSunset = callbackv1alpha1.AfterSunsetWarn
			set(r, newCondition("SunsetPassed", "True", "SunsetPassed"), newCondition("Ready", "False", "SunsetPassed"))
		},
	} {
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

func TestConsistentRoute_AllowsWhatCanBe(t *testing.T) {
	zero := int32(0)
	for name, change := range map[string]func(*callbackv1alpha1.CallbackRoute){
		"refused": func(r *callbackv1alpha1.CallbackRoute) {
			set(r, newCondition("Accepted", "False", "Conflict"), newCondition("ResolvedRefs", "Unknown", "NotAccepted"),
				newCondition("Programmed", "False", "NotAccepted"), newCondition("Ready", "False", "Conflict"))
			r.Status.Proxies.Programmed = &zero
		},
		"pending": func(r *callbackv1alpha1.CallbackRoute) {
			one := int32(1)
			set(r, newCondition("Programmed", "False", "Pending"), newCondition("Ready", "False", "Pending"))
			r.Status.Proxies.Programmed = &one
		},
		"past the sunset": func(r *callbackv1alpha1.CallbackRoute) {
			set(r, newCondition("SunsetPassed", "True", "SunsetPassed"), newCondition("Ready", "False", "SunsetPassed"))
		},
		"past the sunset with Warn": func(r *callbackv1alpha1.CallbackRoute) {
			r.Spec.AfterSunset = callbackv1alpha1.AfterSunsetWarn
			set(r, newCondition("SunsetPassed", "True", "SunsetPassed"))
		},
	} {
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

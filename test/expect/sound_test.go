// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expect

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// edit makes an object one whose spec was changed after its status was written.
func edit(r *callbackv1alpha1.CallbackRoute) {
	heavy := int32(200)
	r.Generation++
	r.Spec.Backends = append([]callbackv1alpha1.Backend{{Name: "new", Weight: &heavy}}, r.Spec.Backends[1:]...)
	r.Spec.AfterSunset, r.Spec.DeprecationTime = callbackv1alpha1.AfterSunsetServe, &created
	r.Annotations = map[string]string{callbackv1alpha1.HoldAnnotation: "INC-7"}
}

// A late status is sound, and not consistent with the present generation.
func TestSoundRoute_AllowsWhatIsLate(t *testing.T) {
	for name, change := range (routeChanges{
		"ready":           func(*callbackv1alpha1.CallbackRoute) {},
		"refused":         refuse,
		"past the sunset": pass,
		"held":            hold,
		"none is served": func(r *callbackv1alpha1.CallbackRoute) {
			breakBackend(r, "green", "BackendUnhealthy")
			breakBackend(r, "red", "BackendUnhealthy")
			blame(r, "BackendsHealthy")
		},
		"not written yet": func(r *callbackv1alpha1.CallbackRoute) {
			r.Status = callbackv1alpha1.CallbackRouteStatus{ObservedGeneration: -1}
		},
	}) {
		t.Run(name, func(t *testing.T) {
			route := readyRoute()
			change(route)
			if err := SoundRoute(route); err != nil {
				t.Errorf("before the edit: %v", err)
			}
			edit(route)
			if err := SoundRoute(route); err != nil {
				t.Error(err)
			}
			if ConsistentRoute(route) == nil {
				t.Error("counts as consistent")
			}
		})
	}
}

// A contradiction is one at any moment.
func TestSoundRoute_FindsContradictions(t *testing.T) {
	for name, change := range (routeChanges{
		"no status":                func(r *callbackv1alpha1.CallbackRoute) { r.Status = callbackv1alpha1.CallbackRouteStatus{} },
		"conditions of nothing":    func(r *callbackv1alpha1.CallbackRoute) { r.Status.ObservedGeneration = -1 },
		"a generation to come":     func(r *callbackv1alpha1.CallbackRoute) { r.Status.ObservedGeneration = 5 },
		"one condition about less": func(r *callbackv1alpha1.CallbackRoute) { r.Status.Conditions[1].ObservedGeneration = 2 },
		"one condition about more": func(r *callbackv1alpha1.CallbackRoute) { r.Status.Conditions[1].ObservedGeneration = 4 },
		"a condition twice": func(r *callbackv1alpha1.CallbackRoute) {
			r.Status.Conditions = append(r.Status.Conditions, r.Status.Conditions[0])
		},
		"no condition Ready":   func(r *callbackv1alpha1.CallbackRoute) { r.Status.Conditions = r.Status.Conditions[:4] },
		"ready though pending": func(r *callbackv1alpha1.CallbackRoute) { set(r, newCondition("Programmed", "False", "Pending")) },
		"an end that passed, ahead": func(r *callbackv1alpha1.CallbackRoute) {
			pass(r)
			set(r, newCondition("SunsetApproaching", "True", "SunsetApproaching"))
		},
		"ready by an end of none": func(r *callbackv1alpha1.CallbackRoute) { pass(r); r.Status.Conditions = r.Status.Conditions[:5] },
		"a primary one of none":   func(r *callbackv1alpha1.CallbackRoute) { r.Status.PrimaryBackend = "yellow" },
		"unhealthy and reported healthy": func(r *callbackv1alpha1.CallbackRoute) {
			r.Status.Backends[0].Health = callbackv1alpha1.HealthUnhealthy
		},
	}) {
		t.Run(name, func(t *testing.T) {
			route := readyRoute()
			edit(route)
			if err := SoundRoute(route); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			change(route)
			if SoundRoute(route) == nil {
				t.Error("counts as sound")
			}
		})
	}
}

func TestSoundProxy(t *testing.T) {
	late := func() *callbackv1alpha1.CallbackProxy {
		proxy := readyProxy()
		stop(proxy, 1, callbackv1alpha1.ReasonNotDeployed) // when it had a mode
		proxy.Generation++
		return proxy
	}
	if err := SoundProxy(late()); err != nil {
		t.Error(err)
	}
	if ConsistentProxy(late()) == nil {
		t.Error("counts as consistent")
	}
	fresh := late()
	fresh.Status = callbackv1alpha1.CallbackProxyStatus{ObservedGeneration: -1}
	if err := SoundProxy(fresh); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*callbackv1alpha1.CallbackProxy){
		"no status":                func(p *callbackv1alpha1.CallbackProxy) { p.Status = callbackv1alpha1.CallbackProxyStatus{} },
		"one condition about less": func(p *callbackv1alpha1.CallbackProxy) { p.Status.Conditions[0].ObservedGeneration = 2 },
		"current with another":     func(p *callbackv1alpha1.CallbackProxy) { p.Status.Instances[0].Hash = "other" },
		"ready, and not deployed":  func(p *callbackv1alpha1.CallbackProxy) { p.Status.Conditions[2].Status = metav1.ConditionTrue },
		"not deployed of no mode":  func(p *callbackv1alpha1.CallbackProxy) { p.Generation-- },
	} {
		proxy := late()
		change(proxy)
		if SoundProxy(proxy) == nil {
			t.Errorf("%s: counts as sound", name)
		}
	}
}

func TestAll_SeparatesContradictionsFromLateStatuses(t *testing.T) {
	for name, tc := range map[string]struct {
		route        func(*callbackv1alpha1.CallbackRoute)
		proxy        func(*callbackv1alpha1.CallbackProxy)
		wrong, later bool
	}{
		"all consistent":   {},
		"a route is late":  {route: edit, later: true},
		"a proxy is late":  {proxy: func(p *callbackv1alpha1.CallbackProxy) { p.Generation++ }, later: true},
		"a route is wrong": {route: func(r *callbackv1alpha1.CallbackRoute) { r.Status.PrimaryBackend = "yellow" }, wrong: true, later: true},
		"a condition twice": {proxy: func(p *callbackv1alpha1.CallbackProxy) {
			p.Status.Conditions = append(p.Status.Conditions, p.Status.Conditions[0])
		}, wrong: true, later: true},
	} {
		route, proxy := readyRoute(), readyProxy()
		if tc.route != nil {
			tc.route(route)
		}
		if tc.proxy != nil {
			tc.proxy(proxy)
		}
		wrong, late := All([]callbackv1alpha1.CallbackRoute{*readyRoute(), *route}, []callbackv1alpha1.CallbackProxy{*proxy})
		if (wrong != nil) != tc.wrong || (late != nil) != tc.later {
			t.Errorf("%s: contradictions %v, late %v", name, wrong, late)
		}
	}
}

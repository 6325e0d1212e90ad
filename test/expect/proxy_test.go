// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expect

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

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

// stop makes one condition False, and Ready for its sake.
func stop(p *callbackv1alpha1.CallbackProxy, at int, reason string) {
	condition := newCondition(p.Status.Conditions[at].Type, "False", reason)
	p.Status.Conditions[at] = condition
	condition.Type = "Ready"
	p.Status.Conditions[2] = condition
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
		"more accepted than there are":             func(p *callbackv1alpha1.CallbackProxy) { p.Status.Routes.Accepted = &two },
		"no counts":                                func(p *callbackv1alpha1.CallbackProxy) { p.Status.Routes = nil },
		"programmed without instances":             func(p *callbackv1alpha1.CallbackProxy) { p.Status.Instances = nil },
		"programmed and one is behind":             func(p *callbackv1alpha1.CallbackProxy) { p.Status.Instances[0].State = callbackv1alpha1.InstanceBehind },
		"current with another config":              func(p *callbackv1alpha1.CallbackProxy) { p.Status.Instances[0].Hash = "other" },
		"current with another generation":          func(p *callbackv1alpha1.CallbackProxy) { p.Status.Instances[0].Generation = 6 },
		"current with a lastReportTime":            func(p *callbackv1alpha1.CallbackProxy) { p.Status.Instances[0].LastReportTime = &called },
		"a namespace that nothing is to be run in": func(p *callbackv1alpha1.CallbackProxy) { stop(p, 0, "NamespaceNotManaged") },
		"sidecars in a namespace that is not given": func(p *callbackv1alpha1.CallbackProxy) {
			p.Spec.Mode = callbackv1alpha1.ModeSidecar
			stop(p, 0, "NamespaceNotManaged")
		},
		"a name without a use":      func(p *callbackv1alpha1.CallbackProxy) { stop(p, 0, "NameTaken") },
		"no deployment is declared": func(p *callbackv1alpha1.CallbackProxy) { stop(p, 1, "NotDeployed") },
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
				t.Error("counts as consistent")
			}
		})
	}
}

func TestConsistentProxy_AllowsWhatCanBe(t *testing.T) {
	for name, change := range map[string]func(*callbackv1alpha1.CallbackProxy){
		"a suspect clock": func(p *callbackv1alpha1.CallbackProxy) {
			p.Status.Conditions = append(p.Status.Conditions, newCondition("ClockSuspect", "True", "ClockSuspect"))
		},
		"a namespace that is not given": func(p *callbackv1alpha1.CallbackProxy) {
			p.Spec.Mode = callbackv1alpha1.ModeDeployment
			stop(p, 0, "NamespaceNotManaged")
		},
		"a name that is taken": func(p *callbackv1alpha1.CallbackProxy) {
			p.Spec.Mode = callbackv1alpha1.ModeSidecar
			stop(p, 0, "NameTaken")
		},
		"a quota": func(p *callbackv1alpha1.CallbackProxy) {
			p.Spec.Mode = callbackv1alpha1.ModeDeployment
			stop(p, 1, "NotDeployed")
		},
		"one is unreachable": func(p *callbackv1alpha1.CallbackProxy) {
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

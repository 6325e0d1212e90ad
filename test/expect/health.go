// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expect

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// unhealthyReasons are why a backend is not healthy.
var unhealthyReasons = []string{
	callbackv1alpha1.ReasonBackendUnhealthy, callbackv1alpha1.ReasonNoReadyEndpoints, callbackv1alpha1.ReasonCallbackPathNotServed,
}

// backendsAgree: each backend has a health, and a reason exactly when it is
// unhealthy. The active one is one of them.
func backendsAgree(route *callbackv1alpha1.CallbackRoute, s status) error {
	active := route.Status.ActiveBackend
	told := active == ""
	for i := range route.Status.Backends {
		b := &route.Status.Backends[i]
		if !s.isTrue(callbackv1alpha1.ConditionAccepted) && b.Health != callbackv1alpha1.HealthUnknown {
			return fmt.Errorf("not accepted, and backend %s is %s", b.Name, b.Health)
		}
		if err := backendAgrees(b); err != nil {
			return err
		}
		told = told || b.Name == active
	}
	if !told {
		return fmt.Errorf("backend %q is active, and not told of", active)
	}
	return nil
}

// backendsAreDeclared: the backends of the status are those that are declared,
// and the active one of an accepted route has the highest weight.
func backendsAreDeclared(route *callbackv1alpha1.CallbackRoute, s status) error {
	declared, told := route.Spec.Backends, route.Status.Backends
	if len(declared) != len(told) {
		return fmt.Errorf("%d backends are declared, the status tells of %d", len(declared), len(told))
	}
	for i := range told {
		if told[i].Name != declared[i].Name {
			return fmt.Errorf("backend %s is declared, the status tells of %s in its place", declared[i].Name, told[i].Name)
		}
	}
	if s.isTrue(callbackv1alpha1.ConditionAccepted) && route.Status.ActiveBackend != heaviest(declared) {
		return fmt.Errorf("backend %q is active, %q has the highest weight", route.Status.ActiveBackend, heaviest(declared))
	}
	return nil
}

func backendAgrees(b *callbackv1alpha1.BackendStatus) error {
	unhealthy := b.Health == callbackv1alpha1.HealthUnhealthy
	switch {
	case !unhealthy && b.Health != callbackv1alpha1.HealthHealthy && b.Health != callbackv1alpha1.HealthUnknown:
		return fmt.Errorf("backend %s is %q", b.Name, b.Health)
	case unhealthy != (b.Reason != "") || unhealthy && !slices.Contains(unhealthyReasons, b.Reason):
		return fmt.Errorf("backend %s is %s with reason %q", b.Name, b.Health, b.Reason)
	case b.Callbacks == nil || *b.Callbacks < 0:
		return fmt.Errorf("the callbacks of backend %s are not counted", b.Name)
	}
	return nil
}

// weightOf returns a backend's weight; 1 is the schema's default.
func weightOf(b *callbackv1alpha1.Backend) int32 {
	if b.Weight == nil {
		return 1
	}
	return *b.Weight
}

// heaviest names the backend with the highest weight above 0; empty when there
// is none, or two.
func heaviest(backends []callbackv1alpha1.Backend) string {
	name, most := "", int32(0)
	for i := range backends {
		switch weight := weightOf(&backends[i]); {
		case weight > most:
			name, most = backends[i].Name, weight
		case weight == most:
			name = ""
		}
	}
	return name
}

// healthAgrees: BackendsHealthy says what the backends' health says, and names
// every backend that is not well.
func healthAgrees(route *callbackv1alpha1.CallbackRoute, s status) error {
	condition := s.find(callbackv1alpha1.ConditionBackendsHealthy)
	if condition == nil || condition.Reason == callbackv1alpha1.ReasonNotAccepted {
		return nil
	}
	var healthy, unhealthy int
	reasons := map[string]bool{}
	for _, b := range route.Status.Backends {
		switch b.Health {
		case callbackv1alpha1.HealthHealthy:
			healthy++
		case callbackv1alpha1.HealthUnhealthy:
			unhealthy++
			reasons[b.Reason] = true
			if !strings.Contains(condition.Message, "backend "+b.Name+" ") {
				return fmt.Errorf("backend %s is unhealthy, and BackendsHealthy does not name it", b.Name)
			}
		case callbackv1alpha1.HealthUnknown:
		}
	}
	want := metav1.ConditionUnknown
	switch {
	case unhealthy > 0:
		want = metav1.ConditionFalse
	case healthy > 0:
		want = metav1.ConditionTrue
	}
	if condition.Status != want {
		return fmt.Errorf("%d backends are healthy and %d unhealthy, and BackendsHealthy is %s", healthy, unhealthy, condition.Status)
	}
	if unhealthy > 0 && !reasons[condition.Reason] {
		return fmt.Errorf("the condition BackendsHealthy has reason %s, and no backend has it", condition.Reason)
	}
	return nil
}

// readyFollowsHealth: health stands in the way of Ready exactly when no backend
// with a weight can be served, or the active one does not serve the path. What
// comes before it in the order of reasons is said first.
func readyFollowsHealth(route *callbackv1alpha1.CallbackRoute, s status) error {
	ready := s.find(callbackv1alpha1.ConditionReady)
	if ready == nil || len(route.Status.Backends) != len(route.Spec.Backends) {
		return nil
	}
	served := isServed(route)
	blamed := ready.Status != metav1.ConditionTrue && slices.Contains(unhealthyReasons, ready.Reason)
	switch {
	case blamed && served:
		return errors.New("a backend is served, and Ready is not True for want of one")
	case blamed && !(s.isTrue(callbackv1alpha1.ConditionResolvedRefs) && s.isTrue(callbackv1alpha1.ConditionProgrammed)):
		return errors.New("the condition Ready blames a backend's health before what comes first")
	case ready.Status == metav1.ConditionTrue && !served:
		return errors.New("the condition Ready is True, and no backend is served")
	}
	return nil
}

// isServed says whether a backend with a weight may get callbacks, unless the
// active one does not serve the path: then callbacks go there in vain.
func isServed(route *callbackv1alpha1.CallbackRoute) bool {
	served := false
	for i := range route.Status.Backends {
		b := &route.Status.Backends[i]
		if weightOf(&route.Spec.Backends[i]) > 0 && b.Health != callbackv1alpha1.HealthUnhealthy {
			served = true
		}
	}
	for _, b := range route.Status.Backends {
		if b.Name == route.Status.ActiveBackend && b.Reason == callbackv1alpha1.ReasonCallbackPathNotServed {
			return false
		}
	}
	return served
}

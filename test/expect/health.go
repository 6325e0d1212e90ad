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
// unhealthy. The primary one is one of them.
func backendsAgree(route *callbackv1alpha1.CallbackRoute, s status) error {
	primary := route.Status.PrimaryBackend
	told := primary == ""
	for i := range route.Status.Backends {
		b := &route.Status.Backends[i]
		if !s.isTrue(callbackv1alpha1.ConditionAccepted) && b.Health != callbackv1alpha1.HealthUnknown {
			return fmt.Errorf("not accepted, and backend %s is %s", b.Name, b.Health)
		}
		if err := backendAgrees(b); err != nil {
			return err
		}
		told = told || b.Name == primary
	}
	if !told {
		return fmt.Errorf("backend %q is primary, and not listed", primary)
	}
	return nil
}

// backendsAreDeclared: the backends of the status are those of the spec, and the
// primary one of an accepted route has a weight above 0.
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
	if s.isTrue(callbackv1alpha1.ConditionAccepted) && route.Status.PrimaryBackend != primaryOf(declared) {
		return fmt.Errorf("backend %q is primary in the status, %q in the spec", route.Status.PrimaryBackend, primaryOf(declared))
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

// primaryOf names the backend with a weight above 0; empty when there is none, or
// two. A backend alone needs no weight.
func primaryOf(backends []callbackv1alpha1.Backend) string {
	name := ""
	for i := range backends {
		if w := backends[i].Weight; w != nil && *w == 0 {
			continue
		}
		if name != "" {
			return ""
		}
		name = backends[i].Name
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

// readyFollowsHealth: health prevents Ready exactly when neither the primary
// backend nor its failover can be used, or the primary one does not serve the
// path. Conditions that come first in the order of reasons prevent it first.
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
	case ready.Status == metav1.ConditionTrue && ready.Reason == callbackv1alpha1.ReasonReady && !served:
		return errors.New("the condition Ready is True, and no backend is served")
	}
	return nil
}

// isServed reports whether the primary backend or its failover may get callbacks.
// A proxy does not fail over from a backend that does not serve the path.
func isServed(route *callbackv1alpha1.CallbackRoute) bool {
	failover := ""
	for i := range route.Spec.Backends {
		if b := &route.Spec.Backends[i]; b.Name == route.Status.PrimaryBackend && b.Failover != nil {
			failover = b.Failover.Backend
		}
	}
	served := false
	for _, b := range route.Status.Backends {
		switch {
		case b.Name == route.Status.PrimaryBackend && b.Reason == callbackv1alpha1.ReasonCallbackPathNotServed:
			return false
		case b.Name == route.Status.PrimaryBackend || b.Name == failover && failover != "":
			served = served || b.Health != callbackv1alpha1.HealthUnhealthy
		}
	}
	return served
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expect

// health.go: the rules for backends and their health.

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// unhealthyReasons are the reasons of an unhealthy backend.
var unhealthyReasons = []string{
	callbackv1alpha1.ReasonBackendUnhealthy, callbackv1alpha1.ReasonNoReadyEndpoints, callbackv1alpha1.ReasonCallbackPathNotServed,
	callbackv1alpha1.ReasonCallbacksFailing,
}

// backendsAgree: each backend has a health, and a reason exactly when it is
// unhealthy. The primary one is one of them.
func backendsAgree(route *callbackv1alpha1.CallbackRoute, s status) error {
	primary := route.Status.PrimaryBackend
	listed := primary == ""
	for i := range route.Status.Backends {
		b := &route.Status.Backends[i]
		if !s.isTrue(callbackv1alpha1.ConditionAccepted) && b.Health != callbackv1alpha1.HealthUnknown {
			return fmt.Errorf("not accepted, and backend %s is %s", b.Name, b.Health)
		}
		if err := backendAgrees(b); err != nil {
			return err
		}
		listed = listed || b.Name == primary
	}
	if !listed {
		return fmt.Errorf("backend %q is primary, and not listed", primary)
	}
	return nil
}

// backendsAreDeclared: the backends of the status are those of the spec, and the
// primary one of an accepted route is the one with a weight above 0.
func backendsAreDeclared(route *callbackv1alpha1.CallbackRoute, s status) error {
	declared, listed := route.Spec.Backends, route.Status.Backends
	if len(declared) != len(listed) {
		return fmt.Errorf("%d backends are declared, the status has %d", len(declared), len(listed))
	}
	for i := range listed {
		if listed[i].Name != declared[i].Name {
			return fmt.Errorf("backend %s is declared, the status has %s in its place", declared[i].Name, listed[i].Name)
		}
	}
	if s.isTrue(callbackv1alpha1.ConditionAccepted) && route.Status.PrimaryBackend != nameOf(primaryOf(declared)) {
		return fmt.Errorf("backend %q is primary, and %q has the weight", route.Status.PrimaryBackend, nameOf(primaryOf(declared)))
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

// primaryOf returns the backend with a weight above 0; a single backend needs no
// weight. Nil when there is none, or several.
func primaryOf(backends []callbackv1alpha1.Backend) *callbackv1alpha1.Backend {
	var primary *callbackv1alpha1.Backend
	for i := range backends {
		b := &backends[i]
		if b.Weight == nil && len(backends) > 1 || b.Weight != nil && *b.Weight <= 0 {
			continue
		}
		if primary != nil {
			return nil
		}
		primary = b
	}
	return primary
}

func nameOf(b *callbackv1alpha1.Backend) string {
	if b == nil {
		return ""
	}
	return b.Name
}

// healthAgrees: BackendsHealthy follows from the backends' health, and names every
// unhealthy backend.
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

// readyFollowsHealth: health prevents Ready exactly when no backend to which
// callbacks go can be served, nor its failover, or none serves the path. Conditions with a higher rank are reported first.
func readyFollowsHealth(route *callbackv1alpha1.CallbackRoute, s status) error {
	ready := s.find(callbackv1alpha1.ConditionReady)
	if ready == nil || len(route.Status.Backends) != len(route.Spec.Backends) {
		return nil
	}
	// Whether callbacks that fail keep a backend from being served, only the message
	// shows.
	served, may := isServed(route, false), isServed(route, true)
	unhealthy := ready.Status != metav1.ConditionTrue && slices.Contains(unhealthyReasons, ready.Reason)
	switch {
	case unhealthy && served:
		return errors.New("a backend can be served, and Ready has the reason of an unhealthy one")
	case unhealthy && !(s.isTrue(callbackv1alpha1.ConditionResolvedRefs) && s.isTrue(callbackv1alpha1.ConditionProgrammed)):
		return errors.New("the condition Ready has the reason of an unhealthy backend, and a condition of higher rank is not True")
	case ready.Status == metav1.ConditionTrue && ready.Reason != callbackv1alpha1.ReasonSunsetPassed && !may:
		return errors.New("the condition Ready is True, and no backend can be served")
	}
	return nil
}

// isServed reports whether one of the backends to which callbacks go serves their
// path and may get them, itself or by its failover. failing is whether a backend may
// get them at which callbacks fail.
func isServed(route *callbackv1alpha1.CallbackRoute, failing bool) bool {
	health := map[string]callbackv1alpha1.BackendStatus{}
	for _, b := range route.Status.Backends {
		health[b.Name] = b
	}
	isUp := func(name string) bool {
		return health[name].Health != callbackv1alpha1.HealthUnhealthy || failing && health[name].Reason == callbackv1alpha1.ReasonCallbacksFailing
	}
	for _, b := range route.Spec.Backends {
		if !getsCallbacks(&route.Spec, b.Name) || health[b.Name].Reason == callbackv1alpha1.ReasonCallbackPathNotServed {
			continue
		}
		if isUp(b.Name) || b.Failover != nil && isUp(b.Failover.Backend) {
			return true
		}
	}
	return false
}

// getsCallbacks reports whether the spec gives callbacks to a backend: to the primary
// one, or to those that ownership names.
func getsCallbacks(spec *callbackv1alpha1.CallbackRouteSpec, name string) bool {
	if spec.Ownership == nil {
		return name == nameOf(primaryOf(spec.Backends))
	}
	if spec.Ownership.Unowned.Backend == name {
		return true
	}
	return spec.Ownership.Enforcement != callbackv1alpha1.OwnershipObserve &&
		slices.ContainsFunc(spec.Ownership.Rules, func(r callbackv1alpha1.OwnershipRule) bool {
			return r.Backend == name || r.Connection != nil &&
				slices.ContainsFunc(r.Connection.Backends, func(b callbackv1alpha1.ConnectionBackend) bool { return b.Name == name })
		})
}

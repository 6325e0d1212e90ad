// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package statuswriter

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Transitions that are worth an event, and changes that are not.
func TestTransitions(t *testing.T) {
	is := func(kind, status, reason, message string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: metav1.ConditionStatus(status), Reason: reason, Message: message}
	}
	soon := func(text string) metav1.Condition { return is("SunsetApproaching", "True", "SunsetApproaching", text) }
	type all []metav1.Condition
	for name, tc := range map[string]struct {
		before, after all
		want          []string
	}{
		"a route works from the start": {nil, all{is("Accepted", "True", "Accepted", ""), is("Ready", "True", "Ready", "")}, nil},
		"a route is refused":           {nil, all{is("Accepted", "False", "Conflict", "taken")}, []string{"Warning Conflict Accepted: taken"}},
		"a backend is found again":     {all{is("BackendsHealthy", "False", "BackendUnhealthy", "b")}, all{is("BackendsHealthy", "True", "BackendsHealthy", "well")}, []string{"Normal BackendsHealthy BackendsHealthy: well"}},
		"a backend that nothing measures is found again": {
			all{is("BackendsHealthy", "False", "BackendUnhealthy", "b")},
			all{is("BackendsHealthy", "Unknown", "NotMeasured", "give it a check")},
			[]string{"Normal NotMeasured BackendsHealthy: no backend is known to be unhealthy any more"},
		},
		"backends are measured at last": {all{is("BackendsHealthy", "Unknown", "NotMeasured", "")}, all{is("BackendsHealthy", "True", "BackendsHealthy", "")}, nil},
		"backends are not checked any more": {
			all{is("ResolvedRefs", "False", "BackendNotFound", "b"), is("BackendsHealthy", "False", "BackendUnhealthy", "b")},
			all{is("ResolvedRefs", "Unknown", "NotAccepted", ""), is("BackendsHealthy", "Unknown", "NotAccepted", "")},
			nil,
		},
		"backends of an ended route are not checked any more": {
			all{is("BackendsHealthy", "False", "NoReadyEndpoints", "b"), is("SunsetPassed", "True", "SunsetPassed", "over")},
			all{is("BackendsHealthy", "Unknown", "SunsetPassed", "n"), is("SunsetPassed", "True", "SunsetPassed", "over")},
			nil,
		},
		"the next warning":        {all{soon("in 7 days: gone")}, all{soon("in 1 day: gone")}, []string{"Warning SunsetApproaching SunsetApproaching: in 1 day: gone"}},
		"the same warning, held":  {all{soon("in 7 days: gone")}, all{soon("in 7 days: it is held")}, nil},
		"the sunset passes":       {all{is("Ready", "True", "Ready", "")}, all{is("Ready", "False", "SunsetPassed", "over"), is("SunsetPassed", "True", "SunsetPassed", "over")}, []string{"Warning SunsetPassed SunsetPassed: over"}},
		"it passes, and is held":  {all{is("Ready", "True", "Ready", "")}, all{is("Ready", "True", "Ready", ""), is("SunsetPassed", "True", "SunsetPassed", "held")}, []string{"Warning SunsetPassed SunsetPassed: held"}},
		"the hold is taken away":  {all{is("Ready", "True", "Ready", ""), is("SunsetPassed", "True", "SunsetPassed", "held")}, all{is("Ready", "False", "SunsetPassed", "over"), is("SunsetPassed", "True", "SunsetPassed", "over")}, []string{"Warning SunsetPassed Ready: over"}},
		"one more callback came":  {all{is("Ready", "False", "SunsetPassed", "1")}, all{is("Ready", "False", "SunsetPassed", "2")}, nil},
		"another reason, unready": {all{is("Ready", "True", "Ready", "")}, all{is("Ready", "False", "BackendUnhealthy", "b")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, e := range transitions(tc.before, tc.after, routeTransition) {
				got = append(got, fmt.Sprintf("%s %s %s: %s", e.eventType, e.reason, e.condition, e.message))
			}
			NewWithT(t).Expect(got).To(Equal(tc.want))
		})
	}
}

func TestRouteTransition(t *testing.T) {
	condition := func(kind, status, reason string, generation int64) *metav1.Condition {
		return &metav1.Condition{Type: kind, Status: metav1.ConditionStatus(status), Reason: reason, ObservedGeneration: generation}
	}
	for _, tc := range []struct {
		name          string
		before, after *metav1.Condition
		want          string
	}{
		{"accepted at once", nil, condition("Accepted", "True", "Accepted", 1), ""},
		{"refused at once", nil, condition("Accepted", "False", "Conflict", 1), corev1.EventTypeWarning},
		{"still refused", condition("Accepted", "False", "Conflict", 1), condition("Accepted", "False", "Conflict", 2), ""},
		{"refused for another reason", condition("Accepted", "False", "Conflict", 1), condition("Accepted", "False", "HostNotAllowed", 1), corev1.EventTypeWarning},
		{"accepted at last", condition("Accepted", "False", "Conflict", 1), condition("Accepted", "True", "Accepted", 1), corev1.EventTypeNormal},
		{"refs known now", condition("ResolvedRefs", "Unknown", "NotAccepted", 1), condition("ResolvedRefs", "True", "ResolvedRefs", 1), ""},
		{"waiting for instances", nil, condition("Programmed", "False", "Pending", 1), ""},
		{"programmed", condition("Programmed", "False", "Pending", 1), condition("Programmed", "True", "Programmed", 1), corev1.EventTypeNormal},
		{"next generation programmed at once", condition("Programmed", "True", "Programmed", 1), condition("Programmed", "True", "Programmed", 2), corev1.EventTypeNormal},
		{"still programmed", condition("Programmed", "True", "Programmed", 1), condition("Programmed", "True", "Programmed", 1), ""},
		{"sunset", nil, condition("SunsetPassed", "True", "SunsetPassed", 1), corev1.EventTypeWarning},
		{"ready repeats another condition", nil, condition("Ready", "False", "Conflict", 1), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, is := routeTransition(tc.before, tc.after)
			if !is {
				got.eventType = ""
			}
			NewWithT(t).Expect(got.eventType).To(Equal(tc.want))
		})
	}
	g := NewWithT(t)
	_, is := proxyTransition(condition("Programmed", "False", "Pending", 1), condition("Programmed", "True", "Programmed", 1))
	g.Expect(is).To(BeFalse(), "a fleet does not report each change of each route")
}

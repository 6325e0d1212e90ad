// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
)

// What is worth an event, and what is not.
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
		"a backend that nobody measures is found again": {
			all{is("BackendsHealthy", "False", "BackendUnhealthy", "b")},
			all{is("BackendsHealthy", "Unknown", "NotMeasured", "give it a check")},
			[]string{"Normal NotMeasured BackendsHealthy: no backend is known to be unhealthy any more"},
		},
		"backends are measured at last": {all{is("BackendsHealthy", "Unknown", "NotMeasured", "")}, all{is("BackendsHealthy", "True", "BackendsHealthy", "")}, nil},
		"backends are not looked at any more": {
			all{is("ResolvedRefs", "False", "BackendNotFound", "b"), is("BackendsHealthy", "False", "BackendUnhealthy", "b")},
			all{is("ResolvedRefs", "Unknown", "NotAccepted", ""), is("BackendsHealthy", "Unknown", "NotAccepted", "")},
			nil,
		},
		"backends of an ended route are not looked at any more": {
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
			var told []string
			for _, e := range transitions(tc.before, tc.after, routeNews) {
				told = append(told, fmt.Sprintf("%s %s %s: %s", e.kind, e.reason, e.condition, e.message))
			}
			NewWithT(t).Expect(told).To(Equal(tc.want))
		})
	}
}

// News has the name that it had, whoever tells it, and other news another one.
func TestTransitionID(t *testing.T) {
	g := NewWithT(t)
	id := func(kind, status, reason, message string, second, generation int64) string {
		return transitionID(&metav1.Condition{
			Type: kind, Status: metav1.ConditionStatus(status), Reason: reason, Message: message,
			LastTransitionTime: metav1.Unix(second, 0), ObservedGeneration: generation,
		})
	}
	g.Expect(id("Ready", "False", "SunsetPassed", "1 came", 7, 3)).To(Equal(id("Ready", "False", "SunsetPassed", "2 came", 7, 4)))
	g.Expect(id("SunsetApproaching", "True", "SunsetApproaching", "in 7 days: gone", 7, 3)).
		To(Equal(id("SunsetApproaching", "True", "SunsetApproaching", "in 7 days: it is held", 8, 4)), "it was away for a while")
	g.Expect(id("Programmed", "False", "RefusedByProxy", "", 7, 3)).To(Equal(id("Programmed", "False", "RefusedByProxy", "", 7, 4)))
	for _, different := range [][2]string{
		{id("Ready", "False", "SunsetPassed", "", 7, 3), id("Ready", "False", "SunsetPassed", "", 8, 3)},
		{id("Accepted", "False", "Conflict", "", 7, 3), id("Accepted", "False", "Invalid", "", 7, 3)},
		{id("SunsetApproaching", "True", "SunsetApproaching", "in 7 days: gone", 7, 3), id("SunsetApproaching", "True", "SunsetApproaching", "in 1 day: gone", 7, 3)},
		{id("SunsetHeld", "True", "SunsetHeld", "because: a", 7, 3), id("SunsetHeld", "True", "SunsetHeld", "because: b", 7, 3)},
		{id("Programmed", "True", "Programmed", "", 7, 3), id("Programmed", "True", "Programmed", "", 7, 4)},
	} {
		g.Expect(different[0]).NotTo(Equal(different[1]))
	}
}

// The moment from which on callbacks are rejected is told once, whatever made
// it come.
func TestReconcile_TellsWhenCallbacksAreRejected(t *testing.T) {
	w := newWorld(t, controlPlane)
	end := w.clock.Now().Add(12 * time.Hour).Truncate(time.Second)
	ends := func(s *callbackv1alpha1.CallbackRouteSpec) { s.SunsetTime = metav1.NewTime(end) }
	w.migration(w.newRoute("held", ends), w.newRoute("warns", ends))
	stored := &kube.Proxy{CallbackProxy: *w.liveProxy()}
	stored.Spec.Policy.AfterSunset = []callbackv1alpha1.AfterSunset{callbackv1alpha1.AfterSunsetReject, callbackv1alpha1.AfterSunsetWarn}
	w.Expect(w.client.Update(w.ctx, stored)).To(Succeed())
	warn := func(name string, after callbackv1alpha1.AfterSunset) {
		t.Helper()
		route := &kube.Route{CallbackRoute: *w.route(name)}
		route.Spec.AfterSunset = after
		w.Expect(w.client.Update(w.ctx, route)).To(Succeed())
		w.settle()
	}
	w.annotate("held", "partner is late")
	warn("warns", callbackv1alpha1.AfterSunsetWarn)
	w.events.take()
	w.annotate("held", "partner is later")
	w.settle()
	w.Expect(w.events.take()).To(ConsistOf(HavePrefix("Normal SunsetHeld SunsetHeld CallbackRoute/held: ")), "the warning is the same")

	w.clock.SetTime(end)
	w.settle()
	w.Expect(w.events.take()).To(ConsistOf(ContainSubstring("still served until"), ContainSubstring("still served (afterSunset: Warn); none was counted since")))

	rejected := func(name string) {
		t.Helper()
		w.Expect(w.condition(name, "Ready").Reason).To(Equal("SunsetPassed"))
		ended := slices.DeleteFunc(w.events.take(), func(e string) bool { return strings.HasPrefix(e, "Normal Programmed") })
		w.Expect(ended).To(ConsistOf(And(HavePrefix("Warning SunsetPassed Ready CallbackRoute/"+name+": "), ContainSubstring("answered with 410 Gone"))))
	}
	route := &kube.Route{CallbackRoute: *w.route("held")}
	delete(route.Annotations, callbackv1alpha1.HoldAnnotation)
	w.Expect(w.client.Update(w.ctx, route)).To(Succeed())
	w.settle()
	rejected("held")
	warn("warns", callbackv1alpha1.AfterSunsetReject)
	rejected("warns")
	w.newLeader()
	w.settle()
	w.Expect(w.events.take()).To(BeEmpty())
}

// lead begins a new leadership whose events are only written by flush: without
// it the manager was killed between its statuses and their events.
func (w *world) lead() (flush func()) {
	w.t.Helper()
	w.newLeader()
	r := newRecorder(w.client, w.clock, logr.Discard())
	w.reconciler.Recorder = r
	return func() {
		w.t.Helper()
		ended, end := context.WithCancel(w.ctx)
		end()
		w.Expect(r.Start(ended)).To(Succeed())
	}
}

// written are the events that are stored of a spec's routes.
func (w *world) written() []string {
	w.t.Helper()
	var list eventsv1.EventList
	w.Expect(w.client.List(w.ctx, &list, client.InNamespace(w.identity))).To(Succeed())
	var all []string
	for i := range list.Items {
		if list.Items[i].Regarding.Kind == "CallbackRoute" { // the API server writes some as well
			all = append(all, list.Items[i].Reason+" "+list.Items[i].Note)
		}
	}
	return all
}

// A manager that is killed between a status and its event leaves the event to
// the next one, and that writes it once, however many follow.
func TestReconcile_TellsWhatTheManagerBeforeDidNot(t *testing.T) {
	w := newWorld(t, controlPlane)
	end := w.clock.Now().Add(40 * day).Truncate(time.Second)
	w.migration(w.newRoute("acme", func(s *callbackv1alpha1.CallbackRouteSpec) {
		s.SunsetTime = metav1.NewTime(end)
		s.DeprecationTime = new(metav1.NewTime(end.Add(-10 * day)))
	}))
	w.lead()
	w.settle()
	told := 0
	for _, stage := range []struct {
		at   time.Time
		want string
	}{
		{end.Add(-30 * day), "SunsetApproaching sunsetTime " + end.UTC().Format(time.RFC3339) + " is 30 days"},
		{end.Add(-10 * day), "Deprecated deprecated since"},
		{end.Add(-7 * day), "SunsetApproaching sunsetTime " + end.UTC().Format(time.RFC3339) + " is 7 days"},
		{end, "SunsetPassed sunsetTime " + end.UTC().Format(time.RFC3339) + " has passed and callbacks are answered with 410 Gone"},
	} {
		w.clock.SetTime(stage.at)
		w.lead()
		w.settle()
		w.Expect(w.written()).To(HaveLen(told), "nobody wrote it")
		for range 2 {
			flush := w.lead()
			w.settle()
			flush()
			w.Expect(w.written()).To(HaveLen(told+1), stage.want)
			w.clock.SetTime(w.clock.Now().Add(time.Second))
			w.Expect(w.written()).To(ContainElement(HavePrefix(stage.want)))
		}
		told++
	}
	w.clock.SetTime(w.clock.Now().Add(retellAge))
	w.writes.take()
	flush := w.lead()
	w.settle()
	flush()
	w.Expect(w.writes.take()).NotTo(ContainElement(ContainSubstring("Event")), "what is old is not tried again")
}

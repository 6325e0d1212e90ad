// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Events are written as the API wants them, also for the longest names and
// notes, and two of one moment do not get in each other's way.
func TestRecorder_WritesEvents(t *testing.T) {
	w := newWorld(t, controlPlane)
	r := newRecorder(w.client, w.clock, funcr.New(func(_, args string) { t.Error("nothing is lost, not even of what is there:", args) }, funcr.Options{Verbosity: 1}))
	long := strings.Repeat("n", 253)
	cut := strings.Repeat("n", maxEventPrefix-1) + ".and-more" // cut at its dot
	for _, name := range []string{"acme", long, cut} {
		for range 2 { // whoever tells it, it is there once
			r.tell(&corev1.ObjectReference{Kind: "CallbackRoute", Namespace: w.identity, Name: name, UID: types.UID(name)}, transition{
				kind: corev1.EventTypeWarning, reason: "SunsetPassed", condition: "SunsetPassed", message: "100% " + strings.Repeat("ü", 2000),
			})
		}
	}
	ended, end := context.WithCancel(w.ctx)
	end()
	w.Expect(r.Start(ended)).To(Succeed(), "what waits is written also at the end")
	var events eventsv1.EventList
	w.Expect(w.client.List(w.ctx, &events, client.InNamespace(w.identity))).To(Succeed())
	w.Expect(events.Items).To(HaveLen(3))
	for _, event := range events.Items {
		w.Expect(event.Note).To(HavePrefix("100% ü"))
		w.Expect(len(event.Note)).To(BeNumerically("<=", maxNoteBytes))
		w.Expect(event.ReportingController).To(Equal(fieldOwner))
		w.Expect([]string{event.Type, event.Reason, event.Action}).To(Equal([]string{"Warning", "SunsetPassed", "SunsetPassed"}))
	}
}

// Once the manager ended, nobody waits for events any more, however many there
// are.
func TestRecorder_KeepsNobodyAtTheEnd(t *testing.T) {
	g := NewWithT(t)
	r := newRecorder(nil, clock.RealClock{}, logr.Discard())
	r.waiting = make(chan news) // full at once
	ended, end := context.WithCancel(t.Context())
	end()
	g.Expect(r.Start(ended)).To(Succeed())
	r.tell(&corev1.ObjectReference{Name: "acme"}, transition{message: "nobody listens"})
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// speaker is an instance whose words the test chooses.
type speaker struct {
	mu     sync.Mutex
	report routetable.Report
	// What it sees and counted since it was asked last.
	targets []routetable.TargetReport
	uses    []routetable.RouteUse
	err     error
	asked   int
}

func (s *speaker) ask(context.Context, string, string) (*words, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return &words{report: s.report, targets: s.targets, routes: s.uses}, s.err
}

func (s *speaker) say(generation int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report = routetable.Report{Version: routetable.Version{Epoch: 1, Generation: generation}, Hash: "h", ListenerPort: 8080, Boot: "boot"}
	s.err = err
}

func (s *speaker) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func observing(t *testing.T, s *speaker) (*Observer, func(generation int64)) {
	t.Helper()
	o := NewObserver(nil, clock.RealClock{}, clock.RealClock{})
	o.asker = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = o.Start(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	targets := []Target{{Pod: "edge-1", UID: "1", Address: "127.0.0.1:9090", Ready: true}}
	return o, func(generation int64) {
		o.Observe(t.Context(), types.NamespacedName{Namespace: "platform", Name: "edge"}, targets, routetable.Version{Epoch: 1, Generation: generation})
	}
}

func TestObserver_AnnouncesAnAcknowledgementWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		s := &speaker{}
		s.say(1, nil)
		o, want := observing(t, s)
		want(1)
		time.Sleep(time.Minute)
		g.Expect(o.changed).To(BeEmpty(), "nothing new was said")

		want(2)
		time.Sleep(30 * time.Second)
		g.Expect(o.changed).To(BeEmpty(), "the instance is still behind")
		s.say(2, nil)
		time.Sleep(time.Second)
		g.Expect(o.changed).To(HaveLen(1))
	})
}

func TestObserver_AsksSeldomWhenAllIsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		s := &speaker{}
		s.say(1, nil)
		_, want := observing(t, s)
		want(1)
		time.Sleep(time.Minute + time.Second) // between two rounds, not at one
		before := s.count()
		time.Sleep(time.Minute)
		g.Expect(s.count() - before).To(Equal(int(time.Minute / steadyInterval)))
	})
}

func TestObserver_OneLostAnswerIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		s := &speaker{}
		s.say(1, nil)
		o, want := observing(t, s)
		want(1)
		time.Sleep(time.Minute + time.Second) // between two rounds, not at one
		s.say(1, errors.New("lost"))
		time.Sleep(2 * steadyInterval)
		s.say(1, nil)
		time.Sleep(time.Minute)
		g.Expect(o.changed).To(BeEmpty())

		s.say(1, errors.New("dead"))
		time.Sleep(time.Minute)
		g.Expect(o.changed).To(HaveLen(1), "but silence is")
	})
}

func TestRouteNews(t *testing.T) {
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
		{"ready says nothing that others do not", nil, condition("Ready", "False", "Conflict", 1), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, is := routeNews(tc.before, tc.after)
			if !is {
				got.kind = ""
			}
			NewWithT(t).Expect(got.kind).To(Equal(tc.want))
		})
	}
	g := NewWithT(t)
	_, is := proxyNews(condition("Programmed", "False", "Pending", 1), condition("Programmed", "True", "Programmed", 1))
	g.Expect(is).To(BeFalse(), "a fleet does not report each change of each route")
}

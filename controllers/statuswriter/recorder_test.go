// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package statuswriter

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/callbackproxy/callback-operator/controllers/kube"
)

// createdEvents takes events in place of the API server.
type createdEvents struct {
	client.Writer
	events []*corev1.Event
	fail   error
}

func (c *createdEvents) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	if c.fail != nil {
		return c.fail
	}
	c.events = append(c.events, object.(*corev1.Event))
	return nil
}

// Events have names that the API accepts, in the order of their times, and notes
// of bounded length. Those that wait are written when the manager ends.
func TestRecorder_WritesEvents(t *testing.T) {
	g := NewWithT(t)
	c := &createdEvents{}
	clock := clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	r := NewRecorder(c, clock, logr.Discard())
	long := strings.Repeat("n", 253)
	cut := strings.Repeat("n", maxEventPrefix-1) + ".and-more" // cut at its dot
	for _, name := range []string{"acme", "acme", long, cut} {
		route := &kube.Route{}
		route.Namespace, route.Name, route.UID = "identity", name, "uid"
		r.record(route, kindRoute, transition{
			eventType: corev1.EventTypeWarning, reason: "SunsetPassed", condition: "SunsetPassed", message: "100% " + strings.Repeat("ü", 2000),
		})
	}
	ended, end := context.WithCancel(t.Context())
	end()
	g.Expect(r.Start(ended)).To(Succeed())
	g.Expect(c.events).To(HaveLen(4))
	g.Expect(c.events[0].Name < c.events[1].Name).To(BeTrue(), "kubectl keeps this order within a second")
	for _, event := range c.events {
		g.Expect(len(event.Name)).To(BeNumerically("<=", 253))
		g.Expect(event.Name).NotTo(ContainSubstring("-."))
		g.Expect(event.Message).To(HavePrefix("100% ü"))
		g.Expect(len(event.Message)).To(BeNumerically("<=", maxNoteBytes))
		g.Expect(event.LastTimestamp.IsZero()).To(BeFalse())
		g.Expect([]string{event.Type, event.Reason, event.Action, event.ReportingController}).To(Equal([]string{"Warning", "SunsetPassed", "SunsetPassed", fieldOwner}))
	}
}

// A recorder never delays a status: events that do not fit, or that cannot be
// written, are lost.
func TestRecorder_NeverWaits(t *testing.T) {
	g := NewWithT(t)
	c := &createdEvents{fail: errors.New("no connection")}
	r := NewRecorder(c, clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0)), logr.Discard())
	for range maxWaitingEvents + 1 {
		r.record(&kube.Route{}, kindRoute, transition{})
	}
	g.Expect(r.waiting).To(HaveLen(maxWaitingEvents))
	ended, end := context.WithCancel(t.Context())
	end()
	g.Expect(r.Start(ended)).To(Succeed())
	g.Expect(c.events).To(BeEmpty())
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// failures are as many callbacks that failed until now, a second apart.
func (w *world) failures(n int, reason string) routetable.BackendUse {
	use := routetable.BackendUse{Name: "blue", InRow: int64(n)}
	for i := n; i > 0; i-- {
		use.Failures = append(use.Failures, routetable.CallbackFailure{Time: w.clock.Now().Add(-time.Duration(i) * time.Second), Reason: reason})
	}
	return use
}

// report makes the instance report these uses of acme's blue, and lets the status
// be written.
func (w *world) reportBlue(use routetable.BackendUse) {
	w.t.Helper()
	w.clock.SetTime(w.clock.Now().Add(30 * time.Second))
	w.fleet.uses = []routetable.RouteUse{{UID: string(w.route("acme").UID), Callbacks: 9, Backends: []routetable.BackendUse{use}}}
	w.reconcile()
}

// W41: a backend without a health check, behind which nothing answers: after five
// callbacks the condition and one event name their number and why; a response ends
// it. Ready depends on it only where no connection can be made.
func TestW41_CallbacksThatFailAreReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.settle()
	w.events.take()
	w.reportBlue(w.failures(4, routetable.FailureReset))
	w.Expect(w.condition("acme", "BackendsHealthy").Reason).To(Equal("NotMeasured"))

	w.reportBlue(w.failures(5, routetable.FailureReset))
	const message = "backend blue did not answer the last 5 callbacks (connection ended before a response), at 1 of 1 instance: " +
		"see its log, and that it speaks HTTP on the port of its Service"
	c := w.condition("acme", "BackendsHealthy")
	w.Expect(string(c.Status) + c.Reason + c.Message).To(Equal("FalseCallbacksFailing" + message))
	w.Expect(w.condition("acme", "Ready").Reason).To(Equal("Ready"), "clients can provoke it")
	w.Expect(w.route("acme").Status.Backends[0].Reason).To(Equal("CallbacksFailing"))
	w.Expect(w.events.take()).To(ConsistOf("Warning CallbacksFailing BackendsHealthy CallbackRoute/acme: " + message))

	w.reportBlue(routetable.BackendUse{Name: "blue", LastSuccess: w.clock.Now()})
	w.Expect(w.condition("acme", "BackendsHealthy").Reason).To(Equal("NotMeasured"))
	w.Expect(w.events.take()).To(ConsistOf(HavePrefix("Normal NotMeasured BackendsHealthy CallbackRoute/acme: no backend is known to be unhealthy")))

	w.reportBlue(w.failures(5, routetable.FailureRefused))
	w.Expect(w.condition("acme", "Ready").Reason).To(Equal("CallbacksFailing"), "nothing listens")
	last := w.fleet.uses[0].Backends[0].Failures[4].Time
	w.events.take()

	result := w.reconcile()
	w.Expect(w.clock.Now().Add(result.RequeueAfter)).To(BeTemporally("~", last.Add(routetable.FailureLife), time.Second), "the pass asks for one then")
	w.clock.SetTime(last.Add(routetable.FailureLife))
	w.reconcile()
	w.Expect(w.condition("acme", "BackendsHealthy").Reason).To(Equal("NotMeasured"), "five minutes without a failure")
	w.Expect(w.condition("acme", "Ready").Reason).To(Equal("Ready"))
}

// W24: logins that begin at blue while green gets the callbacks come again and
// again. A condition and one event report it, Ready does not, and it ends 15
// minutes after the last loop.
func TestW24_LoopingLoginsAreReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.settle()
	w.events.take()
	last := w.clock.Now().Truncate(time.Second)
	w.fleet.uses = []routetable.RouteUse{{UID: string(w.route("acme").UID), Callbacks: 9, LastLoop: last}}
	w.reconcile()
	c := w.condition("acme", "LoginsLooping")
	w.Expect(string(c.Status) + c.Reason).To(Equal("TrueLoginsLooping"))
	w.Expect(c.Message).To(And(ContainSubstring("callbacks go to backend blue"), ContainSubstring("another backend (green)")))
	w.Expect(w.condition("acme", "Ready").Status).To(BeEquivalentTo("True"))
	w.Expect(w.events.take()).To(ConsistOf("Warning LoginsLooping LoginsLooping CallbackRoute/acme: " + c.Message))

	w.clock.SetTime(last.Add(15*time.Minute - time.Second))
	w.Expect(w.reconcile().RequeueAfter).To(BeNumerically("<=", time.Second), "the pass asks for one then")
	w.Expect(w.condition("acme", "LoginsLooping").Status).To(BeEquivalentTo("True"))
	w.clock.SetTime(last.Add(15 * time.Minute))
	w.reconcile()
	w.Expect(find(w.route("acme").Status.Conditions, "LoginsLooping")).To(BeNil())
	w.Expect(w.events.take()).To(BeEmpty())
}

// W1: a front that is not trusted is reported with its network and the fix, in a
// condition and one event; Ready does not depend on it.
func TestW1_AFrontThatIsNotTrustedIsReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.settle()
	w.events.take()
	last := w.clock.Now().Truncate(time.Second)
	w.fleet.forwarding = routetable.ForwardingUse{Callbacks: 20, Claims: 11, LastMost: last, Networks: []string{"10.0.3.0/24"}}
	w.reconcile()
	c := w.about("ForwardingSuspect")
	w.Expect(string(c.Status) + c.Reason).To(Equal("TrueForwardingSuspect"))
	w.Expect(c.Message).To(ContainSubstring("forwarding.trustedProxies: [10.0.3.0/24]"))
	w.Expect(w.about("Ready").Status).To(BeEquivalentTo("True"))
	w.Expect(w.events.take()).To(ConsistOf("Warning ForwardingSuspect ForwardingSuspect CallbackProxy/edge: " + c.Message))

	w.fleet.forwarding.Callbacks, w.fleet.forwarding.Claims = 0, 0
	w.clock.SetTime(last.Add(15*time.Minute - time.Second))
	w.Expect(w.reconcile().RequeueAfter).To(BeNumerically("<=", time.Second), "the pass asks for one then")
	w.Expect(w.about("ForwardingSuspect").Status).To(BeEquivalentTo("True"))
	w.clock.SetTime(last.Add(15 * time.Minute))
	w.reconcile()
	w.Expect(find(w.liveProxy().Status.Conditions, "ForwardingSuspect")).To(BeNil())
	w.Expect(w.events.take()).To(BeEmpty())
}

// W15: the owner of a route finds why requests to it were refused.
func TestW15_TheLastRefusalIsInTheStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.settle()
	last := w.clock.Now().Truncate(time.Second)
	w.fleet.uses = []routetable.RouteUse{{UID: string(w.route("acme").UID), Refused: 3, LastRefused: last, RefusedReason: "headerTooLarge"}}
	w.clock.SetTime(last.Add(time.Minute))
	w.reconcile()
	traffic := w.route("acme").Status.Traffic
	w.Expect(traffic.Refused).To(HaveValue(BeEquivalentTo(3)))
	w.Expect(traffic.LastRefusedReason).To(Equal("headerTooLarge"))
	w.Expect(traffic.LastRefusedTime.Time).To(BeTemporally("==", last))
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
)

const day = 24 * time.Hour

// Each stage of a route's end is announced once, on time, also after a change of the leader.
func TestReconcile_AnnouncesEachStageOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	end := w.clock.Now().Add(40 * day).Truncate(time.Second)
	w.migration(w.newRoute("acme", func(s *callbackv1alpha1.CallbackRouteSpec) {
		s.SunsetTime = metav1.NewTime(end)
		deprecation := metav1.NewTime(end.Add(-10 * day))
		s.DeprecationTime = &deprecation
	}))
	w.settle()
	w.Expect(find(w.route("acme").Status.Conditions, "SunsetApproaching")).To(BeNil())
	w.events.take()

	for _, stage := range []struct {
		at      time.Time
		reason  string
		message string
	}{
		{end.Add(-30 * day), "SunsetApproaching", "is 30 days or less away"},
		{end.Add(-10 * day), "Deprecated", "deprecated since"},
		{end.Add(-7 * day), "SunsetApproaching", "is 7 days or less away"},
		{end.Add(-1 * day), "SunsetApproaching", "is 1 day or less away"},
		{end, "SunsetPassed", "has passed and callbacks are answered with 410 Gone"},
	} {
		w.sleepUntil(stage.at)
		w.reconcile()
		w.Expect(w.events.take()).To(ConsistOf(And(ContainSubstring(stage.reason), ContainSubstring(stage.message))), "%s", stage.at)
		w.newLeader()
		w.settle()
		w.Expect(w.events.take()).To(BeEmpty(), "a new leader repeats nothing")
	}
	w.Expect(find(w.route("acme").Status.Conditions, "SunsetApproaching")).To(BeNil(), "what has passed does not approach")
}

// sleepUntil follows what each pass asks for until an instant, which must be
// among that.
func (w *world) sleepUntil(at time.Time) {
	w.t.Helper()
	for range 20 {
		next := w.clock.Now().Add(w.reconcile().RequeueAfter)
		w.Expect(next.After(at)).To(BeFalse(), "the pass asks for %s and would miss %s", next, at)
		w.clock.SetTime(next)
		if next.Equal(at) {
			return
		}
	}
	w.t.Fatalf("no pass asks for %s", at)
}

// The conditions follow a sunset that is moved away and back.
func TestReconcile_TheSunsetIsMoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.settle()
	move := func(to time.Time) {
		t.Helper()
		stored := &kube.Route{CallbackRoute: *w.route("acme")}
		stored.Spec.SunsetTime = metav1.NewTime(to)
		w.Expect(w.client.Update(w.ctx, stored)).To(Succeed())
		w.settle()
	}
	move(w.clock.Now().Add(-time.Hour))
	w.Expect(w.condition("acme", "Ready").Reason).To(Equal("SunsetPassed"))
	move(w.clock.Now().Add(100 * day))
	w.Expect(w.condition("acme", "Ready").Status).To(BeEquivalentTo("True"))
	w.Expect(find(w.route("acme").Status.Conditions, "SunsetPassed")).To(BeNil())
	w.Expect(find(w.route("acme").Status.Conditions, "SunsetApproaching")).To(BeNil())
	w.events.take()
	move(w.clock.Now().Add(5 * day))
	w.Expect(w.condition("acme", "SunsetApproaching").Message).To(ContainSubstring("is 7 days or less away"))
	w.Expect(w.events.take()).To(ContainElement(ContainSubstring("SunsetApproaching")))
	move(w.clock.Now().Add(6 * day))
	w.Expect(w.events.take()).To(ContainElement(ContainSubstring("SunsetApproaching")), "another end is announced anew")
}

// The hold is an annotation: it takes effect without a new generation, appears in
// a condition with its reason, and ends where the policy ends.
func TestReconcile_TheHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	end := w.clock.Now().Add(time.Hour).Truncate(time.Second)
	w.migration(w.newRoute("acme", func(s *callbackv1alpha1.CallbackRouteSpec) { s.SunsetTime = metav1.NewTime(end) }))
	w.settle()
	w.events.take()
	before := w.route("acme")

	w.annotate("acme", "green fails its load test, INC-7")
	w.settle()
	until := before.CreationTimestamp.AddDate(0, 0, 180)
	w.Expect(w.route("acme").Generation).To(Equal(before.Generation))
	w.Expect(w.table().Routes[0].HeldUntil).To(BeTemporally("==", until))
	w.Expect(w.condition("acme", "SunsetHeld").Status).To(BeEquivalentTo("True"))
	w.Expect(w.events.take()).To(ContainElement(And(HavePrefix("Normal SunsetHeld"), HaveSuffix("because: green fails its load test, INC-7"))))

	w.clock.SetTime(end)
	w.settle()
	w.Expect(w.condition("acme", "Ready").Status).To(BeEquivalentTo("True"), "it is served")
	w.Expect(w.condition("acme", "SunsetPassed").Message).To(ContainSubstring("still served until " + until.UTC().Format(time.RFC3339)))

	w.clock.SetTime(until)
	w.settle()
	w.Expect(w.condition("acme", "Ready").Reason).To(Equal("SunsetPassed"), "the policy's maximum ends every hold")
	w.Expect(w.condition("acme", "SunsetHeld").Reason).To(Equal("HoldExpired"))

	w.annotate("acme", "")
	w.settle()
	w.Expect(w.table().Routes[0].HeldUntil).To(BeZero())
	w.Expect(w.condition("acme", "SunsetHeld").Reason).To(Equal("HoldWithoutReason"))
}

func (w *world) annotate(name, reason string) {
	w.t.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{callbackv1alpha1.HoldAnnotation: reason}}})
	w.Expect(err).NotTo(HaveOccurred())
	target := &kube.Route{}
	target.Namespace, target.Name = w.identity, name
	w.Expect(w.client.Patch(w.ctx, target, client.RawPatch(types.MergePatchType, patch))).To(Succeed())
}

// Each change of a spec or of the hold needs a pass, and no write of a status.
func TestChanged_PassesSpecsAndHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	passes := func(change func(*kube.Route)) bool {
		before := &kube.Route{CallbackRoute: *w.route("acme")}
		after := before.DeepCopyObject().(*kube.Route)
		after.ResourceVersion = "1"
		change(after)
		return w.reconciler.changed().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after})
	}
	w.Expect(passes(func(r *kube.Route) { r.ResourceVersion = w.route("acme").ResourceVersion })).To(BeTrue(), "it is listed anew, perhaps under a CRD with other defaults")
	w.Expect(passes(func(r *kube.Route) { r.Status.Conditions = nil })).To(BeFalse(), "a status")
	w.Expect(passes(func(r *kube.Route) { r.Generation++ })).To(BeTrue())
	w.Expect(passes(func(r *kube.Route) { r.UID = "another" })).To(BeTrue())
	w.Expect(passes(func(r *kube.Route) { r.Annotations = map[string]string{callbackv1alpha1.HoldAnnotation: "why"} })).To(BeTrue())
	w.Expect(passes(func(r *kube.Route) { r.DeletionTimestamp = &metav1.Time{Time: w.clock.Now()} })).To(BeTrue())
}

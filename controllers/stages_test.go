// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/status"
)

const day = 24 * time.Hour

// Each stage of a route's end is announced once, on time, whoever leads.
func TestReconcile_AnnouncesEachStageOnce(t *testing.T) {
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

// The end is moved away and back, and what is said follows.
func TestReconcile_TheSunsetIsMoved(t *testing.T) {
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

// The hold is an annotation: it takes effect without a new generation, is told
// with its reason, and ends where the policy ends.
func TestReconcile_TheHold(t *testing.T) {
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

// nothing happens while a status is written.
func nothing() {}

// changing lets another fleet change.
func (w *world) changing() {
	w.reconciler.arrivals.note(ctrl.Request{NamespacedName: types.NamespacedName{Name: "another"}})
}

// slowly lets each status take 10 ms, in which something may happen. It returns
// how many were written since it was asked last.
func (w *world) slowly(meanwhile func()) (written func() int) {
	var n atomic.Int64
	w.reconciler.Client = interceptor.NewClient(w.client, interceptor.Funcs{
		SubResourceApply: func(ctx context.Context, inner client.Client, sub string, object runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			n.Add(1)
			meanwhile()
			w.clock.SetTime(w.clock.Now().Add(10 * time.Millisecond))
			return inner.SubResource(sub).Apply(ctx, object, opts...)
		},
	})
	return func() int { return int(n.Swap(0)) }
}

// F18: however many routes end at once, a pass writes statuses for a while, a
// short one if something changed meanwhile, and in the end all are right.
func TestF18_ManySunsetsAtOnce(t *testing.T) {
	const many, inBrief, inLong = 700, int(writingTime / (10 * time.Millisecond)), int(longWritingTime / (10 * time.Millisecond))
	w := newWorld(t, controlPlane)
	end := w.clock.Now().Add(time.Hour).Truncate(time.Second)
	w.migration()
	for i := range many {
		w.create(w.newRoute(fmt.Sprintf("acme-%03d", i), func(s *callbackv1alpha1.CallbackRouteSpec) { s.SunsetTime = metav1.NewTime(end) }))
	}
	w.settle()
	w.events.take()
	w.clock.SetTime(end)
	written := w.slowly(w.changing)
	w.reconcile()
	w.Expect(written()).To(BeNumerically("~", inBrief, statusWriters+1))
	written = w.slowly(nothing)
	w.reconciler.arrivals.begin(ctrl.Request{NamespacedName: types.NamespacedName{Name: "another"}})
	w.reconcile()
	w.Expect(written()).To(BeNumerically("~", inLong, statusWriters+1))
	w.settle()
	w.Expect(w.events.take()).To(HaveLen(many))
	for i := range many {
		w.Expect(w.condition(fmt.Sprintf("acme-%03d", i), "Ready").Reason).To(Equal("SunsetPassed"))
	}
}

// One namespace with many statuses to write does not make another wait.
func TestPending_TakesNamespacesInTurn(t *testing.T) {
	const many = 100
	w := newWorld(t, controlPlane)
	w.migration()
	for i := range many {
		w.create(w.newRoute(fmt.Sprintf("acme-%03d", i)))
	}
	neighbour := w.newRoute("zzz", func(s *callbackv1alpha1.CallbackRouteSpec) {
		s.Hostnames = []callbackv1alpha1.Hostname{"auth.other.test"}
	})
	neighbour.Namespace = w.other
	w.create(neighbour)
	written := w.slowly(w.changing)
	w.reconcile()
	w.Expect(written()).To(BeNumerically("<", many))
	w.Expect(w.client.Get(w.ctx, client.ObjectKeyFromObject(neighbour), neighbour)).To(Succeed())
	w.Expect(neighbour.Status.Conditions).NotTo(BeEmpty(), "the last by name, and written in the first pass")
}

// T5: whatever names tenants choose for a CallbackProxy that is not there,
// nothing is kept of them; and of an object that went nothing is said.
func TestT5_NothingIsKeptOfWhatIsNotThere(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.create(w.newRoute("orphan"))
	w.settle()
	w.Expect(w.condition("orphan", "Accepted").Reason).To(Equal("ProxyNotFound"))
	w.Expect(w.reconciler.pace.fleets).To(BeEmpty())
	w.Expect(w.reconciler.tallies).To(BeEmpty())
	w.events.take()

	gone := w.route("orphan")
	w.Expect(w.client.Delete(w.ctx, w.newRoute("orphan"))).To(Succeed())
	w.reconciler.pace.gone(gone.UID)
	computed := gone.Status
	computed.Conditions = []metav1.Condition{{Type: "Accepted", Status: metav1.ConditionFalse, Reason: "Conflict", Message: "late"}}
	var again atomic.Bool
	late := &pendingStatus{kind: kindRoute, object: gone, status: &computed, change: status.Spec, after: computed.Conditions, news: routeNews}
	w.Expect(w.reconciler.writeStatus(w.ctx, late, &again)).To(Succeed())
	w.Expect(w.events.take()).To(BeEmpty())
	w.Expect(w.reconciler.pace.routes).To(BeEmpty())
}

// A status that somebody else writes is put right: the write is noticed, and
// the pass that follows undoes it.
func TestReconcile_RepairsAStatus(t *testing.T) {
	w := newWorld(t, controlPlane)
	w.migration(w.newRoute("acme"))
	w.settle()
	before := w.route("acme")
	noticed := w.reconciler.changed()
	older := &kube.Route{CallbackRoute: *before.DeepCopy()}
	older.ResourceVersion = "1"
	w.Expect(noticed.Update(event.UpdateEvent{ObjectOld: older, ObjectNew: &kube.Route{CallbackRoute: *before}})).To(BeFalse(), "our own write")

	w.Expect(noticed.Update(event.UpdateEvent{ObjectOld: &kube.Route{CallbackRoute: *before}, ObjectNew: &kube.Route{CallbackRoute: *before}})).To(BeFalse(), "seen again")
	reread := &kube.Route{CallbackRoute: *before.DeepCopy()}
	reread.Spec.AfterSunset = ""
	w.Expect(noticed.Update(event.UpdateEvent{ObjectOld: &kube.Route{CallbackRoute: *before}, ObjectNew: reread})).To(BeTrue(), "under a CRD with other defaults")

	target := &kube.Route{}
	target.Namespace, target.Name = w.identity, "acme"
	patch := strings.NewReplacer("TIME", w.clock.Now().UTC().Format(time.RFC3339)).Replace(
		`{"status":{"conditions":[{"type":"Ready","status":"False","reason":"Hacked","message":"no","lastTransitionTime":"TIME"}]}}`)
	w.Expect(w.client.Status().Patch(w.ctx, target, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
	w.Expect(noticed.Update(event.UpdateEvent{ObjectOld: &kube.Route{CallbackRoute: *before}, ObjectNew: target})).To(BeTrue())
	w.settle()
	w.Expect(w.condition("acme", "Ready").Status).To(BeEquivalentTo("True"))
	w.Expect(w.condition("acme", "Accepted").Status).To(BeEquivalentTo("True"))
}

// Where something changes all the time, and no pass writes all statuses, each
// has its turn.
func TestF14_Pending_EachHasItsTurn(t *testing.T) {
	const many = 100
	w := newWorld(t, controlPlane)
	w.migration()
	for i := range many {
		w.create(w.newRoute(fmt.Sprintf("acme-%03d", i)))
	}
	written := w.slowly(w.changing)
	for range 3 {
		for i := range many / 2 { // the first ones have news again and again
			w.annotate(fmt.Sprintf("acme-%03d", i), fmt.Sprintf("because of %s", w.clock.Now()))
		}
		w.reconcile()
		w.clock.SetTime(w.clock.Now().Add(statusInterval))
	}
	w.Expect(written()).To(BeNumerically("<", 2*many))
	for i := range many {
		w.Expect(w.route(fmt.Sprintf("acme-%03d", i)).Status.Conditions).NotTo(BeEmpty(), "route %d", i)
	}
}

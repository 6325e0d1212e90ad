// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package statuswriter

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/status"
)

func TestWriter_WritesADifferenceOnce(t *testing.T) {
	f := newFixture(t)
	acme := f.route("identity", "acme")
	f.enqueue(acme)
	f.expectWrites(0, "nothing differs")
	f.Expect(f.writer.objects).To(BeEmpty())
	f.enqueue(acme, generation(2))
	f.enqueue(acme, generation(3))
	f.expectWrites(1, "the latest one")
	f.Expect(acme.Status.ObservedGeneration).To(BeEquivalentTo(3))
	f.expectWrites(0, "it is written")
	f.enqueue(acme, generation(4))
	f.enqueue(acme, generation(3))
	f.expectWrites(0, "the stored status is the desired one again")
	f.Expect(f.writer.backlog).To(BeEmpty())
}

// After a change instances have one second to acknowledge, and their
// acknowledgement replaces the status that awaits it.
func TestWriter_PendingWaitsForTheAcknowledgement(t *testing.T) {
	f := newFixture(t)
	acme := f.route("identity", "acme")
	f.enqueue(acme, generation(2), pending)
	f.expectWrites(0, "instances have a second")
	f.lives(100 * time.Millisecond)
	f.enqueue(acme, generation(2))
	f.expectWrites(1, "they acknowledged")

	f.enqueue(acme, generation(3), pending)
	f.lives(900 * time.Millisecond)
	f.enqueue(acme, generation(4), pending)
	_, wait := f.flush()
	f.Expect(wait).To(Equal(100*time.Millisecond), "another change does not begin the second anew")
	f.lives(wait)
	f.expectWrites(1, "they did not")
	f.Expect(acme.Status.Conditions[0].Reason).To(Equal("Pending"))
}

// A status that becomes desired while another one is written waits as long as
// otherwise.
func TestWriter_PendingDuringAWrite(t *testing.T) {
	f := newFixture(t)
	acme := f.route("identity", "acme")
	f.enqueue(acme, generation(2))
	f.applying = func() {
		f.applying = nil
		f.enqueue(acme, generation(3), pending)
	}
	f.expectWrites(1, "the first one")
	_, wait := f.flush()
	f.Expect(wait).To(Equal(acknowledgementDelay))
}

// F17: a backend that comes and goes each second costs one status in 30 s, with
// the counts in it, and the first failure is written at once.
func TestF17_Writer_HealthFlips(t *testing.T) {
	f := newFixture(t)
	acme := f.route("identity", "acme")
	writes := 0
	var last time.Time
	for second := range 30 * 60 {
		flipped := []callbackv1alpha1.Health{callbackv1alpha1.HealthUnhealthy, callbackv1alpha1.HealthHealthy}[second%2]
		f.enqueue(acme, health(flipped), callbacks(int64(second)))
		if n, _ := f.flush(); n > 0 {
			f.Expect(last.IsZero() || f.clock.Since(last) >= 30*time.Second).To(BeTrue(), "second %d", second)
			writes, last = writes+n, f.clock.Now()
		}
		if second == 0 {
			f.Expect(writes).To(Equal(1), "at once")
		}
		f.lives(time.Second)
	}
	f.Expect(writes).To(BeNumerically("~", 60, 30))
	f.Expect(writes).To(BeNumerically("<=", 61))
}

// After a start health that was unknown becomes known step by step; each step is
// written at once, and delays no failure.
func TestWriter_FirstMeasurementsDelayNothing(t *testing.T) {
	f := newFixture(t)
	acme := f.route("identity", "acme")
	acme.Status = desired(health(callbackv1alpha1.HealthUnknown))
	f.enqueue(acme)
	f.expectWrites(1, "the first measurement")
	f.enqueue(acme, health(callbackv1alpha1.HealthUnknown))
	f.expectWrites(1, "a second one")
	f.enqueue(acme, health(callbackv1alpha1.HealthUnhealthy))
	f.expectWrites(1, "a failure")
}

// F24: a failure is written at once, however many counts wait; a count that is
// replaced is written with it.
func TestF24_Writer_AFailureDoesNotWaitForCounts(t *testing.T) {
	f := newFixture(t)
	busy := make([]*kube.Route, 1000)
	for i := range busy {
		busy[i] = f.route("busy", fmt.Sprint(i))
		f.enqueue(busy[i], callbacks(9))
	}
	written, _ := f.flush()
	f.Expect(written).To(Equal(countBurst))
	f.enqueue(busy[999], callbacks(10), health(callbackv1alpha1.HealthUnhealthy))
	f.expectWrites(1, "the failure")
	f.lives(10 * time.Second)
	// The failure took its route's counts along, and may have left the slot that was reserved for them unused.
	bound := 10 * countsPerSecond
	written, _ = f.flush()
	f.Expect(written).To(Or(Equal(bound), Equal(bound-1)), "counts have a limit over all routes")
	f.lives(30 * time.Second)
	f.flush()
	f.Expect(busy[999].Status.Backends[0].Callbacks).To(HaveValue(BeEquivalentTo(10)))
}

// F13: a tenant that changes its route without end causes a write in two
// seconds, after a burst.
func TestF13_Writer_BoundsTheStatusesOfOneRoute(t *testing.T) {
	f := newFixture(t)
	acme, calm := f.route("identity", "acme"), f.route("other", "calm")
	writes := 0
	for n := range 600 {
		f.enqueue(acme, generation(int64(n+2)))
		written, _ := f.flush()
		writes += written
		f.lives(100 * time.Millisecond)
	}
	f.Expect(writes).To(BeNumerically("~", limits[status.Spec].burst+30, 1))
	f.enqueue(calm, generation(2))
	f.flush()
	f.Expect(calm.Status.ObservedGeneration).To(BeEquivalentTo(2), "another route does not wait")
}

// F12: a status that the API server refuses is sent again each minute, and its
// events are emitted once. An object that is applied again has its status at once.
func TestF12_Writer_AStatusThatIsRefused(t *testing.T) {
	f := newFixture(t)
	acme := f.route("identity", "acme")
	f.refuse = apierrors.NewInvalid(schema.GroupKind{}, "acme", nil)
	for range 50 {
		f.enqueue(acme, health(callbackv1alpha1.HealthUnhealthy))
		f.flush()
		f.lives(time.Second)
	}
	f.Expect(f.written).To(HaveLen(1))
	f.Expect(f.events).To(HaveLen(1))
	f.lives(10 * time.Second)
	f.expectWrites(1, "again")
	f.Expect(f.events).To(HaveLen(1))
	f.refuse = nil
	acme.Generation = 2
	f.enqueue(acme, health(callbackv1alpha1.HealthUnhealthy), generation(2))
	f.expectWrites(1, "at once")
	f.Expect(f.writer.objects[keyOf(kindRoute, acme)].refused).To(BeZero())
}

// A failed write is an error, which the queue repeats; the event waits for the
// write.
func TestWriter_AFailedWriteIsRepeated(t *testing.T) {
	f := newFixture(t)
	acme := f.route("identity", "acme")
	f.enqueue(acme, health(callbackv1alpha1.HealthUnhealthy))
	f.refuse = errors.New("no connection")
	_, err := f.writer.Reconcile(f.ctx, keyOf(kindRoute, acme))
	f.Expect(err).To(MatchError(ContainSubstring("no connection")))
	f.Expect(f.events).To(BeEmpty())
	f.refuse = nil
	f.expectWrites(1, "the same status")
	f.Expect(f.events).To(HaveLen(1))
}

// T5: nothing is kept of objects that are gone, and no event is emitted.
func TestT5_Writer_KeepsNothingOfWhatIsGone(t *testing.T) {
	f := newFixture(t)
	acme, again := f.route("identity", "acme"), f.route("identity", "again")
	f.enqueue(acme, generation(2))
	f.enqueue(again, generation(2))
	delete(f.objects, client.ObjectKeyFromObject(acme))
	f.objects[client.ObjectKeyFromObject(again)].UID = "another"
	f.expectWrites(0, "one is gone, and one is another object now")
	f.Expect(f.writer.objects).To(BeEmpty())
	f.Expect(f.writer.backlog).To(BeEmpty())
	acme = f.route("identity", "acme")
	f.enqueue(acme, generation(2))
	f.writer.Forget(acme)
	f.Expect(f.writer.objects).To(BeEmpty())
	f.Expect(f.events).To(BeEmpty())
}

// A pass may compute a status from an older object: it is computed again for the
// stored one, and that of an older generation is not written.
func TestWriter_AStatusFromAnOlderObject(t *testing.T) {
	f := newFixture(t)
	acme := f.route("identity", "acme")
	before := acme.DeepCopyObject().(*kube.Route)
	acme.Status = desired(callbacks(7))
	var computed []int64
	compute := func(stored *callbackv1alpha1.CallbackRoute) callbackv1alpha1.CallbackRouteStatus {
		seen := *stored.Status.Backends[0].Callbacks
		computed = append(computed, seen)
		return desired(callbacks(seen + 1))
	}
	stale := desired(callbacks(1))
	f.writer.EnqueueRoute(&before.CallbackRoute, &stale, compute)
	f.expectWrites(1, "the status for the stored object")
	f.Expect(computed).To(Equal([]int64{7}))
	f.Expect(acme.Status.Backends[0].Callbacks).To(HaveValue(BeEquivalentTo(8)))

	acme.Generation = 2
	f.lives(time.Minute)
	f.writer.EnqueueRoute(&before.CallbackRoute, &stale, compute)
	f.expectWrites(0, "an older generation")
	f.Expect(f.writer.backlog).To(BeEmpty())
}

// Changes of specs go before health, and health before counts; a tenant with
// thousands of statuses yields to one with a few.
func TestPriority(t *testing.T) {
	g := NewWithT(t)
	order := []int{
		priority(status.Spec, 1), priority(status.Spec, 10), priority(status.Spec, 10_000), priority(status.Health, 1),
		priority(status.Counters, 1),
	}
	for i := range order[1:] {
		g.Expect(order[i]).To(BeNumerically(">", order[i+1]), "%d", i)
	}
	g.Expect(priority(status.Spec, 1_000_000)).To(BeNumerically(">", priority(status.Health, 1)))
	levels := map[int]bool{}
	for backlog := range 100_000 {
		for c := status.Counters; c <= status.Spec; c++ {
			levels[priority(c, backlog)] = true
		}
	}
	g.Expect(len(levels)).To(BeNumerically("<=", 25), "as many as the queue's metric of its depth can have")
}

// F18: ten thousand sunsets pass in one second. Another tenant's status does not
// wait for theirs, and theirs are written in their turn.
func TestF18_Writer_ManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		const many = 10_000
		for i := range many {
			f.enqueue(f.route("busy", fmt.Sprint(i)), generation(2))
		}
		queue := priorityqueue.New("status", func(o *priorityqueue.Opts[Key]) { o.MetricProvider = nil })
		defer queue.ShutDown()
		f.Expect(f.writer.attach(f.ctx, queue)).To(Succeed())
		f.enqueue(f.route("quiet", "neighbour"), generation(2))
		synctest.Wait()
		for n := range many + 1 {
			key, _, _ := queue.GetWithPriority()
			_, err := f.writer.Reconcile(f.ctx, key)
			f.Expect(err).NotTo(HaveOccurred())
			queue.Done(key)
			if key.Name == "neighbour" {
				f.Expect(n).To(BeNumerically("<=", 2), "the neighbour's turn")
			}
			f.lives(2 * time.Millisecond)
		}
		f.Expect(f.written).To(HaveLen(many + 1))
	})
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

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
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

var edge = types.NamespacedName{Namespace: "platform", Name: "edge"}

// fakeFleet is the pods of a fleet and the reports of its instances, by address.
type fakeFleet struct {
	client.Reader
	*WithT
	ctx      context.Context
	observer *Observer

	mu       sync.Mutex
	pods     []corev1.Pod
	reports  map[string]*routetable.Report
	hanging  map[string]bool
	requests map[string]int
}

// newFakeFleet runs an Observer of a fleet until the test ends.
func newFakeFleet(t *testing.T) *fakeFleet {
	t.Helper()
	f := &fakeFleet{
		WithT: NewWithT(t), ctx: t.Context(),
		reports: map[string]*routetable.Report{}, hanging: map[string]bool{}, requests: map[string]int{},
	}
	f.observer = New(f, f, clock.RealClock{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = f.observer.Start(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
	return f
}

// List returns the pods of the fleet.
func (f *fakeFleet) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	list.(*corev1.PodList).Items = append([]corev1.Pod{}, f.pods...)
	return nil
}

// Report returns the report of an instance.
func (f *fakeFleet) Report(ctx context.Context, address, _ string) (*routetable.Report, error) {
	f.mu.Lock()
	f.requests[address]++
	report, hangs := f.reports[address], f.hanging[address]
	f.mu.Unlock()
	if hangs {
		select {
		case <-time.After(reportTimeout):
		case <-ctx.Done():
		}
	}
	if hangs || report == nil {
		return nil, errors.New("no response")
	}
	copied := *report
	copied.Routes = append([]routetable.RouteUse{}, report.Routes...)
	return &copied, nil
}

// set makes a pod respond with a report of a generation and its callbacks.
func (f *fakeFleet) set(pod string, generation, callbacks int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := newReport(pod, callbacks)
	r.Version, r.Hash = routetable.Version{Epoch: 1, Generation: generation}, "h"
	f.reports[addresses[pod]] = r
}

func (f *fakeFleet) change(pod string, change func(*routetable.Report)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := *f.reports[addresses[pod]]
	change(&r)
	f.reports[addresses[pod]] = &r
}

func (f *fakeFleet) silence(pod string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.reports, addresses[pod])
}

func (f *fakeFleet) requested(pod string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests[addresses[pod]]
}

// observe makes a pass over pods, with a generation that was published.
func (f *fakeFleet) observe(generation int64, pods ...corev1.Pod) ([]status.Instance, bool) {
	f.mu.Lock()
	f.pods = pods
	f.mu.Unlock()
	fleet, complete, err := f.observer.Instances(f.ctx, edge, routetable.Version{Epoch: 1, Generation: generation})
	f.Expect(err).NotTo(HaveOccurred())
	return fleet.Instances, complete
}

func (f *fakeFleet) callbacks() int64 {
	route := &callbackv1alpha1.CallbackRoute{ObjectMeta: metav1.ObjectMeta{UID: "r"}}
	return f.observer.Traffic(edge, []*callbackv1alpha1.CallbackRoute{route})["r"].Callbacks
}

// events returns how many events the controller got since the last call.
func (f *fakeFleet) events() (n int) {
	for ; len(f.observer.changed) > 0; n++ {
		f.Expect((<-f.observer.changed).Object).To(Equal(edge))
	}
	return n
}

var addresses = map[string]string{"a": "10.0.0.1:9090", "b": "10.0.0.2:9090"}

func pod(name string, ready bool) corev1.Pod { //nolint:revive // ready is a property of the pod
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}
	if address := addresses[name]; address != "" {
		p.Status.PodIP = address[:len(address)-len(":9090")]
		p.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: callbackv1alpha1.AdminPortName, ContainerPort: 9090}}}}
	}
	if ready {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	return p
}

// Instances never waits. Until the first poll of an instance ended it is neither
// reachable nor unreachable, and an event follows.
func TestObserver_ReportsWhenTheFirstPollEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeFleet(t)
		f.set("a", 1, 0)
		f.hanging[addresses["b"]] = true
		begin := time.Now()
		_, complete := f.observe(1, pod("a", true), pod("b", true))
		f.Expect(time.Since(begin)).To(BeZero())
		f.Expect(complete).To(BeFalse())
		time.Sleep(reportTimeout / 2)
		f.Expect(f.events()).To(Equal(1), "a instance that hangs delays no other one")
		instances, complete := f.observe(1, pod("a", true), pod("b", true))
		f.Expect(instances[0].Reached).To(BeTrue())
		f.Expect(complete).To(BeFalse())
		time.Sleep(reportTimeout)
		f.Expect(f.events()).To(Equal(1))
		instances, complete = f.observe(1, pod("a", true), pod("b", true))
		f.Expect(complete).To(BeTrue())
		f.Expect(instances[1].Reached).To(BeFalse())
	})
}

func TestObserver_AnnouncesAnAcknowledgementWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeFleet(t)
		f.set("a", 1, 0)
		f.observe(1, pod("a", true))
		time.Sleep(time.Minute + time.Second) // between two polls
		f.Expect(f.events()).To(Equal(1), "the first poll")
		before := f.requested("a")
		time.Sleep(time.Minute)
		f.Expect(f.requested("a")-before).To(Equal(int(time.Minute/steadyInterval)), "seldom, while all instances are up to date")

		f.observe(2, pod("a", true))
		time.Sleep(30 * time.Second)
		f.Expect(f.events()).To(BeZero(), "the instance is behind, as it was")
		f.set("a", 2, 0)
		time.Sleep(time.Second)
		f.Expect(f.events()).To(Equal(1))
	})
}

func TestObserver_OneLostResponseChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeFleet(t)
		f.set("a", 1, 0)
		f.observe(1, pod("a", true))
		time.Sleep(time.Minute + time.Second)
		f.events()
		f.silence("a")
		time.Sleep(steadyInterval)
		f.set("a", 1, 0)
		time.Sleep(time.Minute)
		f.Expect(f.events()).To(BeZero())

		f.silence("a")
		time.Sleep(time.Minute)
		f.Expect(f.events()).To(Equal(1))
		instances, _ := f.observe(1, pod("a", true))
		f.Expect(instances[0].Reached).To(BeFalse())
	})
}

// A pod that is not ready for a while counts on where it was.
func TestObserver_KeepsTheCountsOfAPodThatIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeFleet(t)
		f.observe(1) // the pod is younger than this leadership
		f.set("a", 1, 10)
		f.observe(1, pod("a", false))
		time.Sleep(time.Minute)
		f.Expect(f.requested("a")).To(BeZero(), "it was never ready")
		f.observe(1, pod("a", true))
		time.Sleep(time.Second)
		f.Expect(f.callbacks()).To(BeEquivalentTo(10))
		instances, _ := f.observe(1, pod("a", false))
		f.Expect(instances).To(BeEmpty())
		f.set("a", 1, 12)
		time.Sleep(steadyInterval)
		f.Expect(f.callbacks()).To(BeEquivalentTo(12), "it responds, so it is polled")

		f.silence("a")
		time.Sleep(time.Minute)
		requests := f.requested("a")
		time.Sleep(time.Minute)
		f.Expect(f.requested("a")).To(Equal(requests), "it does not respond, so it is not polled")
		_, complete := f.observe(1, pod("a", true))
		f.Expect(complete).To(BeFalse(), "it is ready again, and its last report is too old")
		time.Sleep(time.Second)
		instances, _ = f.observe(1, pod("a", true))
		f.Expect(instances[0].Reached).To(BeFalse())
	})
}

// A pod that terminates is no instance any more, but its counts are read until it
// is silent; those of another process at its address are not.
func TestObserver_ReadsTheCountsOfAPodThatTerminates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeFleet(t)
		f.observe(1) // the pods are younger than this leadership
		f.set("a", 1, 10)
		f.set("b", 1, 0)
		f.observe(1, pod("a", true), pod("b", true))
		time.Sleep(time.Second)
		f.set("a", 1, 13)
		instances, _ := f.observe(1, pod("a", false), pod("b", true))
		f.Expect(instances).To(HaveLen(1))
		time.Sleep(steadyInterval)
		f.Expect(f.callbacks()).To(BeEquivalentTo(13))
		f.change("a", func(r *routetable.Report) { *r = *newReport("another", 100) })
		time.Sleep(time.Minute)
		f.Expect(f.callbacks()).To(BeEquivalentTo(13))
		f.observe(1, pod("b", true))
		f.Expect(f.callbacks()).To(BeEquivalentTo(13), "a pod that is gone has counted")
		f.Expect(f.observer.fleets[edge].instances).To(HaveLen(1))
		f.observer.Forget(edge)
		f.Expect(f.observer.fleets).To(BeEmpty())
	})
}

// A ready pod without an admin port is an instance that is not reachable; it is
// no reason to poll others more often, nor to wait.
func TestObserver_APodWithoutAnAdminPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeFleet(t)
		instances, complete := f.observe(1, pod("portless", true))
		f.Expect(complete).To(BeTrue())
		f.Expect(instances).To(HaveLen(1))
		f.Expect(instances[0].Reached).To(BeFalse())
	})
}

// A change of health causes a pass at once, counts cause one now and then.
func TestObserver_AnnouncesHealthAtOnceAndTrafficSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeFleet(t)
		f.set("a", 1, 0)
		f.observe(1, pod("a", true))
		time.Sleep(time.Minute + time.Second)
		f.events()
		f.change("a", func(r *routetable.Report) {
			r.Targets = []routetable.TargetReport{{ID: "t", State: routetable.TargetUnhealthy}}
		})
		time.Sleep(steadyInterval)
		f.Expect(f.events()).To(Equal(1))
		time.Sleep(time.Minute)
		f.Expect(f.events()).To(BeZero())

		for n := range int64(30) {
			f.set("a", 1, n+1)
			time.Sleep(steadyInterval)
		}
		f.Expect(f.events()).To(BeElementOf(4, 5), "in a minute of callbacks")
		time.Sleep(time.Minute)
		f.events()
	})
}

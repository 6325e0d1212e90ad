// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"context"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/installation"
)

const (
	// changes is how many routes are changed, one after the other.
	changes = 10
	// changePatience is how long one change may take.
	changePatience = 30 * time.Second
	// probeInterval is the time between two callbacks of a probe.
	probeInterval = time.Millisecond
)

// configEvent is an event of a part of a config.
type configEvent struct {
	at    time.Time
	kind  watch.EventType
	name  string
	fleet string
}

// change switches the primary backend of some routes, one after the other, and
// reports how long each step took from the moment of the request to the API
// server.
func (r *run) change() {
	r.b.Helper()
	events := r.watchConfigs()
	r.lapse.begin()
	var published, served, programmed []time.Duration
	var shards []int
	for i := range changes {
		p := placeOf(i * r.n / changes)
		drain(events)
		done := r.tracker.expect(1, func(route *callbackv1alpha1.CallbackRoute) bool {
			return route.Name == p.name() && route.Generation > 1 && isProgrammed(route)
		})
		probe := r.probe(p, colours[1])
		began := time.Now()
		r.Expect(r.switchOver(r.ctx, p)).To(Succeed())
		at, created := r.waitIndex(events, p.fleet)
		published, shards = append(published, at.Sub(began)), append(shards, created)
		at = <-probe
		r.Expect(at).NotTo(BeZero(), "the proxy does not serve the change")
		served = append(served, at.Sub(began))
		at, err := r.tracker.wait(r.ctx, done, changePatience)
		r.Expect(err).NotTo(HaveOccurred())
		programmed = append(programmed, at.Sub(began))
	}
	phase := fmt.Sprintf("%d changes", changes)
	writes, _ := split(r.lapse.end(phase))
	r.judge("one change: until published, median/max", spread(published), "under 300 ms", slices.Max(published) < 300*time.Millisecond)
	r.report("one change: until served, median/max", spread(served))
	r.report("one change: until Programmed, median/max", spread(programmed))
	r.judge("one change: shards written, least/most", fmt.Sprintf("%d/%d", slices.Min(shards), slices.Max(shards)),
		"1", slices.Min(shards) == 1 && slices.Max(shards) == 1)
	delete(writes, "PUT callbackroutes")
	r.reportWrites(phase, writes)
}

func spread(took []time.Duration) string {
	slices.Sort(took)
	return millis(took[len(took)/2]) + "/" + millis(took[len(took)-1])
}

// switchOver gives the whole weight of a route to the second backend.
func (r *run) switchOver(ctx context.Context, p place) error {
	return r.edit(ctx, p, func(route *callbackv1alpha1.CallbackRoute) {
		for i := range route.Spec.Backends {
			weight := int32(100 * i)
			route.Spec.Backends[i].Weight = &weight
		}
	})
}

// edit updates a route as a client with a cache does.
func (r *run) edit(ctx context.Context, p place, change func(*callbackv1alpha1.CallbackRoute)) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		object, found, err := r.tracker.store.GetByKey(tenant(p.tenant) + "/" + p.name())
		if err != nil || !found {
			return fmt.Errorf("find route %s: %w", p.name(), err)
		}
		route := object.(*callbackv1alpha1.CallbackRoute).DeepCopy()
		change(route)
		return r.Client.Update(ctx, route)
	})
}

// watchConfigs returns the events of the parts of all configs, without their
// content.
func (r *run) watchConfigs() <-chan configEvent {
	r.b.Helper()
	kind := callbackv1alpha1.SchemeGroupVersion.WithKind("CallbackProxyConfigList")
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind)
	r.Expect(r.Client.List(r.ctx, list, client.InNamespace(installation.Namespace))).To(Succeed())
	w, err := r.Client.Watch(r.ctx, list, client.InNamespace(installation.Namespace),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	r.Expect(err).NotTo(HaveOccurred())
	r.b.Cleanup(w.Stop)
	events := make(chan configEvent, 1024)
	go func() {
		for e := range w.ResultChan() {
			if object, is := e.Object.(*metav1.PartialObjectMetadata); is {
				events <- configEvent{time.Now(), e.Type, object.Name, object.Labels[callbackv1alpha1.ProxyLabel]}
			}
		}
		close(events)
	}()
	return events
}

// waitIndex waits until the index of a fleet is written and returns when that
// was and how many shards were created for it.
func (r *run) waitIndex(events <-chan configEvent, number int) (at time.Time, shards int) {
	r.b.Helper()
	timer := time.NewTimer(changePatience)
	defer timer.Stop()
	for {
		select {
		case e, open := <-events:
			r.Expect(open).To(BeTrue(), "the watch of the configs ended")
			switch {
			case e.fleet != fleet(number):
			case e.name == e.fleet && e.kind == watch.Modified:
				return e.at, shards
			case e.name != e.fleet && e.kind == watch.Added:
				shards++
			}
		case <-timer.C:
			r.Expect(false).To(BeTrue(), "the change was not published; the manager's log ends with\n%s", r.logTail())
		}
	}
}

// probe sends callbacks of a route until a backend responds, and returns when
// that was; the zero time when it never did.
func (r *run) probe(p place, backend string) <-chan time.Time {
	r.b.Helper()
	c, err := newCaller(r.Proxies[p.fleet].Address)
	r.Expect(err).NotTo(HaveOccurred())
	served := make(chan time.Time, 1)
	go func() {
		defer c.close()
		for began := time.Now(); time.Since(began) < changePatience; time.Sleep(probeInterval) {
			_, body, err := c.send(p.callback())
			if err == nil && body == backend {
				served <- time.Now()
				return
			}
		}
		served <- time.Time{}
	}()
	return served
}

// drain drops earlier events.
func drain(events <-chan configEvent) {
	for {
		select {
		case <-events:
		default:
			return
		}
	}
}

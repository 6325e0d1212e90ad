// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// propagation_bench_test.go: the time from a changed route to the first callback at the new backend.

import (
	"slices"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/callbacks"
)

// benchmarkRate is the load during the benchmark, in callbacks per second.
const benchmarkRate = 200

// BenchmarkPropagation switches the primary backend by kubectl apply, again and
// again under load, and reports the time until both proxies served the new one:
// from the start of kubectl, and from the moment at which a watch delivered the
// accepted change. A single failed callback fails it.
func BenchmarkPropagation(b *testing.B) {
	s := install(b, options{})
	s.apply(s.manifest(route{name: "acme", active: "blue"}.object()))
	s.waitFor("acme", "Ready")
	accepted := s.watchGenerations("acme")
	l := s.loadWith(callbacks.Options{Path: "/acme", Rate: benchmarkRate, Backends: []string{"blue", "green"}})

	var sinceStart, sinceAccepted []time.Duration
	backends := []string{"green", "blue"}
	for b.Loop() {
		next := backends[len(sinceStart)%2]
		manifest := s.manifest(route{name: "acme", active: next}.object())
		began := time.Now()
		served := s.firstServed(next)
		s.apply(manifest)
		at := <-served
		sinceStart = append(sinceStart, at.Sub(began))
		sinceAccepted = append(sinceAccepted, at.Sub(<-accepted))
	}
	o := l.Judge(s.ctx, s.sources()...)
	report := func(name string, took []time.Duration) {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, name+"-median-ms")
		b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, name+"-max-ms")
	}
	report("kubectl-to-served", sinceStart)
	report("accepted-to-served", sinceAccepted)
	b.ReportMetric(float64(o.Sent), "callbacks")
	b.ReportMetric(float64(o.Failed+o.Broken()), "failed")
	b.ReportMetric(0, "ns/op")
	if !o.IsClean() {
		b.Errorf("%s; first: %v", o, o.First)
	}
}

// firstServed sends callbacks to both proxies until a backend responds, and
// returns the later moment of the two.
func (s *system) firstServed(backend string) <-chan time.Time {
	at := make(chan time.Time, 1)
	times := make([]time.Time, len(s.proxies))
	var polling sync.WaitGroup
	for i := range s.proxies {
		polling.Go(func() {
			deadline := time.Now().Add(patience)
			for time.Now().Before(deadline) {
				if _, body := s.call(i, authHost, "/acme"); body == backend {
					times[i] = time.Now()
					return
				}
				s.wait(time.Millisecond)
			}
		})
	}
	go func() {
		polling.Wait()
		at <- slices.MaxFunc(times, time.Time.Compare)
	}()
	return at
}

// watchGenerations returns the times at which a watch delivered the new
// generations of a route.
func (s *system) watchGenerations(name string) <-chan time.Time {
	s.t.Helper()
	w, err := s.Client.Watch(s.ctx, &callbackv1alpha1.CallbackRouteList{}, client.InNamespace("identity"))
	s.Expect(err).NotTo(HaveOccurred())
	s.t.Cleanup(w.Stop)
	seen := make(chan time.Time, 16)
	go func() {
		var last int64
		for event := range w.ResultChan() {
			route, is := event.Object.(*callbackv1alpha1.CallbackRoute)
			if !is || event.Type == watch.Deleted || route.Name != name {
				continue
			}
			// The first event is the present route.
			if last > 0 && route.Generation > last {
				seen <- time.Now()
			}
			last = route.Generation
		}
	}()
	return seen
}

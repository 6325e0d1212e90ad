// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"slices"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// benchmarkRate is the load during the benchmark, in callbacks per second.
const benchmarkRate = 200

// BenchmarkPropagation switches the active backend by kubectl apply, again and
// again under load, and reports how long it took until both proxies served the
// new one: from the start of kubectl, and from the moment at which a watcher
// saw the change accepted. A single failed callback fails it.
func BenchmarkPropagation(b *testing.B) {
	s := start(b)
	s.apply(route{name: "acme"}.String())
	s.waitFor("acme", "Ready")
	accepted := s.watchGenerations()
	l := s.startLoad("/oauth2/callback", benchmarkRate, nil)

	var sinceStart, sinceAccepted []time.Duration
	backends := []string{"green", "blue"}
	for b.Loop() {
		next := backends[len(sinceStart)%2]
		manifest := route{name: "acme", active: next}.String()
		began := time.Now()
		served := s.firstServed(next)
		s.apply(manifest)
		at := <-served
		sinceStart = append(sinceStart, at.Sub(began))
		sinceAccepted = append(sinceAccepted, at.Sub(<-accepted))
	}
	o := s.judge(l)
	report := func(name string, took []time.Duration) {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, name+"-median-ms")
		b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, name+"-max-ms")
	}
	report("kubectl-to-served", sinceStart)
	report("accepted-to-served", sinceAccepted)
	b.ReportMetric(float64(o.Total), "callbacks")
	b.ReportMetric(float64(o.Failed+o.Flawed()), "failed")
	b.ReportMetric(0, "ns/op")
	if o.Failed+o.Flawed() > 0 {
		b.Errorf("%s; first: %s", o, o.First)
	}
}

// firstServed asks both proxies until each was served by a backend, and tells
// when the later one was.
func (s *system) firstServed(backend string) <-chan time.Time {
	at := make(chan time.Time, 1)
	times := make([]time.Time, len(s.proxies))
	var asking sync.WaitGroup
	for i := range s.proxies {
		asking.Go(func() {
			httpClient := newClient()
			deadline := time.Now().Add(patience)
			for time.Now().Before(deadline) {
				if _, body := s.get(httpClient, i, "auth.acme.test", "/oauth2/callback?code=c&state=probe"); body == backend {
					times[i] = time.Now()
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	go func() {
		asking.Wait()
		at <- slices.MaxFunc(times, time.Time.Compare)
	}()
	return at
}

// watchGenerations tells when each new generation of a route was seen.
func (s *system) watchGenerations() <-chan time.Time {
	s.t.Helper()
	c, err := client.NewWithWatch(s.controlPlane.Config, client.Options{Scheme: s.client.Scheme()})
	s.Expect(err).NotTo(HaveOccurred())
	w, err := c.Watch(s.ctx, &callbackv1alpha1.CallbackRouteList{}, client.InNamespace("identity"))
	s.Expect(err).NotTo(HaveOccurred())
	s.t.Cleanup(w.Stop)
	seen := make(chan time.Time, 16)
	go func() {
		var last int64
		for event := range w.ResultChan() {
			route, is := event.Object.(*callbackv1alpha1.CallbackRoute)
			if !is || event.Type == watch.Deleted {
				continue
			}
			// The first event is the route as it stands.
			if last > 0 && route.Generation > last {
				seen <- time.Now()
			}
			last = route.Generation
		}
	}()
	return seen
}

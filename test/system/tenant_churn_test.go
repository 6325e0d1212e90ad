// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/callbacks"
	"github.com/callbackproxy/callback-operator/test/installation"
)

// burst is how long a fleet may publish faster than twice a second.
const burst = 15 * time.Second

// One tenant patches its routes a hundred times a second. The routes that others
// apply, in the same fleet and in another one, are served within 2 s as before,
// and the manager writes at most ten times a second.
func TestF13_OneTenantPatchesWithoutEnd(t *testing.T) {
	s := shared(t, "F13")
	address := s.secondFleet()
	var churning []string
	for i := range 4 {
		name := fmt.Sprintf("churning-%d", i)
		churning = append(churning, name)
		s.declare(claim{namespace: "tenant-a", name: name, host: openHost, path: "/" + name, service: "idp"})
		s.responds(http.StatusOK, openHost, "/"+name, patience)
	}

	var quiet []time.Duration
	for n := range times(4, 20) {
		quiet = append(quiet, s.applyToServe(fmt.Sprintf("quiet-%d", n), "edge", s.proxies[0].Address))
	}
	churn := s.churn("tenant-a", churning, 100)
	s.wait(burst)
	before, began, patches := s.managerWrites(), time.Now(), churn.count.Load()
	s.wait(lasting(10*time.Second, time.Minute))
	during := time.Since(began).Seconds()
	writes := float64(s.managerWrites()-before) / during
	rate := float64(churn.count.Load()-patches) / during
	began = time.Now()
	programmed := s.applyToProgrammed("programmed")
	var same, other []time.Duration
	for n := 0; time.Since(began) < lasting(12*time.Second, 5*time.Minute); n++ {
		same = append(same, s.applyToServe(fmt.Sprintf("same-%d", n), "edge", s.proxies[n%2].Address))
		other = append(other, s.applyToServe(fmt.Sprintf("other-%d", n), "second", address))
		s.wait(500 * time.Millisecond)
	}
	churn.end()
	s.record("%.0f patches/s by one tenant; apply to serve p99 of %d others: same fleet %.2f s (median %.2f), other fleet %.2f s (median %.2f); without that tenant %.2f s (median %.2f)",
		rate, len(same)+len(other), percentile(same, 99), percentile(same, 50), percentile(other, 99), percentile(other, 50), percentile(quiet, 99), percentile(quiet, 50))
	s.record("a neighbour's route in the same fleet is Programmed after %.1f s", programmed.Seconds())
	s.record("%.1f writes/s by the manager, by the API server's count, after the first %.0f s", writes, burst.Seconds())
	s.Expect(rate).To(BeNumerically(">", 50), "the fault was there")
	s.Expect(percentile(same, 99)).To(BeNumerically("<=", 2))
	s.Expect(percentile(other, 99)).To(BeNumerically("<=", 2))
	s.Expect(writes).To(BeNumerically("<=", 10))
	s.converges(patience)
	s.finish()
}

// applyToServe creates a neighbour's route, and returns how long it takes until
// a proxy of that fleet serves it.
func (s *system) applyToServe(name, proxy, address string) time.Duration {
	s.t.Helper()
	r := claim{namespace: "tenant-b", name: name, host: openHost, path: "/" + name, service: "idp"}.object()
	r.Spec.ProxyRef.Name = callbackv1alpha1.ObjectName(proxy)
	began := time.Now()
	s.Expect(s.Client.Create(s.ctx, r)).To(Succeed())
	s.Eventually(func() int {
		status, _ := callbacks.Get(s.ctx, address, openHost, "/"+name+"?"+callbacks.Single())
		return status
	}, patience, 10*time.Millisecond).Should(Equal(http.StatusOK))
	return time.Since(began)
}

// applyToProgrammed creates a neighbour's route, and returns how long it takes
// until its status is Programmed.
func (s *system) applyToProgrammed(name string) time.Duration {
	s.t.Helper()
	began := time.Now()
	s.declare(claim{namespace: "tenant-b", name: name, host: openHost, path: "/" + name, service: "idp"})
	s.Eventually(func() metav1.ConditionStatus {
		return s.condition("tenant-b", name, callbackv1alpha1.ConditionProgrammed).Status
	}, time.Minute, 20*time.Millisecond).Should(Equal(metav1.ConditionTrue))
	return time.Since(began)
}

// percentile is the nearest rank, in seconds.
func percentile(of []time.Duration, p int) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[(len(sorted)*p+99)/100-1].Seconds()
}

// churn is a tenant that changes its routes without end.
type churn struct {
	count  atomic.Int64
	cancel context.CancelFunc
	done   chan struct{}
}

func (c *churn) end() {
	c.cancel()
	<-c.done
}

// churn changes the spec of some routes of a namespace, in turn, at a rate per
// second. One client changes one route: several clients would only cause
// conflicts.
func (s *system) churn(namespace string, names []string, rate int) *churn {
	ctx, cancel := context.WithCancel(s.ctx)
	c := &churn{cancel: cancel, done: make(chan struct{})}
	s.t.Cleanup(cancel)
	var group sync.WaitGroup
	for _, name := range names {
		object := &callbackv1alpha1.CallbackRoute{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		group.Go(func() {
			ticker := time.NewTicker(time.Second * time.Duration(len(names)) / time.Duration(rate))
			defer ticker.Stop()
			for n := 0; ctx.Err() == nil; n++ {
				if s.setOwner(object, fmt.Sprintf("team-%d@acme.test", n)) == nil {
					c.count.Add(1)
				}
				<-ticker.C
			}
		})
	}
	go func() {
		group.Wait()
		close(c.done)
	}()
	return c
}

// managerWrites is the API server's count of writes of the kinds that only the
// manager writes: statuses, configs, events.
func (s *system) managerWrites() int {
	s.t.Helper()
	httpClient, err := rest.HTTPClientFor(s.ControlPlane.Config)
	s.Expect(err).NotTo(HaveOccurred())
	metrics, err := installation.ScrapeWith(s.ctx, httpClient, s.ControlPlane.Config.Host+"/metrics")
	s.Expect(err).NotTo(HaveOccurred())
	total := 0.0
	for _, series := range metrics["apiserver_request_total"].GetMetric() {
		if isManagerWrite(series) {
			total += series.GetCounter().GetValue()
		}
	}
	s.Expect(total).To(BeNumerically(">", 0))
	return int(total)
}

func isManagerWrite(series *dto.Metric) bool {
	of := map[string]string{}
	for _, label := range series.GetLabel() {
		of[label.GetName()] = label.GetValue()
	}
	if !slices.Contains([]string{"POST", "PUT", "PATCH", "APPLY", "DELETE"}, of["verb"]) {
		return false
	}
	return of["resource"] == "callbackproxyconfigs" || of["resource"] == "events" ||
		strings.HasPrefix(of["resource"], "callback") && of["subresource"] == "status"
}

// secondFleet creates the CallbackProxy second and starts a proxy for it, and
// returns the address for its callbacks.
func (s *system) secondFleet() (address string) {
	s.t.Helper()
	object := newFleet("second", openHost)
	s.Expect(s.Client.Create(s.ctx, object)).To(Succeed())
	proxy, err := s.StartProxy(s.ctx, installation.ProxyOptions{Fleet: "second"})
	s.Expect(err).NotTo(HaveOccurred())
	s.after(func() {
		proxy.Kill()
		s.Expect(s.Client.Delete(s.ctx, proxy.Pod)).To(Succeed())
		s.Expect(s.Client.Delete(s.ctx, object)).To(Succeed())
		// There is no garbage collector here.
		s.Expect(s.Client.DeleteAllOf(s.ctx, &callbackv1alpha1.CallbackProxyConfig{}, client.InNamespace(fleet.Namespace),
			client.MatchingLabels{callbackv1alpha1.ProxyLabel: "second"})).To(Succeed())
	})
	s.Expect(proxy.WaitReady(s.ctx)).To(Succeed())
	return proxy.Address
}

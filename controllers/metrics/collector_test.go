// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
)

// cached is a cache that holds the objects of a test.
type cached struct {
	client.Reader
	routes  []kube.Route
	proxies []kube.Proxy
	fails   error
	hangs   bool
}

func (c *cached) List(ctx context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if c.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	switch list := list.(type) {
	case *kube.RouteList:
		list.Items = c.routes
	case *kube.ProxyList:
		list.Items = c.proxies
	default:
		return fmt.Errorf("list of unexpected type %T", list)
	}
	return c.fails
}

// page returns the page of one scrape.
func (c *cached) page(t testing.TB) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCollector(c, registry))
	return pageOf(t, registry)
}

func pageOf(t testing.TB, registry prometheus.Gatherer) string {
	t.Helper()
	found, err := registry.Gather()
	if err != nil {
		t.Fatalf("gather: %v", err)
	}
	var text bytes.Buffer
	encoder := expfmt.NewEncoder(&text, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, metricFamily := range found {
		if err := encoder.Encode(metricFamily); err != nil {
			t.Fatalf("encode: %v", err)
		}
	}
	return text.String()
}

// samples returns the lines of a page that are no comments.
func samples(page string) []string {
	var lines []string
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}

// atSecond is an instant, in seconds after the year 2030 began.
func atSecond(s int64) metav1.Time { return metav1.Unix(1893456000+s, 0) }

// exported returns a cache with an object for every exported family.
func exported() *cached {
	route := kube.Route{CallbackRoute: callbackv1alpha1.CallbackRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: "identity", Name: "acme"},
		Spec: callbackv1alpha1.CallbackRouteSpec{
			ProxyRef:        callbackv1alpha1.ProxyReference{Namespace: "platform", Name: "edge"},
			Hostnames:       []callbackv1alpha1.Hostname{"auth.acme.test", "login.acme.test"},
			Callbacks:       []callbackv1alpha1.Callback{{Name: "login", Path: "/oauth2/callback"}},
			DeprecationTime: new(atSecond(10)),
			SunsetTime:      atSecond(20),
			AfterSunset:     callbackv1alpha1.AfterSunsetReject,
			Owner:           "identity-team@acme.test",
		},
		Status: callbackv1alpha1.CallbackRouteStatus{
			PrimaryBackend: "green",
			Conditions: []metav1.Condition{
				{Type: "Accepted", Status: "True", Reason: "Accepted", Message: "free text"},
				{Type: "Ready", Status: "False", Reason: "SunsetPassed", Message: "free text"},
			},
			Backends: []callbackv1alpha1.BackendStatus{
				{Name: "blue", Health: callbackv1alpha1.HealthUnhealthy, Reason: "BackendUnhealthy", LastCallbackTime: new(atSecond(5))},
				{Name: "green", Health: callbackv1alpha1.HealthHealthy},
				{Name: "grey", Health: callbackv1alpha1.HealthUnknown},
			},
			Traffic: &callbackv1alpha1.Traffic{
				LastCallbackTime: new(atSecond(30)), Callbacks: new(int64(7)), AfterSunset: new(int64(2)),
			},
		},
	}}
	proxy := kube.Proxy{CallbackProxy: callbackv1alpha1.CallbackProxy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "edge"},
		Status: callbackv1alpha1.CallbackProxyStatus{
			Conditions:       []metav1.Condition{{Type: "Programmed", Status: "False", Reason: "Pending", Message: "free text"}},
			Routes:           &callbackv1alpha1.RouteCounts{Total: new(int32(3)), Accepted: new(int32(1))},
			ConfigGeneration: 4,
			Instances: []callbackv1alpha1.ProxyInstance{
				{Pod: "edge-1", State: callbackv1alpha1.InstanceCurrent, Generation: 4},
				{Pod: "edge-2", State: callbackv1alpha1.InstanceUnreachable},
			},
		},
	}}
	return &cached{routes: []kube.Route{route}, proxies: []kube.Proxy{proxy}}
}

func TestCollector_ExportsStatuses(t *testing.T) {
	NewWithT(t).Expect(samples(exported().page(t))).To(Equal([]string{
		`callback_operator_collector_success 1`,
		`callbackproxy_accepted_routes{name="edge",namespace="platform"} 1`,
		`callbackproxy_instance_config_generation{name="edge",namespace="platform",pod="edge-1"} 4`,
		`callbackproxy_instance_state{name="edge",namespace="platform",pod="edge-1",state="Current"} 1`,
		`callbackproxy_instance_state{name="edge",namespace="platform",pod="edge-2",state="Unreachable"} 1`,
		`callbackproxy_published_config_generation{name="edge",namespace="platform"} 4`,
		`callbackproxy_routes{name="edge",namespace="platform"} 3`,
		`callbackproxy_status_condition{name="edge",namespace="platform",reason="Pending",status="False",type="Programmed"} 1`,
		`callbackroute_backend_healthy{backend="blue",name="acme",namespace="identity"} 0`,
		`callbackroute_backend_healthy{backend="green",name="acme",namespace="identity"} 1`,
		`callbackroute_backend_last_callback_timestamp_seconds{backend="blue",name="acme",namespace="identity"} 1.893456005e+09`,
		`callbackroute_callbacks_after_sunset_total{name="acme",namespace="identity"} 2`,
		`callbackroute_callbacks_total{name="acme",namespace="identity"} 7`,
		`callbackroute_deprecation_timestamp_seconds{name="acme",namespace="identity"} 1.89345601e+09`,
		`callbackroute_info{after_sunset="Reject",hostname="auth.acme.test",name="acme",namespace="identity",` +
			`owner="identity-team@acme.test",path="/oauth2/callback",primary_backend="green",proxy="edge",proxy_namespace="platform"} 1`,
		`callbackroute_last_callback_timestamp_seconds{name="acme",namespace="identity"} 1.89345603e+09`,
		`callbackroute_status_condition{name="acme",namespace="identity",reason="Accepted",status="True",type="Accepted"} 1`,
		`callbackroute_status_condition{name="acme",namespace="identity",reason="SunsetPassed",status="False",type="Ready"} 1`,
		`callbackroute_sunset_timestamp_seconds{name="acme",namespace="identity"} 1.89345602e+09`,
	}))
}

// promlint finds names and help texts that break the conventions.
func TestCollector_KeepsTheConventionsOfPrometheus(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(exported().page(t))).Lint()
	g := NewWithT(t)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(problems).To(BeEmpty())
}

// A new or undecodable object has few series, and a deleted one has none.
func TestCollector_ExportsOnlyKnownValues(t *testing.T) {
	g := NewWithT(t)
	fresh := kube.Route{DecodeError: "no time"}
	fresh.Namespace, fresh.Name = "identity", "acme"
	fresh.Spec.ProxyRef.Name = "edge"
	proxy := kube.Proxy{CallbackProxy: callbackv1alpha1.CallbackProxy{ObjectMeta: metav1.ObjectMeta{Namespace: "identity", Name: "edge"}}}
	lost := kube.Route{DecodeError: "no proxyRef"}
	lost.Namespace, lost.Name = "identity", "lost"
	unread := kube.Proxy{DecodeError: "no port", CallbackProxy: *proxy.DeepCopy()}
	unread.Name = "odd"
	page := (&cached{routes: []kube.Route{fresh, lost}, proxies: []kube.Proxy{proxy, unread}}).page(t)
	g.Expect(samples(page)).To(Equal([]string{
		`callback_operator_collector_success 1`,
		`callback_operator_undecodable_proxy{name="odd",namespace="identity"} 1`,
		`callback_operator_undecodable_route{name="acme",namespace="identity",proxy="edge",proxy_namespace="identity"} 1`,
		`callback_operator_undecodable_route{name="lost",namespace="identity",proxy="",proxy_namespace="identity"} 1`,
		`callbackroute_info{after_sunset="",hostname="",name="acme",namespace="identity",` +
			`owner="",path="",primary_backend="",proxy="edge",proxy_namespace="identity"} 1`,
		`callbackroute_info{after_sunset="",hostname="",name="lost",namespace="identity",` +
			`owner="",path="",primary_backend="",proxy="",proxy_namespace="identity"} 1`,
	}))
	g.Expect(samples((&cached{}).page(t))).To(Equal([]string{`callback_operator_collector_success 1`}))
}

// One object that an older schema let in does not cost the whole page.
func TestCollector_ExportsAHostileStatus(t *testing.T) {
	g := NewWithT(t)
	cache := exported()
	route, proxy := &cache.routes[0], &cache.proxies[0]
	route.Status.Conditions = append(route.Status.Conditions, route.Status.Conditions...)
	route.Status.Backends = append(route.Status.Backends, route.Status.Backends...)
	proxy.Status.Conditions = append(proxy.Status.Conditions, proxy.Status.Conditions...)
	proxy.Status.Instances = append(proxy.Status.Instances, proxy.Status.Instances...)
	want := len(samples(exported().page(t)))
	g.Expect(samples(cache.page(t))).To(HaveLen(want))

	route.Spec.Owner = "\xff\n\"" + strings.Repeat("x", 10_000)
	page := cache.page(t)
	g.Expect(samples(page)).To(HaveLen(want))
	g.Expect(len(page)).To(BeNumerically("<", 6_000))
}

func TestCollector_ReportsAnUnreadableCache(t *testing.T) {
	cache := exported()
	cache.fails = errors.New("no cache")
	NewWithT(t).Expect(samples(cache.page(t))).To(Equal([]string{`callback_operator_collector_success 0`}))
}

func TestCollector_BoundsAScrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		begin := time.Now()
		g.Expect(samples((&cached{hangs: true}).page(t))).To(Equal([]string{`callback_operator_collector_success 0`}))
		g.Expect(time.Since(begin)).To(Equal(collectTimeout))
	})
}

// A manager that does not lead exports nothing, so each route has one series.
func TestCollector_ExportsWhileItLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		registry := prometheus.NewRegistry()
		collector := newCollector(exported(), registry)
		var elected manager.LeaderElectionRunnable = collector
		g.Expect(elected.NeedLeaderElection()).To(BeTrue())
		g.Expect(pageOf(t, registry)).To(BeEmpty())

		ctx, lose := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- collector.Start(ctx) }()
		synctest.Wait()
		g.Expect(pageOf(t, registry)).To(ContainSubstring(`callbackroute_info{`))

		// A second manager of the same process neither fails nor exports.
		second, stop := context.WithCancel(t.Context())
		go func() { ended <- newCollector(exported(), registry).Start(second) }()
		synctest.Wait()
		stop()
		g.Expect(<-ended).To(Succeed())
		g.Expect(pageOf(t, registry)).To(ContainSubstring(`callbackroute_info{`))

		lose()
		g.Expect(<-ended).To(Succeed())
		g.Expect(pageOf(t, registry)).To(BeEmpty())
	})
}

// The benchmark measures a scrape at up to ten thousand routes: time, allocations,
// and the bytes and series of the page.
func BenchmarkCollector_Scrape(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			cache := exported()
			template := cache.routes[0]
			template.Status.Backends = template.Status.Backends[:2]
			template.Status.Conditions = nil
			for _, kind := range []string{"Accepted", "ResolvedRefs", "Programmed", "BackendsHealthy", "Ready"} {
				template.Status.Conditions = append(template.Status.Conditions, metav1.Condition{Type: kind, Status: "True", Reason: kind})
			}
			template.Status.Traffic = &callbackv1alpha1.Traffic{LastCallbackTime: new(atSecond(30)), Callbacks: new(int64(7))}
			template.Spec.DeprecationTime = nil
			cache.routes = make([]kube.Route, n)
			for i := range cache.routes {
				cache.routes[i] = template
				cache.routes[i].Name = fmt.Sprintf("route-%05d", i)
			}
			b.ReportAllocs()
			page := ""
			for b.Loop() {
				page = cache.page(b)
			}
			b.ReportMetric(float64(len(page)), "page-bytes")
			b.ReportMetric(float64(len(samples(page))), "series")
		})
	}
}

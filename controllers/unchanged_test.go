// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/observe"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// The property that spares the API server: passes over unchanged objects write
// nothing and emit no event, whatever is wrong with the objects, and while time
// passes in which nothing is due.
func TestReconcile_AnUnchangedWorldIsLeftAlone(t *testing.T) {
	t.Parallel()
	cp := laxControlPlane(t)
	w := newWorld(t, cp)
	look := w.onlooker(cp.Config)
	w.everythingAtOnce()
	unchanged := func() {
		t.Helper()
		w.rest()
		w.events.take()
		w.writes.take()
		before := look()
		for _, step := range []time.Duration{0, time.Minute} {
			for range 10 {
				w.clock.SetTime(w.clock.Now().Add(step))
				w.reconcile()
			}
			w.passes(w.proxyKey()) // without asking anew
			w.passes(w.missingProxy())
		}
		w.Expect(w.writes.take()).To(BeEmpty())
		w.Expect(w.events.take()).To(BeEmpty())
		w.Expect(look()).To(Equal(before))
	}
	unchanged()
	w.expectReasons(map[string]string{
		"fine": "Programmed Ready", "marked": "Programmed Ready", "deprecated": "Deprecated", "approaching": "SunsetApproaching Ready",
		"held": "SunsetHeld SunsetPassed Ready", "passed": "SunsetPassed", "warned": "SunsetPassed Ready",
		"ill": "BackendUnhealthy", "empty": "NoReadyEndpoints", "foreign": "RefNotPermitted", "absent": "BackendNotFound",
		"usurper": "Conflict", "squatter": "HostNotAllowed", "undecodable": "Undecodable", "nowhere": "ProxyNotFound",
	})
	w.Expect(*w.route("warned").Status.Traffic.AfterSunset).To(BeEquivalentTo(3))

	quarrel := &quarrelling{acknowledging: w.fleet}
	w.reconciler.Observer = observe.New(w.client, quarrel, w.clock)
	unchanged()
	w.Expect(w.liveProxy().Status.Instances).To(HaveExactElements(
		HaveField("State", callbackv1alpha1.InstanceCurrent), HaveField("State", callbackv1alpha1.InstanceRefused), HaveField("State", callbackv1alpha1.InstanceUnreachable)))
	w.expectReasons(map[string]string{"fine": "RefusedByProxy"})

	w.newLeader()
	w.fleet.targets, w.fleet.uses = quarrel.targets, quarrel.uses
	w.reconciler.Observer = observe.New(w.client, &quarrelling{acknowledging: w.fleet}, w.clock)
	before := look()
	w.rest()
	w.Expect(w.events.take()).To(BeEmpty(), "a new leadership repeats nothing")
	after := look()
	maps.DeleteFunc(after, func(object, version string) bool { return before[object] == version })
	w.Expect(slices.Collect(maps.Keys(after))).To(ConsistOf(HaveSuffix("callbackproxyconfigs "+w.proxyKey().String())), "and writes its epoch alone")
	unchanged()
}

// everythingAtOnce makes a world in which everything is wrong that can be.
func (w *world) everythingAtOnce() {
	w.t.Helper()
	type spec = callbackv1alpha1.CallbackRouteSpec
	ends := func(in time.Duration) func(*spec) {
		return func(s *spec) { s.SunsetTime = metav1.NewTime(w.clock.Now().Add(in).Truncate(time.Second)) }
	}
	blue := func(namespace, service string) func(*spec) {
		return func(s *spec) {
			s.Backends = s.Backends[:1]
			s.Backends[0].Service = callbackv1alpha1.ServiceReference{
				Namespace: callbackv1alpha1.Namespace(namespace), Name: callbackv1alpha1.ObjectName(service), Port: 8080,
			}
		}
	}
	held, marked := w.newRoute("held", ends(-time.Hour)), w.newRoute("marked")
	held.Annotations = map[string]string{callbackv1alpha1.HoldAnnotation: "green fails its load test, INC-7"}
	marked.Annotations = map[string]string{"team": "identity"}
	w.migration(
		w.newRoute("fine", func(s *spec) { s.Backends[0].HealthCheck = &callbackv1alpha1.HealthCheck{Path: "/healthz"} }), held, marked,
		w.newRoute("deprecated", func(s *spec) { s.DeprecationTime = &metav1.Time{Time: w.clock.Now().Add(-day).Truncate(time.Second)} }),
		w.newRoute("approaching", ends(5*day)), w.newRoute("passed", ends(-time.Hour)),
		w.newRoute("warned", ends(-time.Hour), func(s *spec) { s.AfterSunset = callbackv1alpha1.AfterSunsetServe }),
		w.newRoute("ill", blue("", "ill")), w.newRoute("empty", blue("", "empty")),
		w.newRoute("foreign", blue(w.other, "sso")), w.newRoute("absent", blue("", "nothing")),
		w.newRoute("usurper", func(s *spec) { s.Callbacks[0].Path = "/fine" }),
		w.newRoute("squatter", func(s *spec) { s.Hostnames = []callbackv1alpha1.Hostname{"auth.other.test"} }),
		w.newRoute("nowhere", func(s *spec) { s.ProxyRef.Name = callbackv1alpha1.ObjectName(w.missingProxy().Name) }),
	)
	w.create(w.service(w.identity, "ill"), w.service(w.identity, "empty"), w.service(w.other, "sso"))
	w.endpoints("empty", false)
	w.createRaw("undecodable", map[string]any{"sunsetTime": "2027-01-31t00:00:00z"})
	for pod, address := range map[string]string{"edge-2": refusing, "edge-3": silent} {
		_, err := fixture.ProxyPod(w.ctx, w.client, w.platform, "edge", pod, address, 9090)
		w.Expect(err).NotTo(HaveOccurred())
	}
	w.fleetIn(callbackv1alpha1.ModeDeployment, func(s *callbackv1alpha1.CallbackProxySpec) {
		s.Policy.AllowedAfterSunset = []callbackv1alpha1.AfterSunset{callbackv1alpha1.AfterSunsetReject, callbackv1alpha1.AfterSunsetServe}
	})
	w.settle()
	w.whatInstancesSay()
}

// whatInstancesSay of that world: a backend is ill, others are well, and
// callbacks came to most routes, to some of them after their end.
func (w *world) whatInstancesSay() {
	w.t.Helper()
	for _, route := range w.table().Routes {
		last := w.clock.Now().Add(-time.Minute).UTC()
		use := routetable.RouteUse{UID: route.UID, Callbacks: 7, Other: 2, Refused: 1, Last: last}
		use.Backends = []routetable.BackendUse{{Name: "blue", Callbacks: 4, Last: last}}
		backend := &route.Backends[0]
		for _, address := range backend.Addresses {
			report := routetable.TargetReport{ID: routetable.TargetID(address, backend.Check), State: routetable.TargetHealthy}
			if route.Name == "ill" {
				report.State, report.Reason = routetable.TargetUnhealthy, routetable.TargetUnreachable
			}
			w.fleet.targets = append(w.fleet.targets, report)
		}
		switch route.Name {
		case "warned", "passed":
			use.AfterSunset = 1 // told by each of three instances
		case "marked":
			continue // no callback ever came
		}
		w.fleet.uses = append(w.fleet.uses, use)
	}
}

// missingProxy names a CallbackProxy that does not exist.
func (w *world) missingProxy() types.NamespacedName {
	return types.NamespacedName{Namespace: w.platform, Name: "missing"}
}

func (w *world) passes(fleet types.NamespacedName) {
	w.t.Helper()
	_, err := w.pass(fleet)
	w.Expect(err).NotTo(HaveOccurred())
}

// rest settles, and waits for everything that has time as well.
func (w *world) rest() {
	w.t.Helper()
	w.passes(w.missingProxy())
	for range 100 {
		w.settle()
		again := w.reconcile().RequeueAfter
		if again == 0 || again > time.Minute {
			return
		}
		w.clock.SetTime(w.clock.Now().Add(again))
	}
	w.t.Fatal("the world does not come to rest")
}

// expectReasons expects reasons among those of a route's conditions.
func (w *world) expectReasons(wanted map[string]string) {
	w.t.Helper()
	for name, reasons := range wanted {
		var has []string
		for _, c := range w.route(name).Status.Conditions {
			has = append(has, c.Reason)
		}
		for reason := range strings.FieldsSeq(reasons) {
			w.Expect(has).To(ContainElement(reason), name)
		}
	}
}

// onlooker returns a look at everything that a spec's namespaces hold, of every
// kind that the API server knows, Events too: the version of each object.
func (w *world) onlooker(config *rest.Config) (look func() map[string]string) {
	w.t.Helper()
	config = rest.CopyConfig(config)
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	kinds, err := discovery.NewDiscoveryClientForConfigOrDie(config).ServerPreferredNamespacedResources()
	w.Expect(err).NotTo(HaveOccurred())
	listed := discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "get"}}, kinds)
	resources, err := discovery.GroupVersionResources(listed)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(resources).To(And(HaveKey(schema.GroupVersionResource{Version: "v1", Resource: "events"}),
		HaveKey(callbackv1alpha1.SchemeGroupVersion.WithResource("callbackroutes"))))
	client := metadata.NewForConfigOrDie(config)
	return func() map[string]string {
		w.t.Helper()
		versions := map[string]string{}
		for resource := range resources {
			for _, namespace := range []string{w.platform, w.identity, w.other} {
				list, err := client.Resource(resource).Namespace(namespace).List(w.ctx, metav1.ListOptions{})
				w.Expect(err).NotTo(HaveOccurred())
				for _, item := range list.Items {
					if slices.ContainsFunc(item.ManagedFields, func(f metav1.ManagedFieldsEntry) bool { return f.Manager == "kube-apiserver" }) {
						continue // such as its Events about Services
					}
					versions[resource.String()+" "+namespace+"/"+item.Name] = item.ResourceVersion
				}
			}
		}
		return versions
	}
}

// The addresses of instances that quarrel.
const refusing, silent = "127.0.0.10", "127.0.0.11"

// quarrelling is a fleet in which one instance refuses what is published, and
// one says nothing.
type quarrelling struct{ *acknowledging }

func (q *quarrelling) Report(ctx context.Context, address, cursor string) (*routetable.Report, error) {
	one := *q.acknowledging
	switch host, _, _ := net.SplitHostPort(address); host {
	case refusing:
		one.refuse = "a route that this proxy cannot read"
	case silent:
		one.silent = true
	}
	return one.Report(ctx, address, cursor)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
)

const (
	// collectTimeout bounds one scrape: Prometheus gives up after ten seconds.
	collectTimeout = 5 * time.Second
	// maxLabelBytes is the longest label value. The schema allows longer paths,
	// and objects of a careless schema anything.
	maxLabelBytes = 256
)

// Collector exports what the routes and the CallbackProxies of the cache say
// at the moment of a scrape: what is deleted is gone from the next one, and
// between two nothing is kept. A label holds names and constants of the API, a
// route's hostname, path and owner, and no free text of a condition.
//
// The manager runs it only while it leads, so of several managers one exports.
type Collector struct {
	reader   client.Reader
	registry prometheus.Registerer
}

// NewCollector returns a Collector that reads from a cache.
func NewCollector(cache client.Reader) *Collector {
	return &Collector{reader: cache, registry: metrics.Registry}
}

// Start exports until ctx ends. Of several managers in one process, which
// share the registry, the first one does.
func (c *Collector) Start(ctx context.Context) error {
	var registered prometheus.AlreadyRegisteredError
	switch err := c.registry.Register(c); {
	case err == nil:
		defer c.registry.Unregister(c)
	case !errors.As(err, &registered):
		return fmt.Errorf("register collector: %w", err)
	}
	<-ctx.Done()
	return nil
}

// NeedLeaderElection says that only the leader exports.
func (c *Collector) NeedLeaderElection() bool { return true }

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range families {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector. When the cache cannot be read, the
// rest of the page is still served, and collectorSuccess says so: an invalid
// metric would turn the whole page into an error.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	var routes kube.RouteList
	var proxies kube.ProxyList
	for _, list := range []client.ObjectList{&routes, &proxies} {
		err := c.reader.List(ctx, list, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)
		if err != nil {
			collectorSuccess.send(ch, 0)
			return
		}
	}
	collectorSuccess.send(ch, 1)
	for i := range routes.Items {
		collectRoute(ch, &routes.Items[i])
	}
	for i := range proxies.Items {
		collectProxy(ch, &proxies.Items[i])
	}
}

// collectRoute exports one route. Of an undecodable one only the names and a
// readable status are there.
func collectRoute(ch chan<- prometheus.Metric, stored *kube.Route) {
	route := &stored.CallbackRoute
	namespace, name := route.Namespace, route.Name
	spec, status := &route.Spec, &route.Status
	fleet := proxyKey(route)
	if stored.DecodeError != "" {
		undecodableRoute.send(ch, 1, fleet.Namespace, fleet.Name, namespace, name)
	}
	hostname := ""
	if len(spec.Hostnames) > 0 {
		hostname = string(spec.Hostnames[0])
	}
	path := ""
	if len(spec.Callbacks) > 0 {
		path = string(spec.Callbacks[0].Path)
	}
	routeInfo.send(ch, 1, namespace, name, fleet.Namespace, fleet.Name, hostname, path,
		status.PrimaryBackend, spec.Owner, string(spec.AfterSunset))
	routeSunset.sendTime(ch, &spec.SunsetTime, namespace, name)
	routeDeprecation.sendTime(ch, spec.DeprecationTime, namespace, name)
	collectConditions(ch, routeCondition, status.Conditions, namespace, name)

	seen := map[string]struct{}{}
	for i := range status.Backends {
		backend := &status.Backends[i]
		if !firstTime(seen, backend.Name) {
			continue
		}
		switch backend.Health {
		case callbackv1alpha1.HealthHealthy:
			backendHealthy.send(ch, 1, namespace, name, backend.Name)
		case callbackv1alpha1.HealthUnhealthy:
			backendHealthy.send(ch, 0, namespace, name, backend.Name)
		case callbackv1alpha1.HealthUnknown: // neither: there is no series
		}
		backendLast.sendTime(ch, backend.LastCallbackTime, namespace, name, backend.Name)
	}
	if traffic := status.Traffic; traffic != nil {
		routeLast.sendTime(ch, traffic.LastCallbackTime, namespace, name)
		routeCallbacks.sendCount(ch, traffic.Callbacks, namespace, name)
		routeLate.sendCount(ch, traffic.AfterSunset, namespace, name)
	}
}

// collectProxy exports one CallbackProxy and its instances.
func collectProxy(ch chan<- prometheus.Metric, proxy *kube.Proxy) {
	namespace, name := proxy.Namespace, proxy.Name
	status := &proxy.Status
	if proxy.DecodeError != "" {
		undecodableProxy.send(ch, 1, namespace, name)
	}
	collectConditions(ch, proxyCondition, status.Conditions, namespace, name)
	if routes := status.Routes; routes != nil && routes.Total != nil && routes.Accepted != nil {
		proxyRoutes.send(ch, float64(*routes.Total), namespace, name)
		proxyAcceptedRoutes.send(ch, float64(*routes.Accepted), namespace, name)
	}
	if status.ConfigGeneration > 0 {
		publishedGeneration.send(ch, float64(status.ConfigGeneration), namespace, name)
	}
	seen := map[string]struct{}{}
	for i := range status.Instances {
		instance := &status.Instances[i]
		if !firstTime(seen, instance.Pod) {
			continue
		}
		instanceState.send(ch, 1, namespace, name, instance.Pod, string(instance.State))
		if instance.Generation > 0 {
			instanceGeneration.send(ch, float64(instance.Generation), namespace, name, instance.Pod)
		}
	}
}

// collectConditions exports one series per condition, that of its present
// status and reason. Three, one for each status, would be a quarter of a
// million at ten thousand routes, and say nothing more.
func collectConditions(ch chan<- prometheus.Metric, f family, conditions []metav1.Condition, namespace, name string) {
	seen := map[string]struct{}{}
	for i := range conditions {
		if c := &conditions[i]; firstTime(seen, c.Type) {
			f.send(ch, 1, namespace, name, c.Type, string(c.Status), c.Reason)
		}
	}
}

// firstTime says whether a key comes for the first time. Two series with the same
// labels would turn the whole page into an error, and a list in an object of a
// careless schema can name anything twice.
func firstTime(seen map[string]struct{}, key string) bool {
	if _, again := seen[key]; again {
		return false
	}
	seen[key] = struct{}{}
	return true
}

// send exports one sample. The values are in the order of the family's labels.
func (f family) send(ch chan<- prometheus.Metric, value float64, labels ...string) {
	for i, label := range labels {
		labels[i] = labelValue(label)
	}
	ch <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
}

// sendTime exports an instant in Unix seconds, nothing for none.
func (f family) sendTime(ch chan<- prometheus.Metric, at *metav1.Time, labels ...string) {
	if !at.IsZero() {
		f.send(ch, float64(at.Unix()), labels...)
	}
}

// sendCount exports a count, nothing for none.
func (f family) sendCount(ch chan<- prometheus.Metric, count *int64, labels ...string) {
	if count != nil {
		f.send(ch, float64(*count), labels...)
	}
}

// labelValue bounds a value and makes it one that Prometheus accepts.
func labelValue(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxLabelBytes)], "")
}

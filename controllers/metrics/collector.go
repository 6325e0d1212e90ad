// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package metrics exports the statuses of CallbackRoutes and CallbackProxies. In:
// the cache; out: one Prometheus collector. The counters of what the manager does
// are in the packages that do it.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/controllers/kube"
)

const (
	// collectTimeout bounds one scrape: Prometheus gives up after ten seconds.
	collectTimeout = 5 * time.Second
	// maxLabelBytes is the longest label value. The schema allows longer paths,
	// and an object that was stored under an older schema may hold any length.
	maxLabelBytes = 256
)

// Collector exports the routes and CallbackProxies of the cache at the moment of
// a scrape: a deleted object is absent from the next one, and the Collector keeps
// nothing in between. A label holds names and constants of the API and a route's
// hostname, path and owner, but no free text of a condition.
//
// The manager runs it only while it leads, so one of several managers exports.
type Collector struct {
	reader   client.Reader
	registry prometheus.Registerer
	success  *prometheus.Desc
}

// NewCollector returns a Collector that reads from a cache and registers itself
// in the manager's registry.
func NewCollector(cache client.Reader) *Collector { return newCollector(cache, metrics.Registry) }

func newCollector(cache client.Reader, registry prometheus.Registerer) *Collector {
	return &Collector{
		reader:   cache,
		registry: registry,
		success: prometheus.NewDesc("callback_operator_collector_success",
			"1 when the leading manager could read its cache for this scrape, 0 when not; only the leader has this series.", nil, nil),
	}
}

// Start exports until ctx ends. Several managers in one process
// share the registry; the first one exports.
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

// NeedLeaderElection reports that only the leader exports.
func (c *Collector) NeedLeaderElection() bool { return true }

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.success
	for i := range routeFamilies {
		ch <- routeFamilies[i].desc
	}
	for i := range proxyFamilies {
		ch <- proxyFamilies[i].desc
	}
}

// Collect implements prometheus.Collector. When the cache cannot be read, the
// rest of the page is still served and callback_operator_collector_success is 0:
// an invalid metric would turn the whole page into an error.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	var routes kube.RouteList
	var proxies kube.ProxyList
	for _, list := range []client.ObjectList{&routes, &proxies} {
		err := c.reader.List(ctx, list, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)
		if err != nil {
			ch <- prometheus.MustNewConstMetric(c.success, prometheus.GaugeValue, 0)
			return
		}
	}
	ch <- prometheus.MustNewConstMetric(c.success, prometheus.GaugeValue, 1)
	for i := range routes.Items {
		route := &routes.Items[i]
		collect(ch, routeFamilies, route, route.Namespace, route.Name)
	}
	for i := range proxies.Items {
		proxy := &proxies.Items[i]
		collect(ch, proxyFamilies, proxy, proxy.Namespace, proxy.Name)
	}
}

// collect exports the samples of one object.
func collect[T any](ch chan<- prometheus.Metric, families []family[T], object *T, namespace, name string) {
	for i := range families {
		f := &families[i]
		f.samples(object, func(value float64, own ...string) {
			labels := make([]string, 0, 2+len(own))
			labels = append(labels, namespace, name)
			for _, label := range own {
				labels = append(labels, compile.Clip(label, maxLabelBytes)) // Prometheus refuses half a character
			}
			ch <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
		})
	}
}

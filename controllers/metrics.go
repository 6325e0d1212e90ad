// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/callbackproxy/callback-operator/controllers/compile"
)

var (
	configsPublished = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "callback_operator_configs_published_total",
		Help: "Configs published, by CallbackProxy.",
	}, []string{"namespace", "proxy"})

	statusWrites = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "callback_operator_status_writes_total",
		Help: "Statuses written, by kind.",
	}, []string{"kind"})

	undecodable = undecodableRoutes{prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "callback_operator_undecodable_route",
		Help: "1 for each stored CallbackRoute that this version cannot read; it is left out, the others are served.",
	}, []string{"proxy_namespace", "proxy", "namespace", "name"})}
)

func init() {
	metrics.Registry.MustRegister(configsPublished, statusWrites, undecodable)
}

// undecodableRoutes names the routes that could not be read in the last pass
// over each fleet.
type undecodableRoutes struct{ *prometheus.GaugeVec }

func (u undecodableRoutes) observe(proxy types.NamespacedName, routes []compile.Route) {
	u.DeletePartialMatch(prometheus.Labels{"proxy_namespace": proxy.Namespace, "proxy": proxy.Name})
	for _, route := range routes {
		if route.DecodeError != "" {
			u.WithLabelValues(proxy.Namespace, proxy.Name, route.Object.Namespace, route.Object.Name).Set(1)
		}
	}
}

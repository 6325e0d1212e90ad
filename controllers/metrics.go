// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// What the manager counts as it works.
var (
	configsPublished = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "callback_operator_configs_published_total",
		Help: "Configs published, by CallbackProxy.",
	}, []string{"namespace", "proxy"})

	statusWrites = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "callback_operator_status_writes_total",
		Help: "Statuses written, by kind.",
	}, []string{"kind"})
)

// What the Collector finds at the moment of a scrape.
var (
	families []family

	collectorSuccess = newFamily(prometheus.GaugeValue, "callback_operator_collector_success",
		"1 when the leading manager could read its cache for this scrape, 0 when not; only the leader has this series.")
	undecodableRoute = newFamily(prometheus.GaugeValue, "callback_operator_undecodable_route",
		"1 for each stored CallbackRoute that this version cannot read; it is left out, the others are served.",
		"proxy_namespace", "proxy", "namespace", "name")
	undecodableProxy = newFamily(prometheus.GaugeValue, "callback_operator_undecodable_proxy",
		"1 for each stored CallbackProxy that this version cannot read; what is published for it stays as it is.",
		"namespace", "name")

	routeInfo = newFamily(prometheus.GaugeValue, "callbackroute_info",
		"1 for each CallbackRoute; the hostname is its first, the active backend the one that gets the callbacks.",
		"namespace", "name", "proxy_namespace", "proxy", "hostname", "path", "active_backend", "owner", "after_sunset")
	routeSunset = newFamily(prometheus.GaugeValue, "callbackroute_sunset_timestamp_seconds",
		"When the CallbackRoute ends.", "namespace", "name")
	routeDeprecation = newFamily(prometheus.GaugeValue, "callbackroute_deprecation_timestamp_seconds",
		"When the CallbackRoute becomes deprecated; absent when never.", "namespace", "name")
	routeCondition = newFamily(prometheus.GaugeValue, "callbackroute_status_condition",
		"1 for each condition of a CallbackRoute, with its present status and reason.",
		"namespace", "name", "type", "status", "reason")
	routeLast = newFamily(prometheus.GaugeValue, "callbackroute_last_callback_timestamp_seconds",
		"When the last well-formed callback came; absent when none ever did.", "namespace", "name")
	routeCallbacks = newFamily(prometheus.CounterValue, "callbackroute_callbacks_total",
		"Well-formed callbacks in the CallbackRoute's life, whatever became of them; a lower bound, brought up to date about every 30 seconds.",
		"namespace", "name")
	routeLate = newFamily(prometheus.CounterValue, "callbackroute_callbacks_after_sunset_total",
		"Those of callbackroute_callbacks_total that came after the sunset; absent before the first.", "namespace", "name")

	backendHealthy = newFamily(prometheus.GaugeValue, "callbackroute_backend_healthy",
		"1 when the backend is healthy, 0 when an instance finds it is not; absent when nothing measures it.",
		"namespace", "name", "backend")
	backendLast = newFamily(prometheus.GaugeValue, "callbackroute_backend_last_callback_timestamp_seconds",
		"When the backend was handed its last callback; absent when it never was.", "namespace", "name", "backend")

	proxyCondition = newFamily(prometheus.GaugeValue, "callbackproxy_status_condition",
		"1 for each condition of a CallbackProxy, with its present status and reason.",
		"namespace", "name", "type", "status", "reason")
	proxyRoutes = newFamily(prometheus.GaugeValue, "callbackproxy_routes",
		"CallbackRoutes that name the CallbackProxy.", "namespace", "name")
	proxyAcceptedRoutes = newFamily(prometheus.GaugeValue, "callbackproxy_accepted_routes",
		"CallbackRoutes that are part of the CallbackProxy's config.", "namespace", "name")
	publishedGeneration = newFamily(prometheus.GaugeValue, "callbackproxy_published_config_generation",
		"Generation of the config published last.", "namespace", "name")
	instanceGeneration = newFamily(prometheus.GaugeValue, "callbackproxy_instance_config_generation",
		"Generation of the config that a ready instance said it runs; absent when it said none.", "namespace", "name", "pod")
	instanceState = newFamily(prometheus.GaugeValue, "callbackproxy_instance_state",
		"1 for each ready instance, with its state: Current, Behind, Refused or Unreachable.",
		"namespace", "name", "pod", "state")
)

// family is a name under which the Collector exports.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func newFamily(kind prometheus.ValueType, name, help string, labels ...string) family {
	f := family{desc: prometheus.NewDesc(name, help, labels, nil), kind: kind}
	families = append(families, f)
	return f
}

func init() {
	metrics.Registry.MustRegister(configsPublished, statusWrites)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// Metrics are what the proxy counts. Their labels come from the table and
// from constants, never from a request, and series end with their route.
type Metrics struct {
	registry *prometheus.Registry

	requests      *prometheus.CounterVec
	refused       *prometheus.CounterVec
	duration      prometheus.Histogram
	sunsetRefused *prometheus.CounterVec
	fallbacks     *prometheus.CounterVec
	healthChecks  *prometheus.CounterVec
	passed        prometheus.Counter
	passFailed    prometheus.Counter
	passing       prometheus.Gauge

	epoch         prometheus.Gauge
	generation    prometheus.Gauge
	configRefused *prometheus.CounterVec
	diskErrors    prometheus.Counter
	vanished      []string // the routes that the last swap took away
}

// NewMetrics returns metrics in a registry of their own.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callbackproxy_requests_total",
			Help: "Requests that belonged to a route, by what became of them.",
		}, []string{"route", "backend", "code", "outcome"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callbackproxy_refused_total",
			Help: "Requests refused by the proxy itself, by the rule they broke.",
		}, []string{"reason"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "callbackproxy_request_duration_seconds",
			Help:    "Time from the request's header to the end of its answer, for requests that belonged to a route.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		sunsetRefused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callbackproxy_sunset_refused_total",
			Help: "Requests answered with 410 because the sunset of their route had passed.",
		}, []string{"route"}),
		fallbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callbackproxy_fallbacks_total",
			Help: "Callbacks that went to another backend than the active one, because that could not be reached.",
		}, []string{"route"}),
		healthChecks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callbackproxy_health_checks_total",
			Help: "Looks at backends, by kind (check, preflight) and result.",
		}, []string{"kind", "result"}),
		passed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "callbackproxy_passed_total",
			Help: "Requests that were no callbacks and were passed to the application, in mode Sidecar.",
		}),
		passFailed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "callbackproxy_pass_failed_total",
			Help: "Requests passed to the application that were answered with 502, because it did not answer.",
		}),
		passing: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "callbackproxy_passing",
			Help: "Requests and WebSockets that are being passed to the application now.",
		}),
		epoch: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "callbackproxy_config_epoch",
			Help: "Epoch of the config that is served; 0 when there is none.",
		}),
		generation: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "callbackproxy_config_generation",
			Help: "Generation of the config that is served; 0 when there is none.",
		}),
		configRefused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callbackproxy_config_refused_total",
			Help: "Configs that were offered and not adopted.",
		}, []string{"reason"}),
		diskErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "callbackproxy_disk_errors_total",
			Help: "Failures to keep the last good config on disk or to read it back.",
		}),
	}
	m.registry.MustRegister(m.requests, m.refused, m.duration, m.sunsetRefused, m.fallbacks, m.healthChecks,
		m.passed, m.passFailed, m.passing,
		m.epoch, m.generation, m.configRefused, m.diskErrors,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// DiskError counts a failure to keep or to read the last good config.
func (m *Metrics) DiskError() { m.diskErrors.Inc() }

// HealthCheck counts a look at a backend. Both labels are constants of the
// caller.
func (m *Metrics) HealthCheck(kind, result string) {
	m.healthChecks.WithLabelValues(kind, result).Inc()
}

// ObserveHealth has a scrape ask how many targets are unhealthy.
func (m *Metrics) ObserveHealth(unhealthy func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "callbackproxy_target_unhealthy",
		Help: "Addresses of backends, and callback paths on them, that this instance finds unhealthy.",
	}, func() float64 { return float64(unhealthy()) }))
}

// Handler answers /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

func (m *Metrics) observeAge(age func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "callbackproxy_config_age_seconds",
		Help: "Time since the API server was last heard of: how old the config may be at most.",
	}, age))
}

func (m *Metrics) observeState(clock *Clock, uses *ledger) {
	m.registry.MustRegister(uses, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "callbackproxy_clock_suspect",
		Help: "1 while this instance doubts its clock: sunsets are judged by what was last agreed on.",
	}, func() float64 {
		if clock.Suspect() {
			return 1
		}
		return 0
	}))
}

// adopted follows a swap: what belongs to routes that are gone is dropped.
// Those of the swap before are dropped once more, because a request that was
// in flight then may have been counted after it.
func (m *Metrics) adopted(before, after *Snapshot) {
	m.epoch.Set(float64(after.Epoch))
	m.generation.Set(float64(after.Generation))
	if before == nil || before.Table == after.Table {
		return
	}
	for _, id := range m.vanished {
		m.forget(id)
	}
	m.vanished = m.vanished[:0]
	for i := range before.Table.Routes {
		route := &before.Table.Routes[i]
		successor := after.route(route.Namespace, route.Name)
		if successor == nil {
			m.forget(route.ID())
			m.vanished = append(m.vanished, route.ID())
			continue
		}
		m.forgetBackends(route, successor)
	}
}

func (m *Metrics) forget(id string) {
	m.requests.DeletePartialMatch(prometheus.Labels{"route": id})
	m.sunsetRefused.DeletePartialMatch(prometheus.Labels{"route": id})
	m.fallbacks.DeletePartialMatch(prometheus.Labels{"route": id})
}

func (m *Metrics) forgetBackends(before, after *routetable.Route) {
	for i := range before.Backends {
		name := before.Backends[i].Name
		if !hasBackend(after, name) {
			m.requests.DeletePartialMatch(prometheus.Labels{"route": before.ID(), "backend": name})
		}
	}
}

func hasBackend(r *routetable.Route, name string) bool {
	for i := range r.Backends {
		if r.Backends[i].Name == name {
			return true
		}
	}
	return false
}

// finished counts a request that belonged to a route.
func (m *Metrics) finished(route, backend string, status int, o outcome, took time.Duration) {
	m.requests.WithLabelValues(route, backend, strconv.Itoa(status), string(o)).Inc()
	m.duration.Observe(took.Seconds())
}

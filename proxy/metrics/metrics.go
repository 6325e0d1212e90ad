// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package metrics counts what the proxy does. In: events, and functions that
// return present values; out: /metrics. Labels come from the table and from
// constants, never from a request, and series end with their route. I/O.
package metrics

import (
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/callbackproxy/callback-operator/internal/apitime"
	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// The counters.
const (
	Requests             = "callbackproxy_requests_total"
	Callbacks            = "callbackproxy_callbacks_total"
	CallbacksAfterSunset = "callbackproxy_callbacks_after_sunset_total"
	SunsetRefused        = "callbackproxy_sunset_refused_total"
	Failovers            = "callbackproxy_failovers_total"
	Decisions            = "callbackproxy_owner_decisions_total"
	Refused              = "callbackproxy_refused_total"
	Repeats              = "callbackproxy_repeats_total"
	LoginLoops           = "callbackproxy_login_loops_total"
	FieldsDropped        = "callbackproxy_fields_dropped_total"
	Passed               = "callbackproxy_passed_total"
	PassFailed           = "callbackproxy_pass_failed_total"
	HealthChecks         = "callbackproxy_health_checks_total"
	ConfigRefused        = "callbackproxy_config_refused_total"
	DiskErrors           = "callbackproxy_disk_errors_total"
)

// The gauges.
const (
	PassthroughInFlight = "callbackproxy_passthrough_in_flight"
	Connections         = "callbackproxy_connections"
	RequestMemory       = "callbackproxy_request_memory_bytes"
	TargetUnhealthy     = "callbackproxy_target_unhealthy"
	configEpoch         = "callbackproxy_config_epoch"
	configGeneration    = "callbackproxy_config_generation"
	configAge           = "callbackproxy_config_age_seconds"
	clockSuspect        = "callbackproxy_clock_suspect"
)

const requestDuration = "callbackproxy_request_duration_seconds"

// definitions are all metrics of the proxy but for the histogram. A gauge is the
// value of a function at the moment of a scrape.
var definitions = []struct {
	name, help string
	labels     []string
	gauge      bool
}{
	{name: Requests, help: "Requests for a route, by their outcome. The code of a backend's response is its class, such as 2xx.", labels: []string{"route", "backend", "code", "outcome"}},
	{name: Callbacks, help: "Well-formed callbacks of a route, delivered or not.", labels: []string{"route"}},
	{name: CallbacksAfterSunset, help: "Well-formed callbacks of a route that arrived after its sunset.", labels: []string{"route"}},
	{name: SunsetRefused, help: "Requests that got 410 because the sunset of their route had passed.", labels: []string{"route"}},
	{name: Failovers, help: "Callbacks that went to the failover of their backend because that could not be reached.", labels: []string{"route"}},
	{name: Decisions, help: "Callbacks of a route with ownership, by the type of the rule that matched (Unowned: none) and the backend that it names.", labels: []string{"route", "rung", "backend"}},
	{name: Refused, help: "Requests that the proxy refused itself, by the rule that they broke.", labels: []string{"reason"}},
	{name: Repeats, help: "Callbacks that an instance had delivered before, by result: handed to a backend again after a complete answer, or refused.", labels: []string{"route", "result"}},
	{name: LoginLoops, help: "Callbacks of a route in loops: the fifth login of one browser within seconds, and each that follows.", labels: []string{"route"}},
	{name: FieldsDropped, help: "Callbacks of which fields were dropped because their names have an underscore, from peers that are not trusted proxies."},
	{name: Passed, help: "Requests that were no callbacks and were passed to the application, in mode Sidecar."},
	{name: PassFailed, help: "Requests passed to the application that got 502 because it did not respond."},
	{name: HealthChecks, help: "Checks of backends, by kind (check, pathProbe) and result.", labels: []string{"kind", "result"}},
	{name: ConfigRefused, help: "Configs that were offered and not adopted.", labels: []string{"reason"}},
	{name: DiskErrors, help: "Failures to write the last good config to disk or to read it back."},

	{name: PassthroughInFlight, help: "Requests and WebSockets that are being passed to the application now.", gauge: true},
	{name: Connections, help: "Connections of clients now.", gauge: true},
	{name: RequestMemory, help: "Bytes that large heads and bodies of requests hold now, of a quarter of the memory limit.", gauge: true},
	{name: TargetUnhealthy, help: "Addresses of backends, and callback paths on them, that this instance finds unhealthy.", gauge: true},
	{name: configEpoch, help: "Epoch of the config that is served; 0 when there is none.", gauge: true},
	{name: configGeneration, help: "Generation of the config that is served; 0 when there is none.", gauge: true},
	{name: configAge, help: "Time since the last response of the API server: the config is not older.", gauge: true},
	{name: clockSuspect, help: "1 while this instance's clock contradicts the API server's: sunsets are judged by the time last agreed on.", gauge: true},
}

// Metrics are the proxy's metrics, in a registry of their own.
type Metrics struct {
	registry *prometheus.Registry
	counters map[string]*prometheus.CounterVec
	routes   routeSeries
	gauges   map[string]*atomic.Pointer[func() float64]
	duration prometheus.Histogram
	vanished map[string]bool // the routes that the last change of the config took away
}

// New returns Metrics that count nothing yet. Gauges are 0 until they are bound.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		counters: map[string]*prometheus.CounterVec{},
		routes:   routeSeries{labels: map[string][]string{}, most: maxRouteSeries, known: map[series]prometheus.Counter{}},
		gauges:   map[string]*atomic.Pointer[func() float64]{},
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    requestDuration,
			Help:    "Time from the header of a request for a route to the end of its response.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
	}
	for _, d := range definitions {
		if d.gauge {
			value := &atomic.Pointer[func() float64]{}
			m.gauges[d.name] = value
			m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: d.name, Help: d.help}, func() float64 {
				if read := value.Load(); read != nil {
					return (*read)()
				}
				return 0
			}))
			continue
		}
		counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.name, Help: d.help}, d.labels)
		m.counters[d.name] = counter
		m.registry.MustRegister(counter)
		if len(d.labels) == 0 {
			counter.WithLabelValues()
		}
		if slices.Contains(d.labels, "route") {
			m.routes.labels[d.name] = d.labels
		}
	}
	m.routes.counters = m.counters
	m.registry.MustRegister(m.duration, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Registry returns the registry of the metrics.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Handler responds to /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// Count adds one to a counter.
func (m *Metrics) Count(counter string, labels ...string) { m.counter(counter, labels).Inc() }

// CountIf adds one to a counter, or only makes its series begin at 0, so that a
// rate includes its first event.
func (m *Metrics) CountIf(is bool, counter string, labels ...string) { //nolint:revive // what it does
	series := m.counter(counter, labels)
	if is {
		series.Inc()
	}
}

func (m *Metrics) counter(name string, labels []string) prometheus.Counter {
	if m.routes.labels[name] != nil {
		return m.routes.get(name, labels)
	}
	return m.counters[name].WithLabelValues(labels...)
}

// ObserveDuration adds the duration of a request for a route.
func (m *Metrics) ObserveDuration(took time.Duration) { m.duration.Observe(took.Seconds()) }

// Bind makes a function the value of a gauge.
func (m *Metrics) Bind(gauge string, value func() float64) { m.gauges[gauge].Store(&value) }

// Watch binds the gauges of the config and of the clock, and ends the series of
// routes and backends that leave the config.
func (m *Metrics) Watch(store *config.Store, clock *apitime.Clock) {
	version := func() (v routetable.Version) {
		if current := store.Current(); current != nil {
			v = current.Version
		}
		return v
	}
	m.Bind(configEpoch, func() float64 { return float64(version().Epoch) })
	m.Bind(configGeneration, func() float64 { return float64(version().Generation) })
	m.Bind(configAge, func() float64 { return store.Age().Seconds() })
	m.Bind(clockSuspect, func() float64 {
		if clock.Suspect() {
			return 1
		}
		return 0
	})
	store.Subscribe(m.follow)
}

// follow drops the series of what left the config. The routes of the change
// before are dropped once more, because a request that was in flight then may
// have been counted after it.
func (m *Metrics) follow(c config.Change) {
	if c.Before == nil || c.Before.Table == c.After.Table {
		return
	}
	vanished, changed := map[string]bool{}, map[string]*routetable.Route{}
	for i := range c.Before.Table.Routes {
		route := &c.Before.Table.Routes[i]
		if successor := c.After.Route(route.Namespace, route.Name); successor == nil {
			vanished[route.ID()] = true
		} else if slices.ContainsFunc(route.Backends, func(b routetable.Backend) bool { return successor.Backend(b.Name) == nil }) {
			changed[route.ID()] = successor
		}
	}
	m.routes.drop(func(s *series) bool {
		id := s.labels[0]
		if vanished[id] || m.vanished[id] {
			return true
		}
		successor, backend := changed[id], m.routes.backendOf(s)
		return successor != nil && backend != "" && successor.Backend(backend) == nil
	})
	m.vanished = vanished
}

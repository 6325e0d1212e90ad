// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"cmp"
	"iter"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
)

// This file is the table of all families that the Collector exports.

// A family is a metric and the samples that one object of type T contributes to
// it. Every sample has the labels namespace and name, which are the object's,
// and then the family's own.
type family[T any] struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	// samples calls emit with the values of the family's own labels.
	samples func(object *T, emit emit)
}

type emit func(value float64, labels ...string)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, append([]string{"namespace", "name"}, labels...), nil)
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

var routeFamilies = []family[kube.Route]{
	{
		describe("callback_operator_undecodable_route",
			"1 for each stored CallbackRoute that this version cannot decode; it is left out, the others are served.",
			"proxy_namespace", "proxy"),
		gauge,
		func(r *kube.Route, emit emit) {
			if r.DecodeError != "" {
				emit(1, proxyNamespace(r), string(r.Spec.ProxyRef.Name))
			}
		},
	},
	{
		describe("callbackroute_info",
			"1 for each CallbackRoute; hostname and path are its first, the primary backend is the one that gets the callbacks.",
			"proxy_namespace", "proxy", "hostname", "path", "primary_backend", "owner", "after_sunset"),
		gauge,
		func(r *kube.Route, emit emit) {
			hostname, path := "", ""
			if len(r.Spec.Hostnames) > 0 {
				hostname = string(r.Spec.Hostnames[0])
			}
			if len(r.Spec.Callbacks) > 0 {
				path = string(r.Spec.Callbacks[0].Path)
			}
			emit(1, proxyNamespace(r), string(r.Spec.ProxyRef.Name), hostname, path,
				r.Status.PrimaryBackend, r.Spec.Owner, string(r.Spec.AfterSunset))
		},
	},
	{
		describe("callbackroute_sunset_timestamp_seconds", "Sunset of the CallbackRoute."),
		gauge,
		func(r *kube.Route, emit emit) { emitTime(emit, &r.Spec.SunsetTime) },
	},
	{
		describe("callbackroute_deprecation_timestamp_seconds", "Deprecation time of the CallbackRoute; absent when it has none."),
		gauge,
		func(r *kube.Route, emit emit) { emitTime(emit, r.Spec.DeprecationTime) },
	},
	{
		describe("callbackroute_status_condition",
			"1 for each condition of a CallbackRoute, with its present status and reason.", "type", "status", "reason"),
		gauge,
		func(r *kube.Route, emit emit) { emitConditions(emit, r.Status.Conditions) },
	},
	{
		describe("callbackroute_last_callback_timestamp_seconds", "Time of the last well-formed callback; absent when there was none."),
		gauge,
		func(r *kube.Route, emit emit) { emitTime(emit, traffic(r).LastCallbackTime) },
	},
	{
		describe("callbackroute_callbacks_total",
			"Well-formed callbacks over the life of the CallbackRoute, whatever their outcome; a lower bound, updated about every 30 seconds."),
		counter,
		func(r *kube.Route, emit emit) { emitCount(emit, traffic(r).Callbacks) },
	},
	{
		describe("callbackroute_callbacks_after_sunset_total",
			"Callbacks of callbackroute_callbacks_total that came after the sunset; absent before the first."),
		counter,
		func(r *kube.Route, emit emit) { emitCount(emit, traffic(r).AfterSunset) },
	},
	{
		describe("callbackroute_backend_healthy",
			"1 when the backend is healthy, 0 when an instance reports it unhealthy; absent when nothing measures it.", "backend"),
		gauge,
		func(r *kube.Route, emit emit) {
			for b := range unique(r.Status.Backends, backendName) {
				switch b.Health {
				case callbackv1alpha1.HealthHealthy:
					emit(1, b.Name)
				case callbackv1alpha1.HealthUnhealthy:
					emit(0, b.Name)
				case callbackv1alpha1.HealthUnknown: // neither, so it has no sample
				}
			}
		},
	},
	{
		describe("callbackroute_backend_last_callback_timestamp_seconds",
			"Time of the last callback that was handed to the backend; absent when there was none.", "backend"),
		gauge,
		func(r *kube.Route, emit emit) {
			for b := range unique(r.Status.Backends, backendName) {
				emitTime(emit, b.LastCallbackTime, b.Name)
			}
		},
	},
}

var proxyFamilies = []family[kube.Proxy]{
	{
		describe("callback_operator_undecodable_proxy",
			"1 for each stored CallbackProxy that this version cannot decode; its published config stays as it is."),
		gauge,
		func(p *kube.Proxy, emit emit) {
			if p.DecodeError != "" {
				emit(1)
			}
		},
	},
	{
		describe("callbackproxy_status_condition",
			"1 for each condition of a CallbackProxy, with its present status and reason.", "type", "status", "reason"),
		gauge,
		func(p *kube.Proxy, emit emit) { emitConditions(emit, p.Status.Conditions) },
	},
	{
		describe("callbackproxy_routes", "CallbackRoutes that name the CallbackProxy."),
		gauge,
		func(p *kube.Proxy, emit emit) {
			if routes := p.Status.Routes; routes != nil && routes.Total != nil {
				emit(float64(*routes.Total))
			}
		},
	},
	{
		describe("callbackproxy_accepted_routes", "CallbackRoutes that are part of the CallbackProxy's config."),
		gauge,
		func(p *kube.Proxy, emit emit) {
			if routes := p.Status.Routes; routes != nil && routes.Accepted != nil {
				emit(float64(*routes.Accepted))
			}
		},
	},
	{
		describe("callbackproxy_published_config_generation", "Generation of the config published last."),
		gauge,
		func(p *kube.Proxy, emit emit) { emitGeneration(emit, p.Status.ConfigGeneration) },
	},
	{
		describe("callbackproxy_instance_config_generation",
			"Generation of the config that a ready instance reports; absent when it reported none.", "pod"),
		gauge,
		func(p *kube.Proxy, emit emit) {
			for instance := range unique(p.Status.Instances, instancePod) {
				emitGeneration(emit, instance.Generation, instance.Pod)
			}
		},
	},
	{
		describe("callbackproxy_instance_state", "1 for each ready instance, with its state: Current, Behind, Refused or Unreachable.", "pod", "state"),
		gauge,
		func(p *kube.Proxy, emit emit) {
			for instance := range unique(p.Status.Instances, instancePod) {
				emit(1, instance.Pod, string(instance.State))
			}
		},
	},
}

func proxyNamespace(r *kube.Route) string {
	return cmp.Or(string(r.Spec.ProxyRef.Namespace), r.Namespace)
}

func traffic(r *kube.Route) *callbackv1alpha1.Traffic {
	if r.Status.Traffic == nil {
		return &callbackv1alpha1.Traffic{}
	}
	return r.Status.Traffic
}

// emitTime emits a time in Unix seconds; nothing for none.
func emitTime(emit emit, at *metav1.Time, labels ...string) {
	if !at.IsZero() {
		emit(float64(at.Unix()), labels...)
	}
}

// emitCount emits a count; nothing for none.
func emitCount(emit emit, count *int64) {
	if count != nil {
		emit(float64(*count))
	}
}

// emitGeneration emits a generation; nothing for 0, which is none.
func emitGeneration(emit emit, generation int64, labels ...string) {
	if generation > 0 {
		emit(float64(generation), labels...)
	}
}

// emitConditions emits one sample per condition, that of its present status and
// reason. Three samples, one for each status, would be a quarter of a million
// series at ten thousand routes, and hold no more information.
func emitConditions(emit emit, conditions []metav1.Condition) {
	for c := range unique(conditions, func(c *metav1.Condition) string { return c.Type }) {
		emit(1, c.Type, string(c.Status), c.Reason)
	}
}

// unique returns the elements of a list, of those with the same key only the
// first. A list that was stored under an older schema can hold a key twice, and
// two equal series would turn the whole page into an error.
func unique[E any](list []E, key func(*E) string) iter.Seq[*E] {
	return func(yield func(*E) bool) {
		seen := make(map[string]struct{}, len(list))
		for i := range list {
			k := key(&list[i])
			if _, again := seen[k]; again {
				continue
			}
			seen[k] = struct{}{}
			if !yield(&list[i]) {
				return
			}
		}
	}
}

func backendName(b *callbackv1alpha1.BackendStatus) string { return b.Name }

func instancePod(i *callbackv1alpha1.ProxyInstance) string { return i.Pod }

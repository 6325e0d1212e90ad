// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package statuswriter

// This file counts the writes of statuses.

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var (
	statusWrites = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "callback_operator_status_writes_total",
		Help: "Statuses written, by kind.",
	}, []string{"kind"})

	statusesRefused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "callback_operator_statuses_refused_total",
		Help: "Statuses that the API server refused as invalid, by kind; the object has to be applied again.",
	}, []string{"kind"})

	eventsLost = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "callback_operator_events_lost_total",
		Help: "Events that were not written; the conditions that they report stay.",
	})
)

func init() {
	metrics.Registry.MustRegister(statusWrites, statusesRefused, eventsLost)
}

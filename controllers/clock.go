// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/callbackproxy/callback-operator/internal/apitime"
)

// ExportClock shows in the manager's metrics whether the clock by which sunsets are
// judged is suspect.
func ExportClock(clock *apitime.Clock) {
	metrics.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "callback_operator_clock_suspect",
		Help: "1 while this machine's clock contradicts the API server's by more than an hour, and is not gone by.",
	}, func() float64 {
		if clock.Suspect() {
			return 1
		}
		return 0
	}))
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package installation

// metrics.go: metrics of managers, proxies and the API server.

import (
	"context"
	"fmt"
	"net/http"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/callbackproxy/callback-operator/test/callbacks"
)

var scraper = callbacks.NewClient(10 * time.Second)

// Metrics are families by name.
type Metrics map[string]*dto.MetricFamily

// Scrape reads the metrics at a URL of a manager or a proxy.
func Scrape(ctx context.Context, url string) (Metrics, error) { return ScrapeWith(ctx, scraper, url) }

// ScrapeWith is Scrape by a client of the caller's, such as one that the API
// server admits.
func ScrapeWith(ctx context.Context, c *http.Client, url string) (Metrics, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("scrape %s: %w", url, err)
	}
	response, err := c.Do(request)
	if err != nil {
		return nil, fmt.Errorf("scrape: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("scrape %s: status %d", url, response.StatusCode)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, fmt.Errorf("scrape %s: %w", url, err)
	}
	return families, nil
}

// Sum adds all series of a metric; 0 when there are none.
func (m Metrics) Sum(name string) float64 {
	var sum float64
	for _, series := range m[name].GetMetric() {
		sum += series.GetGauge().GetValue() + series.GetCounter().GetValue()
	}
	return sum
}

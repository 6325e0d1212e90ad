// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/callbackproxy/callback-operator/controllers"
	managermetrics "github.com/callbackproxy/callback-operator/controllers/metrics"
	"github.com/callbackproxy/callback-operator/internal/apitime"
	proxymetrics "github.com/callbackproxy/callback-operator/proxy/metrics"
)

// registered are the metrics of manager and proxy with their labels, without
// those of libraries.
type registered map[string][]string

// ours matches the names of the metrics that this project defines.
var ours = regexp.MustCompile(`^callback(_operator|proxy|route)_`)

// histograms are the metrics that Prometheus stores under three names.
var histograms = []string{"callbackproxy_request_duration_seconds"}

// describer is a registry, or a collector that is registered later.
type describer interface {
	Describe(ch chan<- *prometheus.Desc)
}

// metricsOfBoth reads the descriptions in the registries of both programs,
// because series exist only while they have values.
func metricsOfBoth(t *testing.T) registered {
	t.Helper()
	found := registered{}
	for _, source := range []describer{managerRegistry(t), managermetrics.NewCollector(nil), proxyRegistry()} {
		for name, labels := range described(t, source) {
			if _, twice := found[name]; twice {
				t.Fatalf("both programs export %s", name)
			}
			found[name] = labels
		}
	}
	return found
}

var observeClock = sync.OnceFunc(func() { controllers.ExportClock(apitime.NewClock(time.Now, nil)) })

func managerRegistry(t *testing.T) *prometheus.Registry {
	t.Helper()
	observeClock() // as cmd/manager does
	registry, is := metrics.Registry.(*prometheus.Registry)
	if !is {
		t.Fatalf("the manager's registry is a %T, which cannot be read", metrics.Registry)
	}
	return registry
}

func proxyRegistry() *prometheus.Registry { return proxymetrics.New().Registry() }

var description = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", .*variableLabels: \{([^}]*)\}\}$`)

// described returns the metrics of one source, without those of libraries.
func described(t *testing.T, source describer) registered {
	t.Helper()
	descriptions := make(chan *prometheus.Desc)
	go func() {
		source.Describe(descriptions)
		close(descriptions)
	}()
	found := registered{}
	for d := range descriptions {
		parts := description.FindStringSubmatch(d.String())
		if parts == nil {
			t.Errorf("cannot read the description %s", d)
			continue
		}
		if !ours.MatchString(parts[1]) {
			continue
		}
		found[parts[1]] = slices.DeleteFunc(strings.Split(parts[2], ","), func(label string) bool { return label == "" })
	}
	return found
}

func TestRegistered_ContainsTheMetricsOfBothPrograms(t *testing.T) {
	g := NewWithT(t)
	all := metricsOfBoth(t)
	g.Expect(len(all)).To(BeNumerically(">", 30))
	g.Expect(all).To(HaveKeyWithValue("callback_operator_collector_success", BeEmpty()))
	g.Expect(all).To(HaveKeyWithValue("callback_operator_status_writes_total", ConsistOf("kind")))
	g.Expect(all).To(HaveKeyWithValue("callbackroute_backend_healthy", ConsistOf("namespace", "name", "backend")))
	g.Expect(all).To(HaveKeyWithValue("callbackproxy_requests_total", ConsistOf("route", "backend", "code", "outcome")))
	g.Expect(all).To(HaveKeyWithValue("callbackproxy_config_age_seconds", BeEmpty()))
	g.Expect(all).NotTo(HaveKey("go_goroutines"))
}

// The series of a histogram have the suffixes _bucket, _sum and _count, so the
// check of expressions needs a list of histograms.
func TestRegistered_HistogramsAreKnown(t *testing.T) {
	g := NewWithT(t)
	var found []string
	for _, registry := range []*prometheus.Registry{managerRegistry(t), proxyRegistry()} {
		families, err := registry.Gather()
		g.Expect(err).NotTo(HaveOccurred())
		for _, family := range families {
			if ours.MatchString(family.GetName()) && family.GetMetric()[0].GetHistogram() != nil {
				found = append(found, family.GetName())
			}
		}
	}
	g.Expect(found).To(Equal(histograms))
}

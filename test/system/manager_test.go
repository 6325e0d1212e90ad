// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// manager_test.go: a replica of the manager with its interposer, whose failures end the test.

import (
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/installation"
	"github.com/callbackproxy/callback-operator/test/system/interposer"
)

// manager is one replica. It reaches the API server through its own interposer.
type manager struct {
	*installation.Manager

	s   *system
	api *interposer.Proxy
}

// start starts the replica after kill or stop, without waiting for it.
func (m *manager) start() {
	m.s.t.Helper()
	m.s.Expect(m.Start()).To(Succeed())
}

// stop ends the replica in order and returns how long that took.
func (m *manager) stop() time.Duration {
	m.s.t.Helper()
	began := time.Now()
	m.s.Expect(m.Stop()).To(Succeed(), m.logTail())
	return time.Since(began)
}

func (m *manager) signal(signal syscall.Signal) {
	m.s.t.Helper()
	m.s.Expect(m.Signal(signal)).To(Succeed())
}

func (m *manager) ready() {
	m.s.t.Helper()
	m.s.Expect(m.WaitReady(m.s.ctx)).To(Succeed())
}

// metric adds all series of a metric of the replica.
func (m *manager) metric(name string) (float64, error) {
	metrics, err := installation.Scrape(m.s.ctx, m.MetricsURL())
	return metrics.Sum(name), err
}

// logTail returns the error lines and the last lines of the replica's log, over
// all its restarts, at a readable length.
func (m *manager) logTail() string {
	lines := strings.Split(strings.TrimRight(m.Process().Output(), "\n"), "\n")
	from := max(0, len(lines)-6)
	var tail []string
	for i, line := range lines {
		if i >= from || strings.Contains(line, `"level":"error"`) || strings.Contains(line, "panic") {
			tail = append(tail, line[:min(len(line), 2000)])
		}
	}
	return strings.Join(tail[max(0, len(tail)-20):], "\n")
}

// managerMetric is a metric of the first replica.
func (s *system) managerMetric(name string) float64 {
	s.t.Helper()
	value, err := s.managers[0].metric(name)
	s.Expect(err).NotTo(HaveOccurred())
	return value
}

// proxyMetric is a metric of a proxy.
func (s *system) proxyMetric(proxy int, name string) (float64, error) {
	metrics, err := installation.Scrape(s.ctx, s.proxies[proxy].AdminURL("/metrics"))
	return metrics.Sum(name), err
}

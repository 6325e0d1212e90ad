// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/faults/interposer"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// firstBackOff is how long a kubelet waits before the second restart of a
// container; the first is immediate, and each later one waits twice as long.
const firstBackOff = 10 * time.Second

// manager is one replica of the manager, started again when it ends, as a
// kubelet would. What it says to the API server goes through its own api.
type manager struct {
	s     *system
	name  string
	host  string
	api   *interposer.Proxy
	flags []string

	mu       sync.Mutex
	process  *fixture.Process
	down     bool // by the spec's wish
	restarts int
}

func (s *system) newManager(n int, flags []string) *manager {
	s.t.Helper()
	m := &manager{s: s, name: fmt.Sprintf("manager-%d", n), host: fmt.Sprintf("%s.%d", s.network, 20+n), down: true}
	m.api = s.interpose()
	m.flags = append([]string{
		"--kubeconfig=" + s.account("callback-manager", m.name, m.api), "--leader-elect-namespace=callback-system",
		"--metrics-bind-address=" + m.host + ":8080", "--metrics-secure=false",
		"--health-probe-bind-address=" + m.host + ":8081",
	}, flags...)
	s.t.Cleanup(m.kill)
	return m
}

// start starts the replica and does not wait for it.
func (m *manager) start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = false
	m.launch()
}

// launch starts a process and watches over it. The caller holds the lock.
func (m *manager) launch() {
	process, err := fixture.StartProcess(fixture.Command{
		Name: m.name, Path: binaries.manager, Log: m.logFile(), Args: m.flags, Env: m.s.env,
	})
	if err != nil {
		m.s.t.Error(err)
		return
	}
	m.process = process
	go m.watchOver(process)
}

func (m *manager) watchOver(process *fixture.Process) {
	<-process.Done()
	m.mu.Lock()
	if m.down || m.process != process {
		m.mu.Unlock()
		return
	}
	var pause time.Duration
	if m.restarts > 0 {
		pause = firstBackOff << (m.restarts - 1)
	}
	m.restarts++
	m.mu.Unlock()
	time.Sleep(pause)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.down && m.process == process {
		m.launch()
	}
}

// kill ends the replica at once, for good or until the next start.
func (m *manager) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = true
	if m.process != nil {
		m.process.Kill()
	}
}

// stop ends the replica in order and returns how long that took.
func (m *manager) stop() time.Duration {
	m.s.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = true
	began := time.Now()
	m.s.Expect(m.process.Stop(patience)).To(Succeed(), m.process.Tail(3))
	return time.Since(began)
}

func (m *manager) signal(signal syscall.Signal) {
	m.s.t.Helper()
	m.s.Expect(m.current().Signal(signal)).To(Succeed())
}

func (m *manager) current() *fixture.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.process
}

// restarted says how often the replica ended by itself.
func (m *manager) restarted() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.restarts
}

func (m *manager) ready() {
	m.s.t.Helper()
	m.s.Expect(m.current().WaitReady(m.s.ctx, "http://"+m.host+":8081/readyz", nil)).To(Succeed())
}

// metric sums up all series of a metric of the replica.
func (m *manager) metric(name string) (float64, error) {
	return metric("http://"+m.host+":8080/metrics", name)
}

func (m *manager) logFile() string { return filepath.Join(m.s.dir, m.name+".log") }

func (m *manager) running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.down
}

// said returns the last lines of the replica's log, cut to what can be read.
func (m *manager) said() string {
	lines := strings.Split(m.current().Tail(6), "\n")
	for i := range lines {
		lines[i] = lines[i][:min(len(lines[i]), 2000)]
	}
	return strings.Join(lines, "\n")
}

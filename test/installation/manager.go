// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package installation

// manager.go: replicas of the manager, restarted as a kubelet does.

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/callbackproxy/callback-operator/test/fixture"
)

const (
	// firstBackOff is how long a kubelet waits before the second restart of a
	// container; the first is immediate, each later one waits twice as long.
	firstBackOff = 10 * time.Second
	// readyTimeout is for one process on a machine that does other work.
	readyTimeout = time.Minute
	stopGrace    = 30 * time.Second
)

// Manager is one replica. It starts again when it ends by itself.
type Manager struct {
	// Name is manager-0, manager-1, ...
	Name string
	// Host is its address: metrics are on port 8080, probes on 8081.
	Host string

	command fixture.Command

	mu       sync.Mutex
	process  *fixture.Process
	isDown   bool // by Kill or Stop
	restarts int
	failed   error
}

// StartManager starts one more replica, without waiting for it. flags are added
// to those of the options.
func (in *Installation) StartManager(ctx context.Context, flags ...string) (*Manager, error) {
	host, err := in.NextHost()
	if err != nil {
		return nil, err
	}
	m := &Manager{Name: fmt.Sprintf("manager-%d", len(in.Managers)), Host: host}
	kubeconfig, err := in.kubeconfig(ctx, "callback-manager", m.Name)
	if err != nil {
		return nil, err
	}
	args := []string{
		"--kubeconfig=" + kubeconfig, "--leader-elect-namespace=" + Namespace,
		"--metrics-bind-address=" + host + ":8080", "--metrics-secure=false",
		"--health-probe-bind-address=" + host + ":8081",
	}
	m.command = fixture.Command{
		Name: m.Name, Path: in.o.Manager, Log: filepath.Join(in.Dir, m.Name+".log"), Env: in.o.Env,
		Args: append(append(args, in.o.ManagerFlags...), flags...),
	}
	in.Managers = append(in.Managers, m)
	return m, m.Start()
}

// Start starts the replica after Kill or Stop, without waiting for it.
func (m *Manager) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.isDown = false
	return m.launch()
}

// launch starts a process and its supervision. The caller holds the lock.
func (m *Manager) launch() error {
	process, err := fixture.StartProcess(m.command)
	if err != nil {
		return err
	}
	m.process = process
	go m.supervise(process)
	return nil
}

func (m *Manager) supervise(process *fixture.Process) {
	<-process.Done()
	m.mu.Lock()
	if m.isDown || m.process != process {
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
	if !m.isDown && m.process == process {
		m.failed = m.launch()
	}
}

// Kill ends the replica at once, until the next Start.
func (m *Manager) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.isDown = true
	if m.process != nil {
		m.process.Kill()
	}
}

// Stop ends the replica in order, until the next Start.
func (m *Manager) Stop() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.isDown = true
	return m.process.Stop(stopGrace)
}

// Signal sends a signal to the present process.
func (m *Manager) Signal(signal syscall.Signal) error { return m.Process().Signal(signal) }

// Process is the present process.
func (m *Manager) Process() *fixture.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.process
}

// Restarts is how often the replica ended by itself.
func (m *Manager) Restarts() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.restarts
}

// IsDown reports whether Kill or Stop ended the replica.
func (m *Manager) IsDown() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.isDown
}

// WaitReady waits until the present process is ready.
func (m *Manager) WaitReady(ctx context.Context) error {
	m.mu.Lock()
	process, failed := m.process, m.failed
	m.mu.Unlock()
	if failed != nil {
		return failed
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return process.WaitReady(ctx, "http://"+m.Host+":8081/readyz", nil)
}

// MetricsURL is where the replica serves its metrics.
func (m *Manager) MetricsURL() string { return "http://" + m.Host + ":8080/metrics" }

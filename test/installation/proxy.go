// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package installation

// proxy.go: proxies, each with the Pod that stands for it.

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/callbackproxy/callback-operator/test/fixture"
)

// ProxyOptions configure a proxy.
type ProxyOptions struct {
	// Namespace and Fleet name the CallbackProxy; the namespace is [Namespace]
	// when empty.
	Namespace, Fleet string
	// Name is that of the Pod; when empty it is the fleet's with a number.
	Name string
	// Address and Admin are host:port for callbacks and for administration;
	// when empty, ports 8080 and 9090 of an address of its own.
	Address, Admin string
	// Flags are added to the others. WithoutPod leaves the Pod out.
	Flags      []string
	WithoutPod bool
}

// Proxy is one proxy.
type Proxy struct {
	Name string
	// Address is where it takes callbacks, Admin its administration port.
	Address, Admin string
	StateDir       string
	// Pod is the object that stands for it; nil when there is none.
	Pod *corev1.Pod

	command fixture.Command

	mu      sync.Mutex
	process *fixture.Process
}

// StartProxy starts a proxy and writes its Pod, without waiting for it.
func (in *Installation) StartProxy(ctx context.Context, o ProxyOptions) (*Proxy, error) {
	namespace := cmp.Or(o.Namespace, Namespace)
	p := &Proxy{Name: cmp.Or(o.Name, fmt.Sprintf("%s-%d", o.Fleet, len(in.Proxies))), Address: o.Address, Admin: o.Admin}
	if p.Address == "" || p.Admin == "" {
		host, err := in.NextHost()
		if err != nil {
			return nil, err
		}
		p.Address, p.Admin = cmp.Or(p.Address, host+":8080"), cmp.Or(p.Admin, host+":9090")
	}
	kubeconfig, err := in.kubeconfig(ctx, "callback-proxy", "proxy")
	if err != nil {
		return nil, err
	}
	p.StateDir = filepath.Join(in.Dir, "state-"+p.Name)
	args := []string{
		"--kubeconfig=" + kubeconfig, "--namespace=" + namespace, "--proxy=" + o.Fleet,
		"--listen-address=" + p.Address, "--admin-address=" + p.Admin, "--state-dir=" + p.StateDir, "--drain-delay=1s",
	}
	p.command = fixture.Command{
		Name: "proxy " + p.Name, Path: in.o.Proxy, Log: filepath.Join(in.Dir, p.Name+".log"), Env: in.o.Env,
		Args: append(append(args, in.connectTo...), o.Flags...),
	}
	in.Proxies = append(in.Proxies, p)
	if err := p.Start(); err != nil || o.WithoutPod {
		return p, err
	}
	host, port, err := net.SplitHostPort(p.Admin)
	if err != nil {
		return nil, fmt.Errorf("read the admin address of %s: %w", p.Name, err)
	}
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read the admin address of %s: %w", p.Name, err)
	}
	p.Pod, err = fixture.ProxyPod(ctx, in.Client, namespace, o.Fleet, p.Name, host, int32(number))
	return p, err
}

// Start starts the proxy after Kill or Stop, without waiting for it.
func (p *Proxy) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	process, err := fixture.StartProcess(p.command)
	if err == nil {
		p.process = process
	}
	return err
}

// Process is the present process.
func (p *Proxy) Process() *fixture.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process
}

// WaitReady waits until the present process is ready.
func (p *Proxy) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return p.Process().WaitReady(ctx, p.AdminURL("/readyz"), nil)
}

// Kill ends the proxy at once.
func (p *Proxy) Kill() {
	if process := p.Process(); process != nil {
		process.Kill()
	}
}

// Stop ends the proxy in order: it drains first.
func (p *Proxy) Stop() error { return p.Process().Stop(stopGrace) }

// AdminURL returns the URL of a path of the administration port.
func (p *Proxy) AdminURL(path string) string { return "http://" + p.Admin + path }

// Log is the file that all processes of this proxy wrote to.
func (p *Proxy) Log() string { return p.command.Log }

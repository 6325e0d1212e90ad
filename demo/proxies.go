// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/callbackproxy/callback-operator/test/idp/identity"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// proxy is one of the two, on a loopback address of its own, as two Pods have
// addresses of their own and the same ports.
type proxy struct {
	name     string
	ip       string
	stateDir string
	process  *fixture.Process
}

// address is where it takes callbacks.
func (d *demo) address(p *proxy) string { return net.JoinHostPort(p.ip, strconv.Itoa(d.port)) }

// proxyAddresses are two that need no setting up: on Linux all of 127/8 is
// loopback, elsewhere there is one address for each family.
func proxyAddresses() []string {
	if runtime.GOOS == "linux" {
		return []string{"127.0.0.11", "127.0.0.12"}
	}
	return []string{"127.0.0.1", "::1"}
}

// choosePort returns the sample's listener port if it is free on all of the
// proxies' addresses, else one that is.
func (d *demo) choosePort(ctx context.Context) (int, error) {
	platform, err := readManifest(d.sample("1-platform.yaml"))
	if err != nil {
		return 0, err
	}
	edge, err := platform.find("CallbackProxy", proxyName)
	if err != nil {
		return 0, err
	}
	wanted, err := listenerPort(edge)
	if err != nil {
		return 0, err
	}
	for range 20 {
		port, free := portOnAll(ctx, wanted, proxyAddresses())
		if free {
			return port, nil
		}
		wanted = 0 // any
	}
	return 0, fmt.Errorf("choose a port: none is free on %s", strings.Join(proxyAddresses(), " and "))
}

// portOnAll says whether a port is free on all addresses; 0 stands for any
// that is free on the first.
func portOnAll(ctx context.Context, port int, addresses []string) (int, bool) {
	for _, address := range addresses {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
		if err != nil {
			return 0, false
		}
		defer func() { _ = listener.Close() }()
		port = listener.Addr().(*net.TCPAddr).Port
	}
	return port, true
}

// startProxies runs two proxies, and creates a Pod for each that says so. From
// then on the manager asks them what they run.
func (d *demo) startProxies(ctx context.Context) error {
	kubeconfig, err := d.accountKubeconfig(ctx, proxyAccount)
	if err != nil {
		return err
	}
	connectTo, err := d.connectTo(ctx)
	if err != nil {
		return err
	}
	for i, ip := range proxyAddresses() {
		p := &proxy{name: fmt.Sprintf("%s-%d", proxyName, i), ip: ip}
		d.proxies = append(d.proxies, p)
		if err := d.startProxy(ctx, p, kubeconfig, connectTo); err != nil {
			return err
		}
	}
	err = d.waitFor(ctx, "Ready", routeName)
	d.checks.require(err == nil, "the route is Ready", "%v", err)
	if err != nil {
		return err
	}
	_, err = d.kubectl.show(ctx, "get", "cbr,cbp,cbpc", "-A")
	return err
}

func (d *demo) startProxy(ctx context.Context, p *proxy, kubeconfig string, connectTo []string) (err error) {
	admin, err := freePort(ctx, p.ip)
	if err != nil {
		return err
	}
	adminAddress := net.JoinHostPort(p.ip, strconv.Itoa(admin))
	p.stateDir = filepath.Join(d.dir, p.name)
	if err := os.Mkdir(p.stateDir, 0o700); err != nil {
		return fmt.Errorf("make the state directory of %s: %w", p.name, err)
	}
	args := append([]string{
		"--namespace=" + proxyNamespace, "--proxy=" + proxyName, "--kubeconfig=" + kubeconfig,
		"--listen-address=" + d.address(p), "--admin-address=" + adminAddress,
		"--state-dir=" + p.stateDir, "--drain-delay=0s",
	}, connectTo...)
	p.process, err = d.start(ctx, "proxy "+p.name+" on "+d.address(p), filepath.Join(d.dir, "proxy"),
		"http://"+adminAddress+"/readyz", args...)
	if err != nil {
		return err
	}
	_, err = fixture.ProxyPod(ctx, d.client, proxyNamespace, proxyName, p.name, p.ip, int32(admin))
	return err
}

// connectTo leads the Services' addresses, as the API server gave them out, to
// the two identity services: there is no kube-proxy here that would do it.
func (d *demo) connectTo(ctx context.Context) ([]string, error) {
	var flags []string
	for _, s := range []struct {
		name    string
		service *identity.Service
	}{{blueService, d.blue}, {greenService, d.green}} {
		address, err := d.kubectl.get(ctx, "get", "service", s.name, "-n", routeNamespace,
			"-o", "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}")
		if err != nil {
			return nil, err
		}
		d.say("Service %s has the address %s; the proxies are told to connect to %s instead", s.name, address, s.service.Addr())
		flags = append(flags, "--connect-to="+address+"="+s.service.Addr())
	}
	return flags, nil
}

func freePort(ctx context.Context, ip string) (int, error) {
	port, free := portOnAll(ctx, 0, []string{ip})
	if !free {
		return 0, fmt.Errorf("choose a port: none is free on %s", ip)
	}
	return port, nil
}

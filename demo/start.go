// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"time"

	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/callbackproxy/callback-operator/test/idp/identity"
	"github.com/callbackproxy/callback-operator/test/idp/provider"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

func (d *demo) startControlPlane(ctx context.Context) (err error) {
	d.controlPlane, err = fixture.StartControlPlane(ctx, fixture.Options{ControllerManager: true, Log: d.out})
	if err != nil {
		return err
	}
	d.later(d.controlPlane.Stop)
	d.kubectl = kubectl{
		path:       filepath.Join(d.controlPlane.Assets, "kubectl"),
		kubeconfig: d.controlPlane.Kubeconfig, cache: filepath.Join(d.dir, "kubectl"), built: true, out: d.out,
	}
	if own, err := exec.LookPath("kubectl"); err == nil {
		d.kubectl.path, d.kubectl.built = own, false
	}
	if d.client, err = client.New(d.controlPlane.Config, client.Options{Scheme: clientgoscheme.Scheme}); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	said, err := d.kubectl.get(ctx, "get", "--raw", "/version")
	if err != nil {
		return err
	}
	var version struct{ GitVersion, GoVersion, Platform string }
	err = json.Unmarshal([]byte(said), &version)
	d.say("the API server is Kubernetes %s for %s, built with %s", version.GitVersion, version.Platform, version.GoVersion)
	d.checks.require(err == nil && version.GitVersion != "", "the control plane answers", "%s", said)
	return nil
}

// startOperator installs what an administrator would, and runs the manager
// with the account and the roles it would have in a cluster.
func (d *demo) startOperator(ctx context.Context) error {
	managerPath, err := d.buildBinaries(ctx)
	if err != nil {
		return err
	}
	crds := filepath.Join(d.root, "config", "crd", "bases")
	if _, err := d.kubectl.show(ctx, "apply", "-f", crds); err != nil {
		return err
	}
	if _, err := d.kubectl.run(ctx, "", "wait", "--for=condition=Established", kubectlPatience, "-f", crds); err != nil {
		return err
	}
	if err := d.applyNamespace(ctx); err != nil {
		return err
	}
	if _, err := d.kubectl.show(ctx, "apply", "-f", filepath.Join(d.root, "config", "rbac")); err != nil {
		return err
	}
	kubeconfig, err := d.accountKubeconfig(ctx, managerAccount)
	if err != nil {
		return err
	}
	probes, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	d.manager, err = d.start(ctx, "manager", managerPath, "http://"+probes+"/readyz",
		"--kubeconfig="+kubeconfig, "--metrics-bind-address=0", "--health-probe-bind-address="+probes, "--leader-elect=false")
	d.checks.require(err == nil, "the manager is ready, with its own roles only", "%v", err)
	return err
}

// applyNamespace applies the operator's namespace alone: accounts and roles
// come before anything that uses them, and are in it.
func (d *demo) applyNamespace(ctx context.Context) error {
	platform, err := readManifest(d.sample("1-platform.yaml"))
	if err != nil {
		return err
	}
	namespace, err := platform.find("Namespace", proxyNamespace)
	if err != nil {
		return err
	}
	return d.apply(ctx, manifest{namespace})
}

// buildBinaries builds manager and proxy, and says so while it takes minutes,
// as it does the first time.
func (d *demo) buildBinaries(ctx context.Context) (managerPath string, err error) {
	d.say("building manager and proxy from this working tree")
	began := d.clock.Now()
	built := make(chan struct{})
	go func() {
		defer close(built)
		managerPath, _, err = fixture.BuildBinaries(ctx, d.dir, fixture.Build{})
	}()
	ticker := time.NewTicker(20 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-built:
			return managerPath, err
		case <-ticker.C:
			d.say("still building after %s", d.clock.Since(began).Round(time.Second))
		}
	}
}

// accountKubeconfig writes the access of one of the operator's own accounts.
func (d *demo) accountKubeconfig(ctx context.Context, account string) (string, error) {
	config, err := d.controlPlane.ServiceAccountConfig(ctx, proxyNamespace, account)
	if err != nil {
		return "", err
	}
	path := filepath.Join(d.dir, account+".kubeconfig")
	return path, fixture.WriteKubeconfig(path, config)
}

// start runs one of our binaries and waits until it is ready.
func (d *demo) start(ctx context.Context, name, path, readyURL string, args ...string) (*fixture.Process, error) {
	process, err := fixture.StartProcess(fixture.Command{Name: name, Path: path, Args: args})
	if err != nil {
		return nil, err
	}
	d.later(func() error { return process.Stop(stopGrace) })
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := process.WaitReady(ctx, readyURL, nil); err != nil {
		return nil, err
	}
	d.say("%s is ready (pid %d)", name, process.PID())
	return process, nil
}

func (d *demo) startIdentity(ctx context.Context) (err error) {
	if d.port, err = d.choosePort(ctx); err != nil {
		return err
	}
	const secret = "known to everyone who reads this"
	d.provider, err = provider.Start(ctx, "127.0.0.1:0", provider.Config{
		ClientID: clientID, ClientSecret: secret, Subject: subject, Email: demoUser, Clock: d.clock,
		RedirectURIs: []string{d.publicURL(callbackPath), d.publicURL(partnerPath)},
	})
	if err != nil {
		return err
	}
	d.later(d.provider.Close)
	d.say("the provider is %s and knows the callback %s", d.provider.Issuer(), d.publicURL(callbackPath))
	for name, service := range map[string]**identity.Service{"blue": &d.blue, "green": &d.green} {
		*service, err = identity.Start(ctx, "127.0.0.1:0", identity.Config{
			Name: name, Issuer: d.provider.Issuer(), ClientID: clientID, ClientSecret: secret,
			CallbackPaths: []string{callbackPath, partnerPath}, Clock: d.clock,
		})
		if err != nil {
			return err
		}
		d.later((*service).Close)
	}
	d.say("blue listens on %s, green on %s; each knows only the logins it started", d.blue.Addr(), d.green.Addr())
	return nil
}

// publicURL is what users and the provider see.
func (d *demo) publicURL(path string) string {
	return fmt.Sprintf("http://%s:%d%s", host, d.port, path)
}

// freeAddress is one that something started at once can listen on.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("choose a port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

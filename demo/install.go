// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// install.go starts the control plane and the operator.

import (
	"context"
	"encoding/json"
	"path/filepath"

	"github.com/callbackproxy/callback-operator/test/fixture"
	"github.com/callbackproxy/callback-operator/test/installation"
)

// proxyImage is the image in the fleet's Deployment. No kubelet pulls it: the
// demo runs the program of the same source tree in its place.
const proxyImage = "localhost/callback-proxy:demo"

// startControlPlane starts etcd and the API server, and installs the CRDs and
// the roles that a user would install.
func (d *demo) startControlPlane(ctx context.Context) error {
	manager, proxy, err := d.findPrograms(ctx)
	if err != nil {
		return err
	}
	d.installation, err = installation.Start(ctx, installation.Options{
		Manager: manager, Proxy: proxy, Env: []string{"POD_NAMESPACE=" + proxyNamespace}, Log: d.out,
	})
	if err != nil {
		return err
	}
	d.deferCleanup(d.installation.Stop)
	root, err := installation.Path("")
	if err != nil {
		return err
	}
	d.kubectl = kubectl{d.installation.Kubectl, root, d.out}
	output, err := d.kubectl.get(ctx, "get", "--raw", "/version")
	if err != nil {
		return err
	}
	var version struct{ GitVersion, GoVersion, Platform string }
	err = json.Unmarshal([]byte(output), &version)
	d.printf("the API server is Kubernetes %s for %s, built with %s", version.GitVersion, version.Platform, version.GoVersion)
	d.printf("There is no node and no controller of Kubernetes. The demo runs the programs of Pods as processes on this")
	d.printf("machine, and writes their Pods and EndpointSlices.")
	d.checks.add(err == nil && version.GitVersion != "", "the API server responds", "%s", output)
	return nil
}

// findPrograms returns the paths of the manager and the proxy, and builds both
// when no directory is given.
func (d *demo) findPrograms(ctx context.Context) (manager, proxy string, err error) {
	if d.programs != "" {
		return filepath.Join(d.programs, "manager"), filepath.Join(d.programs, "proxy"), nil
	}
	d.printf("building manager and proxy")
	return fixture.BuildBinaries(ctx, d.dir, fixture.Build{})
}

// startOperator runs the manager with the account and the roles that it has in
// a cluster.
func (d *demo) startOperator(ctx context.Context) error {
	manager, err := d.installation.StartManager(ctx,
		"--leader-elect=false", "--metrics-bind-address=0", "--proxy-image="+proxyImage)
	if err != nil {
		return err
	}
	err = manager.WaitReady(ctx)
	d.checks.add(err == nil, "the manager is ready, with its own roles only", "%v", err)
	if err != nil {
		return err
	}
	d.printf("the manager is ready (pid %d)", manager.Process().PID())
	return nil
}

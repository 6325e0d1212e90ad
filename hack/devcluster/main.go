// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command devcluster runs a control plane for a developer: etcd and
// kube-apiserver, with the CRDs of this repository and of ReferenceGrant, until
// it is interrupted. It writes a kubeconfig of its own and does not touch the
// user's. There are no nodes, so no Pod runs, and nothing is kept when it ends.
//
//	make control-plane
//	export KUBECONFIG=$PWD/bin/dev/kubeconfig   # in another terminal
//	go run ./cmd/manager
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/callbackproxy/callback-operator/test/fixture"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprintln(os.Stderr, "devcluster:", err)
		os.Exit(1)
	}
}

type options struct {
	kubeconfig        string
	controllerManager bool
}

// run returns when ctx is done. Lines for a shell go to out, everything else to
// progress.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	o, err := parse(args, progress)
	if err != nil {
		return err
	}
	crds, err := fixture.CRDs()
	if err != nil {
		return err
	}
	path, err := kubeconfigPath(o.kubeconfig)
	if err != nil {
		return err
	}
	cp, err := fixture.StartControlPlane(ctx, fixture.Options{
		CRDs: []string{crds}, ReferenceGrant: true, ControllerManager: o.controllerManager, Log: progress,
	})
	if err != nil && ctx.Err() == nil {
		return err
	}
	if cp == nil { // interrupted while it started
		return nil
	}
	err = serve(ctx, cp, path, out, progress)
	_, _ = fmt.Fprintln(progress, "stopping")
	return errors.Join(err, cp.Stop(), os.Remove(path))
}

func parse(args []string, progress io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("devcluster", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "`file` to write; default bin/dev/kubeconfig of this repository")
	flags.BoolVar(&o.controllerManager, "controller-manager", false,
		"start kube-controller-manager too, which writes EndpointSlices, collects garbage and finishes the deletion of namespaces")
	err := flags.Parse(args)
	return o, err
}

// serve writes the kubeconfig, prints where it is and waits until ctx is done.
func serve(ctx context.Context, cp *fixture.ControlPlane, path string, out, progress io.Writer) error {
	if err := fixture.WriteKubeconfig(path, cp.Config); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "export KUBECONFIG=%s\n", path)
	_, _ = fmt.Fprintf(progress, "kubectl is %s\nlogs are in %s\n"+
		"The CRDs are installed. With this KUBECONFIG in another terminal, `go run ./cmd/manager` starts the operator.\n"+
		"Ctrl-C stops the control plane.\n", filepath.Join(cp.Assets, "kubectl"), cp.Dir)
	<-ctx.Done()
	return nil
}

// kubeconfigPath resolves the file to write. Only the file in the default place
// is replaced when it exists.
func kubeconfigPath(given string) (string, error) {
	if given != "" {
		path, err := filepath.Abs(given)
		if err != nil {
			return "", fmt.Errorf("resolve the kubeconfig: %w", err)
		}
		if _, err := os.Stat(path); err == nil {
			return "", fmt.Errorf("write the kubeconfig: %s exists; name a file that does not", path)
		}
		return path, nil
	}
	root, err := fixture.RepositoryRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "bin", "dev", "kubeconfig")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("create the kubeconfig's directory: %w", err)
	}
	return path, nil
}

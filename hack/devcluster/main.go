// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command devcluster runs a control plane for a developer: etcd, kube-apiserver
// and kube-controller-manager, with the CRDs of this repository and of
// ReferenceGrant, until it is interrupted. It writes a kubeconfig of its own
// and leaves the user's alone. There are no nodes, so no Pod ever runs; and
// nothing is kept when it ends.
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

// run returns when ctx is done. What to set goes to out, as lines for a shell;
// everything else to progress.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	flags := flag.NewFlagSet("devcluster", flag.ContinueOnError)
	flags.SetOutput(progress)
	kubeconfig := flags.String("kubeconfig", "", "file to write; default bin/dev/kubeconfig of this repository")
	if err := flags.Parse(args); err != nil {
		return err
	}
	crds, err := fixture.CRDs()
	if err != nil {
		return err
	}
	path, err := kubeconfigPath(*kubeconfig)
	if err != nil {
		return err
	}
	cp, err := fixture.StartControlPlane(ctx, fixture.Options{
		CRDs: []string{crds}, ReferenceGrant: true, ControllerManager: true, Log: progress,
	})
	if err != nil && ctx.Err() == nil {
		return err
	}
	if cp == nil { // interrupted while it started
		return nil
	}
	err = announce(ctx, cp, path, out, progress)
	_, _ = fmt.Fprintln(progress, "stopping")
	return errors.Join(err, cp.Stop(), os.Remove(path))
}

// announce writes the kubeconfig, says where it is and waits for the end.
func announce(ctx context.Context, cp *fixture.ControlPlane, path string, out, progress io.Writer) error {
	if err := fixture.WriteKubeconfig(path, cp.Config); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "export KUBECONFIG=%s\n", path)
	_, _ = fmt.Fprintf(progress, "kubectl is %s; logs are in %s; Ctrl-C stops it all\n",
		filepath.Join(cp.Assets, "kubectl"), cp.Dir)
	<-ctx.Done()
	return nil
}

// kubeconfigPath resolves the file to write. An existing file is only ever
// replaced in the default place, which is ours.
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
		return "", fmt.Errorf("make the kubeconfig's directory: %w", err)
	}
	return path, nil
}

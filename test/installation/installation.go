// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package installation runs the operator as users do, on one machine: etcd, the
// API server, the manager and the proxies as processes of their own, backends
// that record, Pods that stand for the processes, and kubectl. Input: one
// [Options]; output: an [Installation], whose parts tests and the demo start,
// stop and kill. All of it is I/O.
//
// Manager and proxies have the accounts and the roles of a real installation
// and no further rights. There is no kube-proxy, so the proxies get flags that
// map the address of a Service to its backend.
package installation

// installation.go: the options, Start and Stop.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/callbacks"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// Namespace is the operator's own: its accounts are in it.
const Namespace = "callback-system"

// Options configure Start. The zero value is an API server with this
// repository's CRDs and roles; everything else can be started later.
type Options struct {
	// Assets is a directory as returned by fixture.Assets, which is called when
	// it is empty.
	Assets string
	// Manager and Proxy are the programs. When both are empty, they are built
	// from the working tree.
	Manager, Proxy string
	// Dir gets logs, state and kubeconfigs. When empty it is a temporary
	// directory that Stop removes.
	Dir string
	// ControllerManager starts kube-controller-manager. Without it nothing
	// writes EndpointSlices, collects garbage or empties namespaces, except what
	// this package does for its own backends.
	ControllerManager bool
	// ControlPlaneEnv is added to the environment of etcd and the API server,
	// Env to that of managers and proxies.
	ControlPlaneEnv, Env []string
	// Manifests are files or directories, relative to the repository, that are
	// applied first. Prepare runs after that; the declared fleets exist when it
	// returns.
	Manifests []string
	Prepare   func(context.Context, *Installation) error
	// Backends, Managers and Proxies are started in this order. Start returns
	// when all of them are ready.
	Backends []BackendOptions
	Managers int
	// ManagerFlags are added to those of every manager.
	ManagerFlags []string
	Proxies      []ProxyOptions
	// Endpoint returns the URL by which a program (manager-0, proxy) reaches the
	// API server, for tests with something between them. May be nil.
	Endpoint func(ctx context.Context, cp *fixture.ControlPlane, program string) (string, error)
	// Log gets one line for each step. May be nil.
	Log io.Writer
}

// Installation is a running one. Its methods are for one goroutine at a time,
// those of managers, proxies and backends for any.
type Installation struct {
	ControlPlane *fixture.ControlPlane
	// Client is the administrator's, without a rate limit.
	Client  client.WithWatch
	Kubectl Kubectl
	// Dir has the logs, as manager-0.log and <proxy>.log.
	Dir      string
	Managers []*Manager
	Proxies  []*Proxy
	// Backends are found by name.
	Backends map[string]*callbacks.Backend

	o           Options
	connectTo   []string
	network     *network
	accounts    map[string]string // kubeconfigs, by program
	backendPods int
	stop        func() error
}

// Start brings up all that the options declare. After an error nothing is left
// running.
func Start(ctx context.Context, o Options) (*Installation, error) {
	in := &Installation{o: o, Dir: o.Dir, Backends: map[string]*callbacks.Backend{}, accounts: map[string]string{}}
	in.stop = sync.OnceValue(in.stopAll)
	if err := in.start(ctx); err != nil {
		return nil, errors.Join(err, in.Stop())
	}
	return in, nil
}

func (in *Installation) start(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		in.makeDir, in.startControlPlane, in.applyManifests, in.build, in.startDeclared,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (in *Installation) makeDir(context.Context) (err error) {
	if in.Dir == "" {
		in.Dir, err = os.MkdirTemp("", "callback-installation-")
	}
	if err != nil {
		return fmt.Errorf("make the installation's directory: %w", err)
	}
	return nil
}

func (in *Installation) startControlPlane(ctx context.Context) error {
	crds, err := fixture.CRDs()
	if err != nil {
		return err
	}
	in.ControlPlane, err = fixture.StartControlPlane(ctx, fixture.Options{
		Assets: in.o.Assets, CRDs: []string{crds}, ReferenceGrant: true, ControllerManager: in.o.ControllerManager,
		Env: in.o.ControlPlaneEnv, Log: in.o.Log,
	})
	if err != nil {
		return err
	}
	in.Kubectl = Kubectl{
		Path: filepath.Join(in.ControlPlane.Assets, "kubectl"), Kubeconfig: in.ControlPlane.Kubeconfig,
		Cache: filepath.Join(in.Dir, "kubectl"),
	}
	config := rest.CopyConfig(in.ControlPlane.Config)
	config.QPS = -1
	in.Client, err = client.NewWithWatch(config, client.Options{Scheme: newScheme()})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	return nil
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, gatewayv1.Install, callbackv1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err) // two types under one name: a mistake in this file
		}
	}
	return scheme
}

// applyManifests makes the operator's namespace, accounts and roles, and then
// applies the test's own manifests.
func (in *Installation) applyManifests(ctx context.Context) error {
	const namespace = `{apiVersion: v1, kind: Namespace, metadata: {name: ` + Namespace + `}}`
	if _, err := in.Kubectl.Apply(ctx, namespace); err != nil {
		return err
	}
	for _, path := range append([]string{"config/rbac"}, in.o.Manifests...) {
		path, err := Path(path)
		if err != nil {
			return err
		}
		if _, err := in.Kubectl.Run(ctx, "apply", "-f", path); err != nil {
			return err
		}
	}
	if in.o.Prepare == nil {
		return nil
	}
	return in.o.Prepare(ctx, in)
}

// Path returns the absolute path of a file of the repository.
func Path(relative string) (string, error) {
	root, err := fixture.RepositoryRoot()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, relative), nil
}

func (in *Installation) build(ctx context.Context) (err error) {
	if in.o.Manager == "" && in.o.Proxy == "" && in.o.Managers+len(in.o.Proxies) > 0 {
		in.o.Manager, in.o.Proxy, err = fixture.BuildBinaries(ctx, in.Dir, fixture.Build{})
	}
	return err
}

// startDeclared starts all processes before it waits for the first one.
func (in *Installation) startDeclared(ctx context.Context) error {
	for _, b := range in.o.Backends {
		if _, err := in.StartBackend(ctx, b); err != nil {
			return err
		}
	}
	for range in.o.Managers {
		if _, err := in.StartManager(ctx); err != nil {
			return err
		}
	}
	for _, p := range in.o.Proxies {
		if _, err := in.StartProxy(ctx, p); err != nil {
			return err
		}
	}
	for _, m := range in.Managers {
		if err := m.WaitReady(ctx); err != nil {
			return err
		}
	}
	for _, p := range in.Proxies {
		if err := p.WaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends everything, in reverse order. It may be called twice.
func (in *Installation) Stop() error { return in.stop() }

func (in *Installation) stopAll() error {
	for _, p := range slices.Backward(in.Proxies) {
		p.Kill()
	}
	for _, m := range slices.Backward(in.Managers) {
		m.Kill()
	}
	var errs []error
	for _, b := range in.Backends {
		errs = append(errs, b.Close())
	}
	if in.ControlPlane != nil {
		errs = append(errs, in.ControlPlane.Stop())
	}
	in.network.release()
	if in.o.Dir == "" && in.Dir != "" {
		errs = append(errs, os.RemoveAll(in.Dir))
	}
	return errors.Join(errs...)
}

// kubeconfig returns the access of a service account, by the endpoint that a
// program has.
func (in *Installation) kubeconfig(ctx context.Context, account, program string) (string, error) {
	if path := in.accounts[program]; path != "" {
		return path, nil
	}
	access, err := in.ControlPlane.ServiceAccountConfig(ctx, Namespace, account)
	if err != nil {
		return "", err
	}
	if in.o.Endpoint != nil {
		if access.Host, err = in.o.Endpoint(ctx, in.ControlPlane, program); err != nil {
			return "", err
		}
	}
	path := filepath.Join(in.Dir, program+".kubeconfig")
	if err := fixture.WriteKubeconfig(path, access); err != nil {
		return "", err
	}
	in.accounts[program] = path
	return path, nil
}

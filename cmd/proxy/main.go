// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command proxy serves the callbacks of one CallbackProxy.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/callbackproxy/callback-operator/cmd/internal/kubeapi"
	"github.com/callbackproxy/callback-operator/proxy"
	"github.com/callbackproxy/callback-operator/proxy/health"
	"github.com/callbackproxy/callback-operator/proxy/source"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(command(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// command returns the exit status: 0, 1 for a failure, 2 for wrong flags.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, errHelp):
		return 0
	case err != nil:
		_, _ = fmt.Fprintln(stderr, "callback-proxy:", err)
		return 2
	case o.version:
		_, _ = fmt.Fprintln(stdout, "callback-proxy", version)
		return 0
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	if err := run(ctx, o, log); err != nil {
		log.Error("proxy stopped", "error", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, o options, log *slog.Logger) error {
	config, err := apiConfig(o.kubeconfig)
	if err != nil {
		return err
	}
	metrics := proxy.NewMetrics()
	state := proxy.NewState(log, metrics, time.Now)
	apiTime := newWitness(state.Clock(), time.Now)
	config.Wrap(apiTime.wrap)
	config.Wrap(kubeapi.EndWatches)
	askTime, err := newAsk(config)
	if err != nil {
		return err
	}
	watch, err := source.NewWatch(config, o.namespace, o.proxy, state, log)
	if err != nil {
		return err
	}
	for from, to := range o.connectTo {
		log.Warn("address is mapped by a flag", "address", from, "connectTo", to)
	}
	client := upstream.NewClient(upstream.Options{
		ConnectTo: o.connectTo, Forbidden: forbidden(config), Now: time.Now,
	})
	checker := health.NewChecker(health.Options{
		Upstream: client, Now: time.Now, Closed: state.IsClosed, Looked: metrics.HealthCheck,
	})
	metrics.ObserveHealth(checker.Unhealthy)
	// State has swapped the table in when it calls.
	check := func() { checker.Set(state.Current().Table) }
	state.OnAdopt = func(proxy.Offer) { check() }
	state.OnTurn = check
	server := &proxy.Server{
		State: state, Metrics: metrics, Log: log, DrainDelay: o.drainDelay, Targets: checker,
		Handler: proxy.NewHandler(proxy.HandlerOptions{
			State: state, Upstream: client, Health: checker, Metrics: metrics, Log: log, Now: time.Now, Namespace: o.namespace, Name: o.proxy,
			AppPort: int32(o.appPort), //nolint:gosec // checked to be a port
		}),
	}
	callbacks, admin, err := listen(ctx, o)
	if err != nil {
		return err
	}

	// The sources outlive the drain: it ends when the server has stopped.
	sources, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	if o.stateDir != "" {
		disk := source.NewDisk(o.stateDir, log, metrics.DiskError)
		restore(disk, o.stateDir, state, metrics, log)
		state.OnAdopt = func(offer proxy.Offer) {
			disk.Keep(offer)
			check()
		}
		running.Go(func() { disk.Run(sources) })
	}
	running.Go(func() { checker.Run(sources) })
	go watch.Run(sources)
	running.Go(func() { apiTime.confirm(sources, askTime) })
	running.Go(func() { settle(sources, state, watch.Synced(), o.startTimeout, log) })
	err = server.Run(ctx, callbacks, admin)
	stop()
	running.Wait()
	return err
}

// restore serves the config of the last run until the API server is heard of.
// It makes the directory when it is not there; a proxy without one serves all
// the same, and says so.
func restore(disk *source.Disk, dir string, state *proxy.State, metrics *proxy.Metrics, log *slog.Logger) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		metrics.DiskError()
		log.Error("state directory cannot be made: after a restart nothing is served until the API server answers", "error", err)
	}
	offer, err := disk.Load()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		log.Info("no config on disk")
	case err != nil:
		metrics.DiskError()
		log.Error("config on disk is not used", "error", err)
	default:
		state.Adopt(offer)
	}
}

// settle lets the proxy become ready when the API server's config is there, or
// when it was waited for long enough and the disk's has to do.
func settle(ctx context.Context, state *proxy.State, synced <-chan struct{}, patience time.Duration, log *slog.Logger) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-synced:
	case <-timer.C:
		log.Warn("API server was not heard of in time: what the disk has is served until it is", "waited", patience.String())
	case <-ctx.Done():
	}
	state.Settle()
}

func listen(ctx context.Context, o options) (callbacks, admin net.Listener, err error) {
	var config net.ListenConfig
	if callbacks, err = config.Listen(ctx, "tcp", o.listenAddress); err != nil {
		return nil, nil, fmt.Errorf("listen for callbacks: %w", err)
	}
	if admin, err = config.Listen(ctx, "tcp", o.adminAddress); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("listen for admin requests: %w", err), callbacks.Close())
	}
	return callbacks, admin, nil
}

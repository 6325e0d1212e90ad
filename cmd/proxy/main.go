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
	"github.com/callbackproxy/callback-operator/internal/apitime"
	"github.com/callbackproxy/callback-operator/proxy"
	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/forwarding"
	"github.com/callbackproxy/callback-operator/proxy/health"
	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/source"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
	"github.com/callbackproxy/callback-operator/proxy/usage"
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
	if err := run(ctx, o, log, stderr); err != nil {
		log.Error("proxy stopped", "error", err)
		return 1
	}
	return 0
}

// run serves until ctx ends. lines takes the log lines of callbacks.
func run(ctx context.Context, o options, log *slog.Logger, lines io.Writer) error {
	api, err := apiConfig(o.kubeconfig)
	if err != nil {
		return err
	}
	counts, counters, clock := metrics.New(), usage.NewCounters(), apitime.NewClock(time.Now, log)
	store := config.NewStore(config.Options{
		Log: log, Now: time.Now, Clock: clock, Usage: counters, Sidecar: o.appPort != 0,
		Refused: func(reason string) { counts.Count(metrics.ConfigRefused, reason) },
	})
	counts.Watch(store, clock)
	begin := time.Now()
	apiServerTime := apitime.NewReader(clock, func() time.Duration { return time.Since(begin) })
	api.Wrap(apiServerTime.Wrap)
	api.Wrap(kubeapi.EndWatches)
	requestTime, err := newTimeRequest(api)
	if err != nil {
		return err
	}
	watch, err := source.NewWatch(api, o.namespace, o.proxy, store, log)
	if err != nil {
		return err
	}
	for from, to := range o.connectTo {
		log.Warn("address is mapped by a flag", "address", from, "connectTo", to)
	}
	client := upstream.NewClient(upstream.Options{
		ConnectTo: o.connectTo, Forbidden: forbidden(api), Now: time.Now,
	})
	checker := health.NewChecker(health.Options{
		Upstream: client, Now: time.Now, IsClosed: store.IsClosed, Pseudonym: forwarding.Pseudonym(o.namespace, o.proxy),
		Probed: func(kind, result string) { counts.Count(metrics.HealthChecks, kind, result) },
	})
	counts.Bind(metrics.TargetUnhealthy, func() float64 { return float64(checker.Unhealthy()) })
	store.Subscribe(func(c config.Change) { checker.Set(c.After.Table) })
	server := &proxy.Server{
		Store: store, Clock: clock, Usage: counters, Metrics: counts, Log: log, DrainDelay: o.drainDelay, Targets: checker,
		Capacity: readCapacity(uint64(o.memoryLimit), log),
		Handler: proxy.NewHandler(proxy.HandlerOptions{
			Store: store, Clock: clock, Usage: counters, Upstream: client, Health: checker, Metrics: counts, Log: log, Lines: lines, Now: time.Now,
			Namespace: o.namespace, Name: o.proxy,
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
		disk := source.NewDisk(o.stateDir, log, func() { counts.Count(metrics.DiskErrors) })
		restore(disk, o.stateDir, store, counts, log)
		store.Subscribe(func(c config.Change) {
			if c.Offer != nil {
				disk.Keep(*c.Offer)
			}
		})
		running.Go(func() { disk.Run(sources) })
	}
	running.Go(func() { checker.Run(sources) })
	go watch.Run(sources)
	running.Go(func() { apiServerTime.Run(sources, requestTime) })
	running.Go(func() { settle(sources, store, watch.Synced(), o.startTimeout, log) })
	err = server.Run(ctx, callbacks, admin)
	stop()
	running.Wait()
	return err
}

// restore serves the config of the last run until the API server responds. It
// makes the directory when it is absent; a proxy without one serves without it,
// and logs an error.
func restore(disk *source.Disk, dir string, store *config.Store, counts *metrics.Metrics, log *slog.Logger) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		counts.Count(metrics.DiskErrors)
		log.Error("state directory cannot be made: after a restart no config is served until the API server responds", "error", err)
	}
	offer, err := disk.Load()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		log.Info("no config on disk")
	case err != nil:
		counts.Count(metrics.DiskErrors)
		log.Error("config on disk is not used", "error", err)
	default:
		store.Adopt(offer)
	}
}

// settle makes the proxy ready when the API server's config was offered, or after
// the timeout with the disk's.
func settle(ctx context.Context, store *config.Store, synced <-chan struct{}, timeout time.Duration, log *slog.Logger) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-synced:
	case <-timer.C:
		log.Warn("API server did not respond in time: the config on disk is served until it does", "waited", timeout.String())
	case <-ctx.Done():
	}
	store.Settle()
}

func listen(ctx context.Context, o options) (callbacks, admin net.Listener, err error) {
	var listening net.ListenConfig
	if callbacks, err = listening.Listen(ctx, "tcp", o.listenAddress); err != nil {
		return nil, nil, fmt.Errorf("listen for callbacks: %w", err)
	}
	if admin, err = listening.Listen(ctx, "tcp", o.adminAddress); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("listen for admin requests: %w", err), callbacks.Close())
	}
	return callbacks, admin, nil
}

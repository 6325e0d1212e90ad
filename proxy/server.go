// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package proxy serves callbacks. In: a config and requests of clients; out: one
// attempt at the backend that the config names, or a constant page. I/O.
package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/callbackproxy/callback-operator/internal/apitime"
	"github.com/callbackproxy/callback-operator/proxy/budget"
	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/http1"
	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/usage"
)

// The limits of client connections.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	// idleTimeout is longer than the one of usual clients, and trustedIdleTimeout
	// than the one of usual fronts (600 s at most), so that no client reuses a
	// connection that this end is just closing.
	idleTimeout        = 75 * time.Second
	trustedIdleTimeout = 620 * time.Second
	// writeGrace is how long a client may take for a response after its route's
	// own time.
	writeGrace = 10 * time.Second
	// maxTargetBytes and maxHeaderBytes bound the head of a request.
	maxTargetBytes = routetable.DefaultTargetKiB << 10
	maxHeaderBytes = routetable.DefaultHeaderKiB << 10
	// maxAdminHeadBytes bounds requests to the admin port.
	maxAdminHeadBytes = 16 << 10
	// exitTimeout bounds a shutdown, the drain delay included, and lastWords is
	// the part of it in which requests that are still in flight get their response.
	exitTimeout = 28 * time.Second
	lastWords   = time.Second
	// logInterval bounds the log about connections that are dropped.
	logInterval = time.Minute
	// streamGrace is how long requests to an application may go on after draining
	// began. It ends before exitTimeout, so that a stream without an end is no
	// failure.
	streamGrace = exitTimeout - 3*time.Second
)

// MaxDrainDelay leaves requests in flight some time before exitTimeout.
const MaxDrainDelay = 20 * time.Second

// Server runs the two listeners of a proxy.
type Server struct {
	Store   *config.Store
	Clock   *apitime.Clock
	Usage   *usage.Counters
	Handler *Handler
	Metrics *metrics.Metrics
	Log     *slog.Logger
	// Targets are the results of the health checks, for the report; nil: none.
	Targets TargetChanges
	// DrainDelay is how long callbacks are still accepted after the proxy stops
	// to be ready, so that load balancers see it in time.
	DrainDelay time.Duration
	// Capacity is what this instance can hold; its zero value stands for one
	// without limits.
	Capacity Capacity

	draining atomic.Bool
}

// Run serves until ctx is cancelled, then drains: not ready, still accepting
// for the drain delay, then no new connections, and requests in flight finish
// within exitTimeout. It closes both listeners.
func (s *Server) Run(ctx context.Context, callbacks, admin net.Listener) error {
	port, err := portOf(callbacks)
	if err != nil {
		return err
	}
	callbackServer := s.callbackServer()
	adminServer := s.adminServer(port)
	failed := make(chan error, 2)
	var serving sync.WaitGroup
	serve := func(serve func(net.Listener) error, listener net.Listener) {
		if err := serve(listener); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, http1.ErrServerClosed) {
			failed <- fmt.Errorf("serve %s: %w", listener.Addr(), err)
		}
	}
	serving.Go(func() { serve(callbackServer.Serve, callbacks) })
	serving.Go(func() { serve(adminServer.Serve, admin) })
	sweeping, stopSweeping := context.WithCancel(context.WithoutCancel(ctx)) // also while draining
	defer stopSweeping()
	serving.Go(func() { s.Store.Run(sweeping) })
	s.Log.Info("serving", "listenAddress", callbacks.Addr().String(), "adminAddress", admin.Addr().String())

	var failure error
	select {
	case failure = <-failed:
	case <-ctx.Done():
		failure = s.drain(context.WithoutCancel(ctx), callbackServer)
	}
	stopSweeping()
	s.Handler.stop()
	failure = errors.Join(failure, callbackServer.Close(), adminServer.Close())
	if app := s.Handler.app; app != nil {
		app.Cut()
	}
	callbackServer.Wait()
	serving.Wait()
	return failure
}

// drain ends the callback server without failing a request. Requests to an
// application end with streamGrace at the latest, callbacks with exitTimeout:
// those that are still in flight get a response then, never an empty end. The
// admin server goes on, so that readiness and metrics can be read to the end.
func (s *Server) drain(ctx context.Context, server *http1.Server) error {
	ctx, cancel := context.WithTimeout(ctx, exitTimeout)
	defer cancel()
	s.Log.Info("draining", "delay", s.DrainDelay.String())
	s.draining.Store(true)
	server.Drain()
	if app := s.Handler.app; app != nil {
		defer app.CutLater().Stop()
	}
	defer time.AfterFunc(exitTimeout-lastWords, s.Handler.stop).Stop()
	delay := time.NewTimer(s.DrainDelay)
	defer delay.Stop()
	<-delay.C
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("finish requests in flight: %w", err)
	}
	s.Log.Info("drained")
	return nil
}

func (s *Server) callbackServer() *http1.Server {
	capacity := cmp.Or(s.Capacity, CapacityOf(0, 0))
	memory := budget.NewMemory(capacity.RequestBytes, s.Handler.now)
	drops := &rate.Sometimes{Interval: logInterval}
	server := &http1.Server{
		Handle: s.Handler.Serve,
		Limits: func() http1.Limits { return s.limits(capacity.Connections) },
		Memory: memory,
		Dropped: func(reason string, socket netip.AddrPort) {
			s.Metrics.Count(metrics.Refused, reason)
			drops.Do(func() {
				s.Log.Warn("connection dropped: it does not begin as spec.listener.proxyProtocol requires", "reason", reason, "peer", socket.Addr().String())
			})
		},
		IdleTimeout: func(peer netip.Addr) time.Duration {
			if current := s.Store.Current(); current != nil && current.Trusts(peer.Unmap().WithZone("")) {
				return trustedIdleTimeout
			}
			return idleTimeout
		},
		Log: s.Log, Now: s.Handler.now,
	}
	s.Metrics.Bind(metrics.Connections, func() float64 { return float64(server.Connections()) })
	s.Metrics.Bind(metrics.RequestMemory, func() float64 { return float64(memory.Held()) })
	return server
}

// limits are those of the next request and of the next connection. connections is
// how many this instance can hold.
func (s *Server) limits(connections int) http1.Limits {
	limits := http1.Limits{
		TargetBytes: maxTargetBytes, HeaderBytes: maxHeaderBytes, HeadTimeout: readHeaderTimeout, Connections: connections,
	}
	if current := s.Store.Current(); current != nil {
		limits.TargetBytes, limits.HeaderBytes = current.HeadLimits()
		limits.Connections = min(limits.Connections, current.Connections())
		limits.ProxyProtocol = current.Table.Settings.ProxyProtocol
	}
	return limits
}

func (s *Server) newServer(handler http.Handler, maxHeader int) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      readTimeout,
		IdleTimeout:       readTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(quietHandler{s.Log.Handler()}, slog.LevelWarn),
	}
}

func portOf(listener net.Listener) (int32, error) {
	ap, err := netip.ParseAddrPort(listener.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("read the listener's port: %w", err)
	}
	return int32(ap.Port()), nil
}

// quietHandler passes of net/http's own messages only those about connections
// that cannot be accepted. The others may quote what was read.
type quietHandler struct{ slog.Handler }

// Handle replaces a message that may quote a request by a constant.
func (q quietHandler) Handle(ctx context.Context, record slog.Record) error {
	message := "connection failed"
	if strings.HasPrefix(record.Message, "http: Accept error") {
		message = record.Message
	}
	return q.Handler.Handle(ctx, slog.NewRecord(record.Time, record.Level, message, 0))
}

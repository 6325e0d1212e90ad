// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package proxy serves callbacks. In: a config and requests of clients; out: one
// attempt at the backend that the config names, or a constant page. I/O.
package proxy

import (
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

	"github.com/callbackproxy/callback-operator/internal/apitime"
	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/usage"
)

// The limits of client connections.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	idleTimeout       = 60 * time.Second
	// writeGrace is how long a client may take for a response after its route's
	// own time.
	writeGrace = 10 * time.Second
	// maxHeadBytes is the limit of net/http. It is more than the gate allows, so
	// that clients get the gate's responses.
	maxHeadBytes = gate.MaxTargetBytes + gate.MaxHeaderBytes + 16<<10
	// maxAdminHeadBytes bounds requests to the admin port.
	maxAdminHeadBytes = 16 << 10
	// exitTimeout bounds a shutdown, the drain delay included.
	exitTimeout = 28 * time.Second
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
	serve := func(server *http.Server, listener net.Listener) {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serve %s: %w", listener.Addr(), err)
		}
	}
	serving.Go(func() { serve(callbackServer, callbacks) })
	serving.Go(func() { serve(adminServer, admin) })
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
	failure = errors.Join(failure, callbackServer.Close(), adminServer.Close())
	if app := s.Handler.app; app != nil {
		app.Cut()
	}
	serving.Wait()
	return failure
}

// drain ends the callback server without failing a request. Requests to an
// application end with streamGrace at the latest. The admin server goes on, so
// that readiness and metrics can be read to the end.
func (s *Server) drain(ctx context.Context, server *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, exitTimeout)
	defer cancel()
	s.Log.Info("draining", "delay", s.DrainDelay.String())
	s.draining.Store(true)
	s.Handler.draining.Store(true)
	app := s.Handler.app
	if app != nil {
		defer app.CutLater().Stop()
	}
	delay := time.NewTimer(s.DrainDelay)
	defer delay.Stop()
	<-delay.C
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("finish requests in flight: %w", err)
	}
	if app != nil {
		app.Wait() // for WebSockets, which Shutdown does not count
	}
	s.Log.Info("drained")
	return nil
}

func (s *Server) callbackServer() *http.Server {
	server := s.newServer(s.Handler, maxHeadBytes)
	server.DisableGeneralOptionsHandler = true // the gate refuses "OPTIONS *"
	return server
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
		IdleTimeout:       idleTimeout,
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

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"k8s.io/utils/clock"

	"github.com/callbackproxy/callback-operator/test/callbacks"
	"github.com/callbackproxy/callback-operator/test/cluster/app/streams"
	"github.com/callbackproxy/callback-operator/test/idp/identity"
	"github.com/callbackproxy/callback-operator/test/idp/provider"
)

const (
	clientID = "acme-sso"
	// secretVariable holds the client's secret: never a flag, as every user can
	// list those of a process.
	secretVariable = "CLIENT_SECRET"
	// readyPath responds as long as the process runs; the identity service's
	// own /healthz does not while it hangs.
	readyPath = "/readyz"
)

// service configures an identity service or an application.
type service struct {
	name, listen, issuer string
	callbacks            callbacks.Repeated
	linger               time.Duration
}

func (s *service) parse(command string, args []string) error {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.StringVar(&s.name, "name", "", "what its pages call it")
	flags.StringVar(&s.listen, "listen", ":8080", "address to listen on")
	flags.StringVar(&s.issuer, "issuer", "", "the provider's")
	flags.Var(&s.callbacks, "callback", "path of callbacks, may be repeated")
	flags.DurationVar(&s.linger, "linger", 0, "how long it works on after SIGTERM before it stops")
	if err := callbacks.ParseFlags(flags, args); err != nil {
		return err
	}
	if s.name == "" || s.issuer == "" || len(s.callbacks) == 0 {
		return errors.New("require --name, --issuer and --callback")
	}
	return nil
}

func runIdentity(ctx context.Context, args []string, _ io.Writer) error {
	var s service
	if err := s.parse("identity", args); err != nil {
		return err
	}
	relyingParty, err := s.relyingParty(ctx)
	if err != nil {
		return err
	}
	return s.serve(ctx, relyingParty)
}

func runApp(ctx context.Context, args []string, _ io.Writer) error {
	var s service
	if err := s.parse("app", args); err != nil {
		return err
	}
	relyingParty, err := s.relyingParty(ctx)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(streams.Prefix, streams.Handler())
	mux.Handle("/", relyingParty)
	return s.serve(ctx, mux)
}

// relyingParty starts the identity service on loopback, once its provider
// answers, and returns a way to it that leaves Host and forwarded headers as
// they came: the service builds its redirect URI from them.
func (s *service) relyingParty(ctx context.Context) (http.Handler, error) {
	config := identity.Config{
		Name: s.name, Issuer: s.issuer, CallbackPaths: s.callbacks,
		ClientID: clientID, ClientSecret: os.Getenv(secretVariable), Clock: clock.RealClock{},
	}
	for deadline := time.Now().Add(time.Minute); ; {
		started, err := identity.Start(ctx, "127.0.0.1:0", config)
		if err == nil {
			to := &url.URL{Scheme: "http", Host: started.Addr()}
			return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(to)
				r.Out.Host = r.In.Host
				if proto, came := r.In.Header["X-Forwarded-Proto"]; came {
					r.Out.Header["X-Forwarded-Proto"] = proto
				}
			}}, nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return nil, err
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// serve records the callbacks of loads and passes all other requests to next.
// SIGUSR1 makes it hang, and work again: it accepts connections and does not
// respond.
func (s *service) serve(ctx context.Context, next http.Handler) error {
	var hangs atomic.Bool
	toggle := make(chan os.Signal, 1)
	signal.Notify(toggle, syscall.SIGUSR1)
	go func() {
		for range toggle {
			hangs.Store(!hangs.Load())
		}
	}()
	recorder := callbacks.NewRecorder(s.name, nil)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == readyPath:
		case r.URL.Path == callbacks.RecordPath:
			recorder.ServeHTTP(w, r)
		case hangs.Load():
			<-r.Context().Done()
		case slices.Contains(s.callbacks, r.URL.Path) && callbacks.IsCallback(r):
			recorder.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
	return listenAndServe(ctx, s.listen, handler, s.linger)
}

// listenAndServe serves until ctx ends, for the time of linger after that, and
// then until what is under way is done.
func listenAndServe(ctx context.Context, address string, handler http.Handler, linger time.Duration) error {
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	server.SetKeepAlivesEnabled(false) // clients leave while they still get responses
	time.Sleep(linger)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("shut down: %w", err), server.Close())
	}
	return nil
}

// runProvider listens on the pod's own address, which is its issuer's name: only
// this run's clients have it.
func runProvider(ctx context.Context, args []string, _ io.Writer) error {
	flags := flag.NewFlagSet("provider", flag.ContinueOnError)
	listen := flags.String("listen", "", "IP:PORT to listen on, also the issuer's")
	var redirects callbacks.Repeated
	flags.Var(&redirects, "redirect", "registered redirect URI, may be repeated")
	if err := callbacks.ParseFlags(flags, args); err != nil {
		return err
	}
	if host, _, err := net.SplitHostPort(*listen); err != nil || net.ParseIP(host) == nil {
		return errors.New("require --listen=IP:PORT")
	}
	secret := os.Getenv(secretVariable)
	if strings.TrimSpace(secret) == "" {
		return errors.New("require the client's secret in " + secretVariable)
	}
	p, err := provider.Start(ctx, *listen, provider.Config{
		ClientID: clientID, ClientSecret: secret, RedirectURIs: redirects,
		Subject: "user-1", Email: "user@acme.test", Clock: clock.RealClock{},
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return p.Close()
}

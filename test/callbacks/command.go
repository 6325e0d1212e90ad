// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package callbacks

// command.go: the load and the backend as commands, for pods and other processes of their own.

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// RunLoad is the command load: it sends callbacks until ctx ends or the time is
// over, then writes the outcome to stdout as one line of JSON. Each target is
// resolved once, as by a client whose resolver has a cache.
func RunLoad(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	var o Options
	var backends, expected Repeated
	flags.StringVar(&o.Name, "name", "", "part of each callback's identity")
	flags.Var((*Repeated)(&o.Targets), "target", "host:port of a proxy or Service, may be repeated")
	flags.StringVar(&o.Host, "host", "", "the Host header")
	flags.StringVar(&o.Path, "path", "", "path of the callback")
	flags.StringVar(&o.DeliveredPath, "delivered-path", "", "path at the backends, where it is another one")
	flags.IntVar(&o.Rate, "rate", 50, "requests per second")
	flags.BoolVar(&o.KeepAlive, "keep-alive", true, "send half of the callbacks over kept connections")
	flags.Var(&backends, "backend", "NAME=host:port of a backend that records, may be repeated; without any only responses are judged")
	flags.Var(&expected, "expect", "name of a backend that may receive callbacks, may be repeated; all of them by default")
	seconds := flags.Int("seconds", 0, "duration; 0: until SIGTERM")
	if err := ParseFlags(flags, args); err != nil {
		return err
	}
	if len(o.Targets) == 0 || o.Path == "" || o.Rate <= 0 {
		return errors.New("require --target, --path and a --rate above 0")
	}
	var sources []Source
	for _, pair := range backends {
		name, address, found := strings.Cut(pair, "=")
		if !found {
			return fmt.Errorf("--backend must be NAME=host:port: %q", pair)
		}
		sources = append(sources, Remote{Name: name, Address: address})
		o.Backends = append(o.Backends, name)
	}
	if len(expected) > 0 {
		o.Backends = expected
	}
	for i, target := range o.Targets {
		var err error
		if o.Targets[i], err = resolve(ctx, target); err != nil {
			return err
		}
	}
	if *seconds > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*seconds)*time.Second)
		defer cancel()
	}
	l := Start(o) //nolint:contextcheck // Judge ends it: responses may arrive after ctx ended
	<-ctx.Done()
	if err := json.NewEncoder(stdout).Encode(l.Judge(context.WithoutCancel(ctx), sources...)); err != nil {
		return fmt.Errorf("write the outcome: %w", err)
	}
	return nil
}

// RunBackend is the command backend: it records requests until ctx ends.
func RunBackend(ctx context.Context, args []string, _ io.Writer) error {
	flags := flag.NewFlagSet("backend", flag.ContinueOnError)
	name := flags.String("name", "", "the body of its responses")
	listen := flags.String("listen", ":8080", "address to listen on")
	if err := ParseFlags(flags, args); err != nil {
		return err
	}
	if *name == "" {
		return errors.New("require --name")
	}
	b, err := StartBackend(ctx, *name, *listen, nil)
	if err != nil {
		return err
	}
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), defaultTimeout)
	defer cancel()
	if err := b.server.Shutdown(ctx); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return errors.Join(fmt.Errorf("shut down: %w", err), b.Close())
	}
	return nil
}

// resolve returns address:port of host:port, within half a minute.
func resolve(ctx context.Context, target string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return "", fmt.Errorf("read the target: %w", err)
	}
	for {
		found, err := net.DefaultResolver.LookupHost(ctx, host)
		if err == nil && len(found) > 0 {
			return net.JoinHostPort(found[0], port), nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("resolve the target: %w", err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command callback-e2e is everything that the end-to-end suite runs inside of
// a cluster, in one static binary: identity services, the OpenID Provider, the
// application behind a sidecar, and the clients. A client writes its result as
// one line of JSON to stdout. No code, state or token of a login is ever printed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/callbackproxy/callback-operator/test/callbacks"
)

// command is one subcommand. It runs until it is done or ctx ends.
type command struct {
	name, usage string
	run         func(ctx context.Context, args []string, stdout io.Writer) error
}

func commands() []command {
	return []command{
		{"identity", "an identity service that starts logins, takes callbacks and records those of a load", runIdentity},
		{"app", "the same, with the streams of an application", runApp},
		{"provider", "an OpenID Provider", runProvider},
		{"idle", "nothing, until SIGTERM: a place to run the commands below", runIdle},
		{"signal", "send TERM or USR1 to process 1 of the container", runSignal},
		{"login", "one login, as a browser does it", runLogin},
		{"get", "one request, and its status and body", runGet},
		{"streams", "everything that the application does, through a sidecar", runStreams},
		{"latency", "compare two ways to one server", runLatency},
		{"load", "callbacks at a constant rate until SIGTERM, then the comparison with the records", callbacks.RunLoad},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err := dispatch(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprintln(os.Stderr, "callback-e2e:", err)
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string, stdout io.Writer) error {
	all := commands()
	if len(args) > 0 {
		if i := slices.IndexFunc(all, func(c command) bool { return c.name == args[0] }); i >= 0 {
			if err := all[i].run(ctx, args[1:], stdout); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return nil
		}
	}
	var usage strings.Builder
	for _, c := range all {
		fmt.Fprintf(&usage, "\n  %-9s %s", c.name, c.usage)
	}
	return errors.New("use one of these commands:" + usage.String())
}

func writeLine(w io.Writer, v any) error {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

func runIdle(ctx context.Context, args []string, _ io.Writer) error {
	err := callbacks.ParseFlags(flag.NewFlagSet("idle", flag.ContinueOnError), args)
	if err == nil {
		<-ctx.Done()
	}
	return err
}

// runSignal is what `kubectl exec` calls: images without a shell have no kill.
func runSignal(_ context.Context, args []string, _ io.Writer) error {
	known := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "USR1": syscall.SIGUSR1}
	if len(args) != 1 || known[args[0]] == 0 {
		return errors.New("require TERM or USR1")
	}
	if err := syscall.Kill(1, known[args[0]]); err != nil {
		return fmt.Errorf("signal process 1: %w", err)
	}
	return nil
}

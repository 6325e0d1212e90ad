// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command callbacks puts proxies under a constant load of callbacks and judges
// the outcome ("callbacks load"), and runs the backends that record what
// arrives ("callbacks backend").
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/callbackproxy/callback-operator/test/callbacks"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprintln(os.Stderr, "callbacks:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch command {
	case "load":
		return callbacks.RunLoad(ctx, args, stdout)
	case "backend":
		return callbacks.RunBackend(ctx, args, stdout)
	default:
		return errors.New("use one of the commands load and backend; --help lists the flags of each")
	}
}

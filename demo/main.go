// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo runs callback-operator on one machine: a control plane, the
// manager, a fleet of two proxies, an OpenID provider, an old identity service
// and a new one. A user signs in through the callback URL that is registered
// at the provider, the route switches to the new service, the user signs in
// again, and a second route reaches its sunset. Everything in the output is
// observed in this run, and the exit status is 0 only if every check held.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

func main() {
	var o options
	o.keep, _ = strconv.ParseBool(os.Getenv("KEEP"))
	flag.StringVar(&o.programs, "programs", "", "`directory` with manager and proxy; both are built when it is empty")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt ends the process at once
	result, err := run(ctx, os.Stdout, o)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "demo:", err)
	}
	if err != nil || result.haveFailed() {
		os.Exit(1)
	}
}

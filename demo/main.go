// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo shows what callback-operator is for, with everything real but
// the network between the machines: a control plane, the manager, two proxies,
// an OpenID Provider, and an old and a new identity service. A user signs in
// through the callback URL that the provider knows; the service behind the URL
// is exchanged; she signs in again; and a route ends at its sunset. What it
// prints is what these programs said, and its exit status says whether all of
// it was as it should be.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt ends it at once
	keep, _ := strconv.ParseBool(os.Getenv("KEEP"))
	result, err := run(ctx, os.Stdout, options{keep: keep})
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "demo:", err)
	}
	if err != nil || result.failed() {
		os.Exit(1)
	}
}

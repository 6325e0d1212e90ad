// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command peer is the other end of a benchmark: the backend ("peer backend"),
// and a bare httputil.ReverseProxy to compare with ("peer reverseproxy").
package main

// main.go: the two commands and their flags.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:0", "`address` to listen on")
	to := flags.String("backend", "", "`address` of the backend, for reverseproxy")
	keep := flags.Bool("keep", false, "keep connections between proxy and backend")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var serve func(net.Listener) error
	switch command {
	case "backend":
		serve = backend{*keep}.serve
	case "reverseproxy":
		serve = newReverseProxy(*to, *keep).Serve
	default:
		return errors.New("use one of the commands backend and reverseproxy")
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	if err := serve(listener); ctx.Err() == nil {
		return err
	}
	return nil
}

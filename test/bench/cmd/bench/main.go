// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command bench measures this project's proxy beside nginx, HAProxy, Caddy and a
// bare httputil.ReverseProxy, and prints a table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/callbackproxy/callback-operator/test/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o := bench.Options{Progress: stderr}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.Programs, "programs", "bin/bench", "`directory` with proxy, peer and caddy")
	flags.IntVar(&o.Rounds, "rounds", 5, "how often each proxy gets each load; the table has the medians")
	flags.DurationVar(&o.Duration, "duration", 3*time.Second, "how long one load is measured")
	flags.DurationVar(&o.WarmUp, "warm-up", 500*time.Millisecond, "how long a load is sent before it is measured")
	flags.DurationVar(&o.Pause, "pause", 0, "wait between two loads, on a machine that others use too")
	flags.IntVar(&o.Rate, "rate", 1500, "requests in a second: GET and form")
	flags.IntVar(&o.SAMLRate, "saml-rate", 1000, "requests in a second: SAML")
	hosts := flags.String("hosts", "1,500,50000", "`numbers` of hosts that callbackproxy serves; each has two routes")
	only := flags.String("only", "", "parts of the `names` of the proxies that run, divided by commas; none: all")
	flags.Func("build", "another build of callbackproxy to compare with, as `NAME=FILE`; repeatable", func(build string) error {
		o.Builds = append(o.Builds, build)
		return nil
	})
	markdown := flags.String("markdown", "", "`file` that gets the table as Markdown")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *only != "" {
		o.Only = strings.Split(*only, ",")
	}
	for number := range strings.SplitSeq(*hosts, ",") {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is no number of hosts", number)
		}
		o.Hosts = append(o.Hosts, n)
	}
	table, err := bench.Run(ctx, o)
	if err != nil {
		return err
	}
	if *markdown != "" {
		file, err := os.Create(*markdown)
		if err != nil {
			return fmt.Errorf("write the table: %w", err)
		}
		if err := errors.Join(table.WriteMarkdown(file), file.Close()); err != nil {
			return err
		}
	}
	return table.WriteText(stdout)
}

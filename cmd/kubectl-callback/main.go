// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-callback is a plugin of kubectl: one verb in each file. It
// runs as "kubectl callback" when it is found in PATH.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(command(ctx, os.Args[1:], genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}))
}

// command returns the exit status: 0, or 1 for a failure.
func command(ctx context.Context, args []string, streams genericiooptions.IOStreams) int {
	root := newRoot(streams) //nolint:contextcheck // cobra hands the context on
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		_, _ = fmt.Fprintln(streams.ErrOut, "error:", err)
		return 1
	}
	return 0
}

func newRoot(streams genericiooptions.IOStreams) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-callback",
		Short: "Keep callback URLs alive while the service behind them is replaced",
		Annotations: map[string]string{
			cobra.CommandDisplayNameAnnotation: "kubectl callback",
		},
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newInject(streams), newVersion(streams))
	return root
}

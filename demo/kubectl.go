// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// kubectl runs the user's own kubectl, or the one that was built, against the
// demo's control plane only: configuration, preferences and caches of the user
// are neither read nor written.
type kubectl struct {
	path, kubeconfig, cache string
	built                   bool // not the user's own
	out                     io.Writer
}

// show runs a command that the reader could type, and prints both it and all
// that it said.
func (k kubectl) show(ctx context.Context, args ...string) (string, error) {
	return k.showWithInput(ctx, "", args...)
}

// showWithInput is show with something for stdin.
func (k kubectl) showWithInput(ctx context.Context, input string, args ...string) (string, error) {
	_, _ = fmt.Fprintf(k.out, "$ kubectl %s\n", strings.Join(quote(args), " "))
	said, err := k.run(ctx, input, args...)
	_, _ = io.WriteString(k.out, indent(said))
	return said, err
}

// get runs a command without showing it, to read a value.
func (k kubectl) get(ctx context.Context, args ...string) (string, error) {
	said, err := k.run(ctx, "", args...)
	return strings.TrimSpace(said), err
}

func (k kubectl) run(ctx context.Context, input string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, k.path, append([]string{"--cache-dir=" + k.cache}, args...)...)
	command.Env = append(os.Environ(), "KUBECONFIG="+k.kubeconfig, "KUBERC=off")
	command.Stdin = strings.NewReader(input)
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Run(); err != nil {
		return said.String(), fmt.Errorf("run kubectl %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return said.String(), nil
}

// quote makes arguments safe to copy into a shell.
func quote(args []string) []string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = arg
		if strings.ContainsAny(arg, " \"'{}[]()$&;|<>*?!\\") {
			quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return quoted
}

// indent sets off what a program said from what the demo says.
func indent(said string) string {
	if strings.TrimSpace(said) == "" {
		return ""
	}
	return "  " + strings.ReplaceAll(strings.TrimRight(said, "\n"), "\n", "\n  ") + "\n"
}

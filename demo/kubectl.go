// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// kubectl.go runs kubectl and shows its commands and their output.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/callbackproxy/callback-operator/test/installation"
)

// kubectl runs the kubectl of the control plane's version. It neither reads nor
// writes the user's configuration, preferences and caches.
type kubectl struct {
	installation.Kubectl
	dir string // the repository's
	out io.Writer
}

// show runs a command and prints both the command, as a user would type it, and
// its whole output.
func (k kubectl) show(ctx context.Context, args ...string) (string, error) {
	return k.showWithInput(ctx, "", args...)
}

// showWithInput is show with a text for stdin.
func (k kubectl) showWithInput(ctx context.Context, input string, args ...string) (string, error) {
	_, _ = fmt.Fprintf(k.out, "$ kubectl %s\n", strings.Join(quote(args), " "))
	output, err := k.run(ctx, input, args...)
	_, _ = io.WriteString(k.out, indent(output))
	return output, err
}

// get runs a command without showing it, to read a value. Its errors contain
// the output; those of show do not, because the output is shown.
func (k kubectl) get(ctx context.Context, args ...string) (string, error) {
	output, err := k.run(ctx, "", args...)
	output = strings.TrimSpace(output)
	if err != nil {
		return output, fmt.Errorf("%w: %s", err, output)
	}
	return output, nil
}

// run returns stdout and stderr together, so that warnings are shown.
func (k kubectl) run(ctx context.Context, input string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, k.Path, append([]string{"--cache-dir=" + k.Cache}, args...)...)
	command.Env = append(os.Environ(), "KUBECONFIG="+k.Kubeconfig, "KUBERC=off")
	command.Dir = k.dir
	command.Stdin = strings.NewReader(input)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		return output.String(), fmt.Errorf("run kubectl %s: %w", args[0], err)
	}
	return output.String(), nil
}

// waitRoute waits for a condition that is about the route's newest generation.
func (d *demo) waitRoute(ctx context.Context, condition, route string) error {
	_, err := d.kubectl.show(ctx, "wait", "--for=condition="+condition, waitTimeout,
		"callbackroute/"+route, "-n", routeNamespace)
	if err != nil {
		status, _ := d.kubectl.get(ctx, "get", "callbackroute", route, "-n", routeNamespace, "-o", "jsonpath={.status.conditions}")
		return errors.Join(err, fmt.Errorf("the conditions are %s", status))
	}
	return nil
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

// indent sets the output of a program off from the demo's own.
func indent(output string) string {
	if strings.TrimSpace(output) == "" {
		return ""
	}
	lines := strings.Split(strings.TrimRight(output, "\n"), "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = "  " + line
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

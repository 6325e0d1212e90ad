// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package installation

// kubectl.go: kubectl as the administrator of this installation alone.

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Kubectl runs a kubectl against one API server. The user's configuration,
// preferences and caches are neither read nor written.
type Kubectl struct {
	Path, Kubeconfig, Cache string
}

// Run returns what the command wrote to stdout.
func (k Kubectl) Run(ctx context.Context, args ...string) (string, error) {
	return k.RunWithInput(ctx, "", args...)
}

// Apply applies a manifest.
func (k Kubectl) Apply(ctx context.Context, manifest string) (string, error) {
	return k.RunWithInput(ctx, manifest, "apply", "-f", "-")
}

// RunWithInput is Run with a text for stdin.
func (k Kubectl) RunWithInput(ctx context.Context, input string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, k.Path, append([]string{"--cache-dir=" + k.Cache}, args...)...)
	command.Env = append(os.Environ(), "KUBECONFIG="+k.Kubeconfig, "KUBERC=off")
	command.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	stdout, err := command.Output()
	if err != nil {
		return string(stdout), fmt.Errorf("run kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(stdout), nil
}

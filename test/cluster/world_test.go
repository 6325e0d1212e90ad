// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// release is the name that README.md gives it.
const release = "callback-operator"

// world is one cluster and what the story made in it.
type world struct {
	settings
	// prefix is that of all namespaces.
	prefix string
	// values of the variables in manifests.
	values map[string]string
	// failed are the steps that did.
	failed map[string]bool
	// commands since the installation began, as a person would have to type
	// them, until the first callback was served.
	commands []string
	// before are all objects in no namespace that were there before.
	before []string
	// cleaned is whether all objects of the suite are removed.
	cleaned bool
}

func newWorld(s settings, prefix string) *world {
	return &world{
		settings: s, prefix: prefix, failed: map[string]bool{},
		values: map[string]string{
			"P": prefix, "IMAGE": s.e2e, "PROXY_IMAGE": s.proxyImage, "CLIENT_SECRET": rand.Text(),
			"SUNSET": inFuture(60 * 24 * time.Hour),
		},
	}
}

func (w *world) namespace(name string) string { return w.prefix + "-" + name }

func inFuture(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }

// command runs a program. Its error contains the program's output.
func (w *world) command(limit time.Duration, stdin, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.kubeconfig)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("not done after %s", limit)
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), err
}

func (w *world) tryKubectl(args ...string) (string, error) {
	return w.command(time.Minute, "", w.kubectl, args...)
}

// manifest returns a file of manifests/ with its variables set.
func (w *world) manifest(name string, more map[string]string) (string, error) {
	text, err := os.ReadFile(filepath.Join("manifests", name))
	if err != nil {
		return "", err
	}
	var missing []error
	expanded := os.Expand(string(text), func(variable string) string {
		for _, values := range []map[string]string{more, w.values} {
			if value, ok := values[variable]; ok {
				return value
			}
		}
		missing = append(missing, fmt.Errorf("nothing is known of $%s", variable))
		return ""
	})
	return expanded, errors.Join(missing...)
}

// step is one part of the story while it runs.
type step struct {
	*world
	*testing.T
	row *row
}

// step runs one part. A part whose requirement failed is not run, and fails too.
func (w *world) step(t *testing.T, id, shows, needs string, run func(s *step)) {
	t.Helper()
	t.Run(id+"_"+strings.ReplaceAll(shows, " ", "_"), func(t *testing.T) {
		r := &row{id: id, shows: shows, result: "ok"}
		table.rows = append(table.rows, r)
		began := time.Now()
		defer func() {
			r.took = time.Since(began)
			if t.Failed() {
				w.failed[id] = true
				if r.result == "ok" {
					r.result = "FAILED"
				}
			}
		}()
		for need := range strings.FieldsSeq(needs) {
			if w.failed[need] {
				r.result = "not run"
				r.figures = append(r.figures, "step "+need+" failed")
				t.Fatalf("not run: step %s failed", need)
			}
		}
		run(&step{world: w, T: t, row: r})
	})
}

// record adds a figure to the step's row.
func (s *step) record(format string, args ...any) {
	s.Helper()
	figure := fmt.Sprintf(format, args...)
	s.Log(figure)
	s.row.figures = append(s.row.figures, figure)
}

// run is a command that must succeed.
func (s *step) run(args ...string) string {
	s.Helper()
	output, err := s.tryKubectl(args...)
	if err != nil {
		s.fail("%v", err)
	}
	return output
}

// apply applies a file of manifests/.
func (s *step) apply(name string) string {
	s.Helper()
	output, err := s.tryApply(name, nil)
	if err != nil {
		s.fail("%v", err)
	}
	return output
}

func (w *world) tryApply(name string, more map[string]string) (string, error) {
	text, err := w.manifest(name, more)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return w.command(time.Minute, text, w.kubectl, "apply", "-f", "-")
}

// within polls until done, and returns how long that took. After the limit the
// step fails with the last observation.
func (s *step) within(limit time.Duration, what string, poll func() (done bool, saw string)) time.Duration {
	s.Helper()
	began := time.Now()
	for {
		done, saw := poll()
		took := time.Since(began)
		if done {
			return took
		}
		if took > limit {
			s.fail("waited %s for %s; saw last: %s", limit, what, saw)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// waitFor is kubectl wait.
func (s *step) waitFor(limit time.Duration, condition string, object ...string) time.Duration {
	s.Helper()
	began := time.Now()
	args := append([]string{"wait", "--for=" + condition, "--timeout=" + limit.String()}, object...)
	if _, err := s.command(limit+10*time.Second, "", s.kubectl, args...); err != nil {
		saw, _ := s.tryKubectl(append([]string{"get", "-o", "yaml"}, object...)...)
		s.fail("waited %s for %s: %v; saw last:\n%s", limit, condition, err, saw)
	}
	return time.Since(began)
}

// rolledOut waits for a Deployment.
func (s *step) rolledOut(limit time.Duration, name, namespace string) time.Duration {
	s.Helper()
	began := time.Now()
	_, err := s.command(limit+10*time.Second, "", s.kubectl, "rollout", "status", "deployment/"+name, "-n", namespace,
		"--timeout="+limit.String())
	if err != nil {
		s.fail("%v", err)
	}
	return time.Since(began)
}

// fail ends the step, with everything that may show the cause.
func (s *step) fail(format string, args ...any) {
	s.Helper()
	s.Errorf(format, args...)
	s.diagnose()
	s.FailNow()
}

// diagnose logs the content of the namespaces. Nothing that the operator writes
// has a secret in it, and Secrets are not read.
func (s *step) diagnose() {
	s.Helper()
	namespaces, _ := s.tryKubectl("get", "namespaces", "-l", "callback-e2e="+s.prefix, "-o", "jsonpath={.items[*].metadata.name}")
	for name := range strings.FieldsSeq(namespaces) {
		for _, args := range [][]string{
			{"get", "pods", "-o", "wide", "-n", name},
			{"get", "callbackproxies,callbackroutes", "-o", `jsonpath={range .items[*]}{.kind} {.metadata.name} generation {.metadata.generation}: {.status.conditions}{"\n"}{end}`, "-n", name},
			{"get", "events", "--sort-by=.lastTimestamp", "-n", name},
		} {
			output, err := s.tryKubectl(args...)
			s.Logf("%s: %s\n%s%s", name, strings.Join(args[:2], " "), tail(output, 25), errorText(err))
		}
		pods, _ := s.tryKubectl("get", "pods", "-n", name, "-o", "jsonpath={.items[*].metadata.name}")
		for pod := range strings.FieldsSeq(pods) {
			output, err := s.tryKubectl("logs", "--all-containers", "--tail=12", "-n", name, pod)
			s.Logf("%s: log of %s\n%s%s", name, pod, tail(output, 12), errorText(err))
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n") + "\n"
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/callbackproxy/callback-operator/test/idp/identity"
	"github.com/callbackproxy/callback-operator/test/idp/provider"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

type options struct {
	// keep leaves everything running at the end until the context is done.
	keep bool
}

// demo is one run and what it started.
type demo struct {
	out    io.Writer
	clock  clock.PassiveClock
	root   string // of the repository
	dir    string // temporary, for all that is written
	checks checks

	controlPlane *fixture.ControlPlane
	client       client.Client
	kubectl      kubectl
	manager      *fixture.Process
	proxies      []*proxy
	port         int // the listener's, the same on every proxy

	provider    *provider.Provider
	blue, green *identity.Service

	cleanups []func() error
}

// step is one part of the story. An error in it ends the story, because the
// rest builds on it; what is merely not as it should be is a failed check.
type step struct {
	title string
	run   func(context.Context) error
}

func (d *demo) story() []step {
	return []step{
		{"A Kubernetes control plane, on this machine alone", d.startControlPlane},
		{"The operator: CRDs, roles, manager", d.startOperator},
		{"A provider, an old identity service (blue) and a new one (green)", d.startIdentity},
		{"The platform team's and the identity team's objects, from config/samples", d.applySamples},
		{"Two proxies", d.startProxies},
		{"A user signs in: blue starts the login, the callback reaches blue", d.loginOnBlue},
		{"The switch: from blue to green", d.switchToGreen},
		{"A user signs in: green starts the login, the callback reaches green", d.loginOnGreen},
		{"What the route's events say", d.showEvents},
		{"A route with a sunset that is near", d.applyPartner},
		{"The sunset", d.letSunsetPass},
		{"Everything together", d.conclude},
	}
}

// run tells the whole story to out. It returns the checks that were made; the
// error says why the story could not be told to its end.
func run(ctx context.Context, out io.Writer, o options) (result checks, err error) {
	d := &demo{out: out, clock: clock.RealClock{}}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := d.prepare(); err != nil {
		return nil, err
	}
	began := d.clock.Now()
	err = d.tell(ctx)
	if ctx.Err() != nil {
		return d.checks, errors.New("interrupted")
	}
	if err != nil || d.checks.failed() {
		d.showState(ctx)
	}
	d.say("")
	d.say("Summary, after %s", d.clock.Since(began).Round(time.Second))
	d.checks.table(out)
	if err != nil {
		return d.checks, err
	}
	d.say("")
	if o.keep {
		d.invite()
		<-ctx.Done()
		d.say("stopping")
		return d.checks, nil
	}
	d.farewell()
	return d.checks, nil
}

func (d *demo) tell(ctx context.Context) error {
	for i, step := range d.story() {
		d.say("")
		d.say("%d. %s", i+1, step.title)
		if err := step.run(ctx); err != nil {
			d.checks.require(false, step.title, "%v", err)
			return err
		}
	}
	return nil
}

func (d *demo) prepare() (err error) {
	if d.root, err = fixture.RepositoryRoot(); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "callback-demo-"); err != nil {
		return fmt.Errorf("make the demo's directory: %w", err)
	}
	d.later(func() error { return os.RemoveAll(d.dir) })
	return nil
}

// later has something undone at the end, in reverse order.
func (d *demo) later(undo func() error) { d.cleanups = append(d.cleanups, undo) }

func (d *demo) stop() error {
	var errs []error
	for _, undo := range slices.Backward(d.cleanups) {
		errs = append(errs, undo())
	}
	return errors.Join(errs...)
}

func (d *demo) say(format string, args ...any) { _, _ = fmt.Fprintf(d.out, format+"\n", args...) }

func (d *demo) sample(name string) string { return filepath.Join(d.root, "config", "samples", name) }

// showState prints what is there and the end of what manager and proxies
// wrote, for whoever has to find out why something failed.
func (d *demo) showState(ctx context.Context) {
	d.say("")
	if d.client != nil {
		_, _ = d.kubectl.show(ctx, "get", "callbacks", "-A")
	}
	if d.manager != nil {
		d.say("\nthe manager's last words:\n%s", indent(d.manager.Tail(15)))
	}
	for _, p := range d.proxies {
		if p.process != nil {
			d.say("\n%s's last words:\n%s", p.name, indent(p.process.Tail(15)))
		}
	}
}

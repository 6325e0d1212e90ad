// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// demo.go runs the steps in order and prints the summary.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"k8s.io/utils/clock"

	"github.com/callbackproxy/callback-operator/test/idp/identity"
	"github.com/callbackproxy/callback-operator/test/idp/provider"
	"github.com/callbackproxy/callback-operator/test/installation"
)

type options struct {
	// keep leaves everything running at the end until the context is done.
	keep bool
	// programs is a directory with the manager and the proxy. Both are built
	// when it is empty.
	programs string
}

// demo is one run and everything that it started.
type demo struct {
	options
	out    io.Writer
	clock  clock.PassiveClock
	dir    string // temporary; manifests and programs
	checks checks

	installation *installation.Installation
	kubectl      kubectl
	proxies      []*installation.Proxy
	port         int // of the fleet's listener
	// changeDuration is the time from the patch of a route to its acknowledgement.
	changeDuration time.Duration

	provider    *provider.Provider
	blue, green *identity.Service

	// open are logins that began before the switch.
	open     []openLogin
	cleanups []func() error
}

// step is one part of the run. An error in it ends the run, because later steps
// need its result; a property that does not hold is a failed check.
type step struct {
	title string
	run   func(context.Context) error
}

func (d *demo) steps() []step {
	return []step{
		{"Start a Kubernetes control plane on this machine", d.startControlPlane},
		{"Start the operator", d.startOperator},
		{"Start an OpenID provider, an old identity service (blue) and a new one (green)", d.startIdentity},
		{"Apply config/samples: a fleet, two backends and the route between them", d.applySamples},
		{"Run the fleet's proxies", d.startFleet},
		{"Sign in before the switch", d.loginOnBlue},
		{"Begin a login on blue, and leave it open", d.beginLogin},
		{"Switch the route from blue to green", d.switchToGreen},
		{"Finish the login that began before the switch", d.finishLogin},
		{"Sign in after the switch", d.loginOnGreen},
		{"List the route's events", d.showEvents},
		{"Apply a second route and sign in through it", d.applyPartner},
		{"Let the second route reach its sunset", d.endPartner},
		{"Compare the totals", d.compareTotals},
	}
}

// run runs all steps and prints to out. It returns the checks that were made;
// the error explains why a step could not finish.
func run(ctx context.Context, out io.Writer, o options) (result checks, err error) {
	d := &demo{options: o, out: out, clock: clock.RealClock{}}
	defer func() { err = errors.Join(err, d.stop()) }()
	if d.dir, err = os.MkdirTemp("", "callback-demo-"); err != nil {
		return nil, fmt.Errorf("create the demo's directory: %w", err)
	}
	d.deferCleanup(func() error { return os.RemoveAll(d.dir) })
	started := d.clock.Now()
	err = d.runSteps(ctx)
	if ctx.Err() != nil {
		return d.checks, errors.New("interrupted")
	}
	if err != nil || d.checks.haveFailed() {
		d.showState(ctx)
	}
	d.printf("")
	d.printf("Summary, after %s", d.clock.Since(started).Round(time.Second))
	d.checks.write(out)
	if err != nil {
		return d.checks, err
	}
	d.printf("")
	if o.keep {
		d.printKeptCommands()
		<-ctx.Done()
		d.printf("stopping")
		return d.checks, nil
	}
	d.printNextSteps()
	return d.checks, nil
}

func (d *demo) runSteps(ctx context.Context) error {
	for i, step := range d.steps() {
		d.printf("")
		d.printf("%d. %s", i+1, step.title)
		if err := step.run(ctx); err != nil {
			d.checks.add(false, step.title, "%v", err)
			return err
		}
	}
	return nil
}

// deferCleanup registers a function for stop, which runs them in reverse order.
func (d *demo) deferCleanup(cleanup func() error) { d.cleanups = append(d.cleanups, cleanup) }

func (d *demo) stop() error {
	var errs []error
	for _, cleanup := range slices.Backward(d.cleanups) {
		errs = append(errs, cleanup())
	}
	return errors.Join(errs...)
}

func (d *demo) printf(format string, args ...any) { _, _ = fmt.Fprintf(d.out, format+"\n", args...) }

// showState prints the objects and the end of the logs after a failure.
func (d *demo) showState(ctx context.Context) {
	if d.installation == nil {
		return
	}
	d.printf("")
	_, _ = d.kubectl.show(ctx, "get", "callbacks", "-A")
	for _, m := range d.installation.Managers {
		d.printf("\nend of the log of %s:\n%s", m.Name, indent(m.Process().Tail(15)))
	}
	for _, p := range d.proxies {
		d.printf("\nend of the log of %s:\n%s", p.Name, indent(p.Process().Tail(15)))
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

// install_test.go: the installation of one run: twenty fleets of one proxy each.

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/callbackproxy/callback-operator/test/callbacks"
	"github.com/callbackproxy/callback-operator/test/fixture"
	"github.com/callbackproxy/callback-operator/test/installation"
)

const (
	fleets  = 20
	workers = 16
)

// colours are the backends of each route; the first one is primary at first.
var colours = []string{"blue", "green"}

// run is one installation and its figures.
type run struct {
	*WithT
	*installation.Installation

	b        *testing.B
	ctx      context.Context
	settings settings
	n        int
	// profile is the address of the manager's profiler, if there is one.
	profile string
	tracker *tracker
	lapse   *lapse
	figures []figure
	filled  time.Duration // from the first create to all Programmed
}

// newRun brings up an installation with all fleets and Services, the manager
// and one proxy for each fleet, and no route.
func newRun(b *testing.B, s settings, n int) *run {
	b.Helper()
	r := &run{WithT: NewWithT(b), b: b, ctx: b.Context(), settings: s, n: n}
	dir := b.TempDir()
	manager, proxy := r.build(dir)
	o := r.options(dir)
	o.Manager, o.Proxy, o.Managers = manager, proxy, 1
	if s.profiles != "" {
		r.profile = "127.0.0.1:6060"
		o.Env = []string{profileVariable + "=" + r.profile}
	}
	o.Prepare = func(ctx context.Context, in *installation.Installation) error {
		if err := createTenants(ctx, in); err != nil {
			return err
		}
		return createPlatform(ctx, in)
	}
	for i := range fleets {
		o.Proxies = append(o.Proxies, installation.ProxyOptions{Fleet: fleet(i)})
	}
	r.start(o)
	r.log("%d routes: manager and %d proxies run", n, fleets)
	return r
}

// newFloor brings up the API server alone.
func newFloor(b *testing.B, s settings, n int) *run {
	b.Helper()
	r := &run{WithT: NewWithT(b), b: b, ctx: b.Context(), settings: s, n: n}
	o := r.options(b.TempDir())
	o.Prepare = createTenants
	r.start(o)
	return r
}

func (r *run) options(dir string) installation.Options {
	return installation.Options{
		Dir: dir,
		// An API server with memory to spare, as in a cluster: with Go's own setting
		// a third of its time is garbage collection, on the two cores that everything
		// else here runs on.
		ControlPlaneEnv: []string{"GOGC=400"},
	}
}

func (r *run) start(o installation.Options) {
	r.b.Helper()
	var err error
	r.Installation, err = installation.Start(r.ctx, o)
	r.Expect(err).NotTo(HaveOccurred())
	r.b.Cleanup(func() { _ = r.Stop() })
	r.tracker = startTracker(r)
	r.lapse = newLapse(r)
}

// close ends the installation before the next one begins.
func (r *run) close() {
	r.tracker.stop()
	_ = r.Stop()
}

// managerProcess is the manager's present process.
func (r *run) managerProcess() *fixture.Process { return r.Managers[0].Process() }

// createTenants creates the namespaces of the routes.
func createTenants(ctx context.Context, in *installation.Installation) error {
	for i := range tenants {
		if err := in.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tenant(i)}}); err != nil {
			return fmt.Errorf("create a namespace: %w", err)
		}
	}
	return nil
}

// createPlatform creates the fleets and the tenants' Services. The addresses of
// the Services lead to two backends, by colour.
func createPlatform(ctx context.Context, in *installation.Installation) error {
	for i := range fleets {
		if err := in.Client.Create(ctx, fleetObject(i)); err != nil {
			return fmt.Errorf("create a fleet: %w", err)
		}
	}
	for _, colour := range colours {
		host, err := in.NextHost()
		if err != nil {
			return err
		}
		backend, err := callbacks.StartBackend(ctx, colour, host+":8080", nil)
		if err != nil {
			return err
		}
		in.Backends[colour] = backend
		for i := range tenants {
			for pair := range pairs {
				service := serviceObject(tenant(i), serviceName(colour, pair))
				if err := in.Client.Create(ctx, service); err != nil {
					return fmt.Errorf("create a Service: %w", err)
				}
				in.Connect(service.Spec.ClusterIP+":8080", backend.Address())
			}
		}
	}
	return nil
}

// build builds the programs; the manager with a profiler when profiles are
// wanted.
func (r *run) build(dir string) (manager, proxy string) {
	r.b.Helper()
	dir = filepath.Join(dir, "bin")
	r.Expect(os.MkdirAll(dir, 0o700)).To(Succeed())
	manager, proxy, err := fixture.BuildBinaries(r.ctx, dir, fixture.Build{})
	r.Expect(err).NotTo(HaveOccurred())
	if r.settings.profiles != "" {
		r.buildProfiled(dir, manager)
	}
	return manager, proxy
}

// log reports progress while the benchmark runs.
func (r *run) log(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format(time.TimeOnly)+" "+format+"\n", args...)
}

func (r *run) report(name, value string) {
	r.figures = append(r.figures, figure{name: name, value: value})
	r.log("  %s: %s", name, value)
}

// judge reports a value that has a limit.
func (r *run) judge(name, value, limit string, ok bool) {
	f := figure{name: name, value: value, limit: limit, ok: ok}
	r.figures = append(r.figures, f)
	r.log("  %s: %s (%s)", name, f.shown(), limit)
}

// logTail returns the end of the manager's log, for a failure.
func (r *run) logTail() string {
	if len(r.Managers) == 0 {
		return ""
	}
	return strings.TrimSpace(r.managerProcess().Tail(20))
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

const (
	system  = "callback-system"
	fleets  = 20
	workers = 16
	// startPatience is for one process on a busy machine.
	startPatience = time.Minute
)

// networks numbers the installations of a run, so that each has loopback
// addresses of its own: 127.1.<n>.x.
var networks atomic.Int32

// run is one installation and what was measured of it.
type run struct {
	*WithT
	b        *testing.B
	ctx      context.Context
	settings settings
	n        int
	dir      string
	network  string

	controlPlane *fixture.ControlPlane
	client       client.WithWatch
	manager      *fixture.Process
	proxies      [fleets]*fixture.Process
	tracker      *tracker
	lapse        *lapse
	figures      []figure
	filled       time.Duration // from the first create to all Programmed
}

// newRun brings up an installation with all fleets and services, the manager
// and one proxy for each fleet, and no route.
func newRun(b *testing.B, s settings, n int) *run {
	b.Helper()
	r := newFloor(b, s, n)
	r.kubectl("apply", "-f", r.root("config", "rbac"))
	services := r.createPlatform()
	manager, proxy := r.build()
	r.startManager(manager)
	r.startProxies(proxy, services)
	r.say("%d routes: manager and %d proxies run", n, fleets)
	return r
}

// newFloor brings up the API server alone.
func newFloor(b *testing.B, s settings, n int) *run {
	b.Helper()
	r := &run{
		WithT: NewWithT(b), b: b, ctx: b.Context(), settings: s, n: n, dir: b.TempDir(),
		network: fmt.Sprintf("127.1.%d", networks.Add(1)),
	}
	crds, err := fixture.CRDs()
	r.Expect(err).NotTo(HaveOccurred())
	r.controlPlane, err = fixture.StartControlPlane(r.ctx, fixture.Options{
		CRDs: []string{crds}, ReferenceGrant: true,
		// An API server with memory to spare, as a cluster's has: with Go's own
		// setting a third of its time is garbage collection, and here it takes
		// that from the two cores on which everything else runs.
		Env: []string{"GOGC=400"},
	})
	r.Expect(err).NotTo(HaveOccurred())
	b.Cleanup(func() { _ = r.controlPlane.Stop() })
	scheme := runtime.NewScheme()
	r.Expect(corev1.AddToScheme(scheme)).To(Succeed())
	r.Expect(eventsv1.AddToScheme(scheme)).To(Succeed())
	r.Expect(callbackv1alpha1.AddToScheme(scheme)).To(Succeed())
	r.client, err = client.NewWithWatch(r.unlimited(), client.Options{Scheme: scheme})
	r.Expect(err).NotTo(HaveOccurred())
	r.kubectl("create", "namespace", system)
	for i := range tenants {
		r.kubectl("create", "namespace", tenant(i))
	}
	r.tracker = startTracker(r)
	r.lapse = newLapse(r)
	return r
}

// unlimited is the administrator's access without a client-side rate limit.
func (r *run) unlimited() *rest.Config {
	config := rest.CopyConfig(r.controlPlane.Config)
	config.QPS = -1
	return config
}

// close ends the installation before the next one begins.
func (r *run) close() {
	for _, p := range r.proxies {
		if p != nil {
			p.Kill()
		}
	}
	if r.manager != nil {
		r.manager.Kill()
	}
	r.tracker.stop()
	_ = r.controlPlane.Stop()
}

func (r *run) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format(time.TimeOnly)+" "+format+"\n", args...)
}

func (r *run) report(name, value string) {
	r.figures = append(r.figures, figure{name: name, value: value})
	r.say("  %s: %s", name, value)
}

// judge reports a value that must hold.
func (r *run) judge(name, value, limit string, ok bool) {
	f := figure{name: name, value: value, limit: limit, ok: ok}
	r.figures = append(r.figures, f)
	r.say("  %s: %s (%s)", name, f.shown(), limit)
}

func (r *run) root(elements ...string) string {
	r.b.Helper()
	root, err := fixture.RepositoryRoot()
	r.Expect(err).NotTo(HaveOccurred())
	return filepath.Join(append([]string{root}, elements...)...)
}

func (r *run) kubectl(args ...string) {
	r.b.Helper()
	command := exec.CommandContext(r.ctx, filepath.Join(r.controlPlane.Assets, "kubectl"),
		append([]string{"--kubeconfig", r.controlPlane.Kubeconfig}, args...)...)
	out, err := command.CombinedOutput()
	r.Expect(err).NotTo(HaveOccurred(), string(out))
}

// account returns a kubeconfig of a service account: nothing here has more
// rights than an installation gives it.
func (r *run) account(name string) string {
	r.b.Helper()
	access, err := r.controlPlane.ServiceAccountConfig(r.ctx, system, name)
	r.Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(r.dir, name+".kubeconfig")
	r.Expect(fixture.WriteKubeconfig(path, access)).To(Succeed())
	return path
}

func (r *run) startManager(path string) {
	r.b.Helper()
	var err error
	health := r.network + ".1:8081"
	r.manager, err = fixture.StartProcess(fixture.Command{
		Name: "manager", Path: path, Log: filepath.Join(r.dir, "manager.log"),
		Env: []string{profileVariable + "=" + r.profileAddress()},
		Args: []string{
			"--kubeconfig=" + r.account("callback-manager"), "--leader-elect-namespace=" + system,
			"--metrics-bind-address=" + r.network + ".1:8080", "--metrics-secure=false",
			"--health-probe-bind-address=" + health,
		},
	})
	r.Expect(err).NotTo(HaveOccurred())
	r.b.Cleanup(r.manager.Kill)
	r.ready(r.manager, health)
}

func (r *run) ready(p *fixture.Process, address string) {
	r.b.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, startPatience)
	defer cancel()
	r.Expect(p.WaitReady(ctx, "http://"+address+"/readyz", nil)).To(Succeed())
}

func (r *run) proxyIP(fleet int) string { return fmt.Sprintf("%s.%d", r.network, 10+fleet) }

// startProxies starts one proxy for each fleet and the pod that stands for it.
// The Services' addresses lead to two backends, whatever the namespace.
func (r *run) startProxies(path string, services map[string]string) {
	r.b.Helper()
	kubeconfig := r.account("callback-proxy")
	var mapped []string
	addresses := map[string]string{}
	for i, name := range colours {
		addresses[name] = fmt.Sprintf("%s.%d:8080", r.network, 2+i)
		r.startBackend(name, addresses[name])
	}
	for ip, colour := range services {
		mapped = append(mapped, "--connect-to="+ip+":8080="+addresses[colour])
	}
	for i := range r.proxies {
		var err error
		r.proxies[i], err = fixture.StartProcess(fixture.Command{
			Name: "proxy of " + fleet(i), Path: path, Log: filepath.Join(r.dir, fleet(i)+".log"),
			Args: append([]string{
				"--kubeconfig=" + kubeconfig, "--namespace=" + system, "--proxy=" + fleet(i),
				"--listen-address=" + r.proxyIP(i) + ":8080", "--admin-address=" + r.proxyIP(i) + ":9090",
				"--state-dir=" + filepath.Join(r.dir, "state-"+fleet(i)), "--drain-delay=0s",
			}, mapped...),
		})
		r.Expect(err).NotTo(HaveOccurred())
		r.b.Cleanup(r.proxies[i].Kill)
	}
	for i, p := range r.proxies {
		r.ready(p, r.proxyIP(i)+":9090")
		_, err := fixture.ProxyPod(r.ctx, r.client, system, fleet(i), fleet(i)+"-0", r.proxyIP(i), 9090)
		r.Expect(err).NotTo(HaveOccurred())
	}
}

// startBackend answers everything with its name.
func (r *run) startBackend(name, address string) {
	r.b.Helper()
	backend, err := fixture.StartBackend(r.ctx, address, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, name)
	}))
	r.Expect(err).NotTo(HaveOccurred())
	r.b.Cleanup(func() { _ = backend.Close() })
}

// colours are the backends of each route; the first one is active at first.
var colours = []string{"blue", "green"}

// createPlatform creates the fleets and the tenants' Services, and returns the
// colour of each Service by its address.
func (r *run) createPlatform() map[string]string {
	r.b.Helper()
	for i := range fleets {
		r.Expect(r.client.Create(r.ctx, fleetObject(i))).To(Succeed())
	}
	services := map[string]string{}
	for i := range tenants {
		for pair := range pairs {
			for _, colour := range colours {
				service := serviceObject(tenant(i), serviceName(colour, pair))
				r.Expect(r.client.Create(r.ctx, service)).To(Succeed())
				services[service.Spec.ClusterIP] = colour
			}
		}
	}
	return services
}

// build makes the binaries; the manager with a profiler when one is wanted.
func (r *run) build() (manager, proxy string) {
	r.b.Helper()
	dir := filepath.Join(r.dir, "bin")
	r.Expect(os.MkdirAll(dir, 0o700)).To(Succeed())
	manager, proxy, err := fixture.BuildBinaries(r.ctx, dir, fixture.Build{})
	r.Expect(err).NotTo(HaveOccurred())
	if r.settings.profiles != "" {
		r.buildProfiled(manager)
	}
	return manager, proxy
}

func (r *run) profileAddress() string {
	if r.settings.profiles == "" {
		return ""
	}
	return r.network + ".1:6060"
}

// logs returns the end of the manager's log, for a failure.
func (r *run) logs() string {
	if r.manager == nil {
		return ""
	}
	return strings.TrimSpace(r.manager.Tail(20))
}

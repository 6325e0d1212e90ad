// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"fmt"
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
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// patience is how long something may take that is normally there at once, on
// a machine that does other work.
const patience = 30 * time.Second

var binaries struct{ manager, proxy, assets string }

func TestMain(m *testing.M) {
	os.Exit(runWithBinaries(m))
}

func runWithBinaries(m *testing.M) int {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "callback-e2e-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if binaries.assets, err = fixture.Assets(ctx, os.Stderr, fixture.WithControllerManager); err != nil {
		panic(err)
	}
	if binaries.manager, binaries.proxy, err = fixture.BuildBinaries(ctx, dir, fixture.Build{Race: raceEnabled}); err != nil {
		panic(err)
	}
	return m.Run()
}

// systems numbers the systems of a run, so that each has loopback addresses of
// its own: 127.0.<n>.x.
var systems atomic.Int32

// system is one running installation.
type system struct {
	*WithT
	t            testing.TB
	ctx          context.Context
	controlPlane *fixture.ControlPlane
	client       client.Client
	dir          string
	network      string // 127.0.<n>
	manager      *fixture.Process
	managerFlags []string
	proxies      [2]*fixture.Process
	blue, green  *fixture.Backend
	// connectTo maps the Services' addresses to the backends, for the proxies.
	connectTo []string
	// The manager and the proxies have no more rights than an installation
	// gives them.
	managerKubeconfig, proxyKubeconfig string
}

// alone lets a manager that replaces a killed one begin at once, without
// waiting for the lease of the dead.
const alone = "--leader-elect=false"

// start brings up an installation with the samples' platform and services
// applied, and no route yet. managerFlags are added to the manager's.
func start(t testing.TB, managerFlags ...string) *system {
	t.Helper()
	s := &system{
		WithT: NewWithT(t), t: t, ctx: t.Context(), dir: t.TempDir(),
		network:      fmt.Sprintf("127.0.%d", 40+systems.Add(1)),
		managerFlags: managerFlags,
	}
	crds, err := fixture.CRDs()
	s.Expect(err).NotTo(HaveOccurred())
	s.controlPlane, err = fixture.StartControlPlane(s.ctx, fixture.Options{
		Assets: binaries.assets, CRDs: []string{crds}, ReferenceGrant: true, ControllerManager: true,
	})
	s.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = s.controlPlane.Stop() })
	scheme := runtime.NewScheme()
	s.Expect(corev1.AddToScheme(scheme)).To(Succeed())
	s.Expect(callbackv1alpha1.AddToScheme(scheme)).To(Succeed())
	s.client, err = client.New(s.controlPlane.Config, client.Options{Scheme: scheme})
	s.Expect(err).NotTo(HaveOccurred())

	s.blue, s.green = s.backend("blue", 1), s.backend("green", 2)
	s.kubectl("apply", "-f", s.config("samples/1-platform.yaml"), "-f", s.config("samples/2-identity.yaml"), "-f", s.config("rbac"))
	s.managerKubeconfig, s.proxyKubeconfig = s.account("callback-manager"), s.account("callback-proxy")
	s.mapService("legacy-idp", s.blue)
	s.mapService("new-idp", s.green)
	s.startManager()
	for i := range s.proxies {
		s.startProxy(i)
		s.startPod(i)
	}
	return s
}

func (s *system) backend(name string, host int) *fixture.Backend {
	s.t.Helper()
	backend, err := fixture.StartBackend(s.ctx, fmt.Sprintf("%s.%d:8080", s.network, host),
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(name)) }))
	s.Expect(err).NotTo(HaveOccurred())
	s.t.Cleanup(func() { _ = backend.Close() })
	return backend
}

func (s *system) mapService(name string, backend *fixture.Backend) {
	s.t.Helper()
	ip := strings.TrimSpace(s.kubectl("get", "service", "-n", "identity", name, "-o", "jsonpath={.spec.clusterIP}"))
	s.connectTo = append(s.connectTo, "--connect-to="+ip+":8080="+backend.Addr())
	// The Service has a ready Pod, as far as the cluster can see.
	_, err := fixture.RunningPod(s.ctx, s.client, fixture.Pod{
		Namespace: "identity", Name: name + "-0", Labels: map[string]string{"app": name},
		IP: fmt.Sprintf("198.51.100.%d", 10+len(s.connectTo)), OnNode: true,
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
	})
	s.Expect(err).NotTo(HaveOccurred())
}

func (s *system) startManager() {
	s.t.Helper()
	var err error
	health := s.network + ".10:8081"
	s.manager, err = fixture.StartProcess(fixture.Command{
		Name: "manager", Path: binaries.manager, Log: filepath.Join(s.dir, "manager.log"),
		Args: append([]string{
			"--kubeconfig=" + s.managerKubeconfig, "--leader-elect-namespace=callback-system",
			"--metrics-bind-address=" + s.network + ".10:8080", "--metrics-secure=false",
			"--health-probe-bind-address=" + health,
		}, s.managerFlags...),
	})
	s.Expect(err).NotTo(HaveOccurred())
	s.t.Cleanup(s.manager.Kill)
	s.Expect(s.manager.WaitReady(s.ctx, "http://"+health+"/readyz", nil)).To(Succeed(), s.manager.Output())
}

func (s *system) proxyAddress(i int) string { return fmt.Sprintf("%s.%d:8080", s.network, 11+i) }
func (s *system) adminAddress(i int) string { return fmt.Sprintf("%s.%d:9090", s.network, 11+i) }

// launchProxy starts a proxy without waiting for it to be ready.
func (s *system) launchProxy(i int) {
	s.t.Helper()
	var err error
	s.proxies[i], err = fixture.StartProcess(fixture.Command{
		Name: fmt.Sprintf("proxy %d", i), Path: binaries.proxy, Log: filepath.Join(s.dir, fmt.Sprintf("proxy-%d.log", i)),
		Args: append([]string{
			"--kubeconfig=" + s.proxyKubeconfig, "--namespace=callback-system", "--proxy=edge",
			"--listen-address=" + s.proxyAddress(i), "--admin-address=" + s.adminAddress(i),
			"--state-dir=" + filepath.Join(s.dir, fmt.Sprintf("state-%d", i)), "--drain-delay=1s",
		}, s.connectTo...),
	})
	s.Expect(err).NotTo(HaveOccurred())
	s.t.Cleanup(s.proxies[i].Kill)
}

func (s *system) startProxy(i int) {
	s.t.Helper()
	s.launchProxy(i)
	s.Expect(s.proxies[i].WaitReady(s.ctx, "http://"+s.adminAddress(i)+"/readyz", nil)).To(Succeed(), s.proxies[i].Output())
}

func (s *system) startPod(i int) {
	s.t.Helper()
	ip, _, _ := strings.Cut(s.adminAddress(i), ":")
	_, err := fixture.ProxyPod(s.ctx, s.client, "callback-system", "edge", fmt.Sprintf("edge-%d", i), ip, 9090)
	s.Expect(err).NotTo(HaveOccurred())
}

// config returns the path of something below config/.
func (s *system) config(name string) string {
	s.t.Helper()
	root, err := fixture.RepositoryRoot()
	s.Expect(err).NotTo(HaveOccurred())
	return filepath.Join(root, "config", name)
}

// account returns a kubeconfig of a service account in callback-system.
func (s *system) account(name string) string {
	s.t.Helper()
	access, err := s.controlPlane.ServiceAccountConfig(s.ctx, "callback-system", name)
	s.Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(s.dir, name+".kubeconfig")
	s.Expect(fixture.WriteKubeconfig(path, access)).To(Succeed())
	return path
}

// kubectl runs kubectl and returns what it printed.
func (s *system) kubectl(args ...string) string {
	s.t.Helper()
	return s.kubectlIn("", args...)
}

// apply applies a manifest.
func (s *system) apply(manifest string) string {
	s.t.Helper()
	return s.kubectlIn(manifest, "apply", "-f", "-")
}

func (s *system) kubectlIn(stdin string, args ...string) string {
	s.t.Helper()
	command := exec.CommandContext(s.ctx, filepath.Join(binaries.assets, "kubectl"), append([]string{"--kubeconfig", s.controlPlane.Kubeconfig}, args...)...)
	command.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	s.Expect(err).NotTo(HaveOccurred(), "kubectl %s: %s", strings.Join(args, " "), stderr.String())
	return string(out)
}

// waitFor waits, as a user would, for a condition of a route.
func (s *system) waitFor(route, condition string) {
	s.t.Helper()
	s.kubectl("wait", "--for=condition="+condition, "callbackroute/"+route, "-n", "identity", "--timeout="+patience.String())
}

// route renders a CallbackRoute.
type route struct {
	name, host, path string
	active           string // blue (the default) or green
	sunset           time.Time
	extra            string // more lines of the spec
}

func (r route) String() string {
	host, path, sunset := "auth.acme.test", "/oauth2/callback", time.Now().Add(30*24*time.Hour)
	if r.host != "" {
		host = r.host
	}
	if r.path != "" {
		path = r.path
	}
	if !r.sunset.IsZero() {
		sunset = r.sunset
	}
	blue, green := 100, 0
	if r.active == "green" {
		blue, green = 0, 100
	}
	return fmt.Sprintf(`apiVersion: callbackproxy.io/v1alpha1
kind: CallbackRoute
metadata: {name: %s, namespace: identity}
spec:
  proxyRef: {name: edge, namespace: callback-system}
  hostnames: [%s]
  protocol: OIDC
  callback: {path: %s}
  backends:
  - {name: blue, service: {name: legacy-idp, port: 8080}, weight: %d}
  - {name: green, service: {name: new-idp, port: 8080}, weight: %d}
  sunsetTime: %q
  owner: identity-team@acme.test
%s
---
`, r.name, host, path, blue, green, sunset.UTC().Format(time.RFC3339), r.extra)
}

func (s *system) read(file string) string {
	s.t.Helper()
	content, err := os.ReadFile(file)
	s.Expect(err).NotTo(HaveOccurred())
	return string(content)
}

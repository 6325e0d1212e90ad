// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/faults/interposer"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// systems numbers the systems of a run, so that each has loopback addresses of
// its own.
var systems atomic.Int32

// options say what start starts.
type options struct {
	// managers is how many replicas; 1 when 0.
	managers int
	// alone turns leader election off: a replica begins at once, without
	// waiting for the lease of a dead one. All other settings are the defaults.
	alone bool
	// flags are added to the manager's, env to the environment of managers
	// and proxies.
	flags, env []string
	// furnished adds what faults of tenants and backends need, see furnish.
	furnished bool
}

// system is one running installation under load: etcd, kube-apiserver,
// replicas of the manager, two proxies, two backends.
type system struct {
	*WithT
	t            testing.TB
	ctx          context.Context
	row          *row
	controlPlane *fixture.ControlPlane
	// client is the administrator's, past all faults.
	client client.Client
	dir    string
	// network is the first three numbers of this system's addresses.
	network  string
	managers []*manager
	proxies  [2]*fixture.Process
	// proxyAPI is what both proxies see of the API server.
	proxyAPI        *interposer.Proxy
	proxyKubeconfig string
	backends        map[string]*fixture.Backend // by name: blue and green
	connectTo       []string
	env             []string
	loads           []*fixture.Load
	sentinel        *sentinel
	furniture       furniture
	// mute is a route whose status cannot be stored, if there is one.
	mute types.NamespacedName
}

// start gives a fault its row in the table, brings up an installation with two
// routes that nobody will touch, /steady to blue and /other to green, and puts
// them under load.
func start(t testing.TB, fault string, o options) *system {
	t.Helper()
	r := enter(t, fault)
	began := time.Now()
	s := install(t, o)
	s.row = r
	s.beginLoad()
	t.Logf("up after %.1f s", time.Since(began).Seconds())
	return s
}

// install brings up an installation with those two routes, without load.
func install(t testing.TB, o options) *system {
	t.Helper()
	s := &system{
		WithT: NewWithT(t), t: t, ctx: t.Context(), dir: t.TempDir(),
		network:  fmt.Sprintf("%s.%d", loopback, systems.Add(1)),
		backends: map[string]*fixture.Backend{}, env: o.env,
	}
	s.startControlPlane()
	s.backend("blue", "legacy-idp", 1)
	s.backend("green", "new-idp", 2)
	if o.furnished {
		s.furnish()
	}
	s.proxyAPI = s.interpose()
	s.proxyKubeconfig = s.account("callback-proxy", "proxy", s.proxyAPI)
	flags := o.flags
	if o.alone {
		flags = append(flags, "--leader-elect=false")
	}
	for n := range max(1, o.managers) {
		m := s.newManager(n, flags)
		s.managers = append(s.managers, m)
		m.start()
	}
	for i := range s.proxies {
		s.startProxy(i)
		_, err := fixture.ProxyPod(s.ctx, s.client, "callback-system", "edge", fmt.Sprintf("edge-%d", i), s.proxyHost(i), 9090)
		s.Expect(err).NotTo(HaveOccurred())
	}
	s.put(route{name: "steady", active: "blue"}, route{name: "other", active: "green"})
	for i := range s.proxies {
		s.Expect(s.proxies[i].WaitReady(s.ctx, s.admin(i)+"/readyz", nil)).To(Succeed())
	}
	s.converges(patience)
	return s
}

// beginLoad watches over the proxies and puts the two routes, and a path that
// is nobody's, under load.
func (s *system) beginLoad() {
	s.watchOver()
	s.load("/steady", http.StatusOK, "blue")
	s.load("/other", http.StatusOK, "green")
	s.load("/steady/not", http.StatusNotFound)
}

func (s *system) startControlPlane() {
	s.t.Helper()
	crds, err := fixture.CRDs()
	s.Expect(err).NotTo(HaveOccurred())
	s.controlPlane, err = fixture.StartControlPlane(s.ctx, fixture.Options{
		Assets: binaries.assets, CRDs: []string{crds}, ReferenceGrant: true,
		// An API server with memory to spare, as a cluster's has: it shares the
		// cores with everything else here.
		Env: []string{"GOGC=400"},
	})
	s.Expect(err).NotTo(HaveOccurred())
	s.t.Cleanup(func() { _ = s.controlPlane.Stop() })
	scheme := runtime.NewScheme()
	s.Expect(corev1.AddToScheme(scheme)).To(Succeed())
	s.Expect(callbackv1alpha1.AddToScheme(scheme)).To(Succeed())
	s.client, err = client.New(s.controlPlane.Config, client.Options{Scheme: scheme})
	s.Expect(err).NotTo(HaveOccurred())
	root, err := fixture.RepositoryRoot()
	s.Expect(err).NotTo(HaveOccurred())
	config := filepath.Join(root, "config")
	s.kubectl("apply", "-f", filepath.Join(config, "samples/1-platform.yaml"),
		"-f", filepath.Join(config, "samples/2-identity.yaml"), "-f", filepath.Join(config, "rbac"))
}

// backend starts a backend and maps a Service's address to it.
func (s *system) backend(name, service string, host int) {
	s.t.Helper()
	backend, err := fixture.StartBackend(s.ctx, fmt.Sprintf("%s.%d:8080", s.network, host),
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(name)) }))
	s.Expect(err).NotTo(HaveOccurred())
	s.t.Cleanup(func() { _ = backend.Close() })
	s.backends[name] = backend
	object := &corev1.Service{}
	s.Expect(s.client.Get(s.ctx, client.ObjectKey{Namespace: "identity", Name: service}, object)).To(Succeed())
	s.connectTo = append(s.connectTo, "--connect-to="+object.Spec.ClusterIP+":8080="+backend.Addr())
}

// interpose starts an interposer before the API server. It shows the API
// server's own certificate.
func (s *system) interpose() *interposer.Proxy {
	s.t.Helper()
	file := func(name string) string { return filepath.Join(s.controlPlane.Dir, name) }
	certificate, err := tls.LoadX509KeyPair(file("apiserver.crt"), file("apiserver.key"))
	s.Expect(err).NotTo(HaveOccurred())
	roots := x509.NewCertPool()
	s.Expect(roots.AppendCertsFromPEM(s.controlPlane.Config.CAData)).To(BeTrue())
	proxy, err := interposer.Start(s.ctx, interposer.Options{
		Upstream: s.controlPlane.Config.Host,
		Client:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		Server:   &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	})
	s.Expect(err).NotTo(HaveOccurred())
	s.t.Cleanup(func() { _ = proxy.Close() })
	return proxy
}

// account writes a kubeconfig of a service account that leads to an interposer.
func (s *system) account(account, file string, api *interposer.Proxy) string {
	s.t.Helper()
	access, err := s.controlPlane.ServiceAccountConfig(s.ctx, "callback-system", account)
	s.Expect(err).NotTo(HaveOccurred())
	access = rest.CopyConfig(access)
	access.Host = api.URL()
	path := filepath.Join(s.dir, file+".kubeconfig")
	s.Expect(fixture.WriteKubeconfig(path, access)).To(Succeed())
	return path
}

// apis are all that stand between the product and the API server.
func (s *system) apis() []*interposer.Proxy {
	apis := []*interposer.Proxy{s.proxyAPI}
	for _, m := range s.managers {
		apis = append(apis, m.api)
	}
	return apis
}

// set sets the same rules for the manager's replicas and the proxies.
func (s *system) set(rules ...interposer.Rule) {
	for _, api := range s.apis() {
		api.Set(rules...)
	}
}

func (s *system) cutWatches() {
	for _, api := range s.apis() {
		api.CutWatches()
	}
}

func (s *system) proxyHost(i int) string { return fmt.Sprintf("%s.%d", s.network, 11+i) }
func (s *system) admin(i int) string     { return "http://" + s.proxyHost(i) + ":9090" }
func (s *system) proxyLog(i int) string  { return filepath.Join(s.dir, fmt.Sprintf("proxy-%d.log", i)) }

// startProxy starts a proxy without waiting for it.
func (s *system) startProxy(i int) {
	s.t.Helper()
	var err error
	s.proxies[i], err = fixture.StartProcess(fixture.Command{
		Name: fmt.Sprintf("proxy %d", i), Path: binaries.proxy, Log: s.proxyLog(i), Env: s.env,
		Args: append([]string{
			"--kubeconfig=" + s.proxyKubeconfig, "--namespace=callback-system", "--proxy=edge",
			"--listen-address=" + s.proxyHost(i) + ":8080", "--admin-address=" + s.proxyHost(i) + ":9090",
			"--state-dir=" + filepath.Join(s.dir, fmt.Sprintf("state-%d", i)), "--drain-delay=1s",
		}, s.connectTo...),
	})
	s.Expect(err).NotTo(HaveOccurred())
	s.t.Cleanup(s.proxies[i].Kill)
}

// kubectl runs kubectl as the administrator.
func (s *system) kubectl(args ...string) string {
	s.t.Helper()
	command := exec.CommandContext(s.ctx, filepath.Join(binaries.assets, "kubectl"), append([]string{"--kubeconfig", s.controlPlane.Kubeconfig}, args...)...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	s.Expect(err).NotTo(HaveOccurred(), "kubectl %s: %s", strings.Join(args, " "), stderr.String())
	return string(out)
}

// load puts a path of the fleet under load. backends are the names of those
// that may answer.
func (s *system) load(path string, status int, backends ...string) {
	l := fixture.StartLoad(fixture.LoadOptions{
		Targets: []string{s.proxyHost(0) + ":8080", s.proxyHost(1) + ":8080"},
		Host:    "auth.acme.test", Path: path, Rate: 15, Backends: backends, Accept: fixture.Answered(status),
	})
	s.t.Cleanup(func() { l.End() })
	s.loads = append(s.loads, l)
}

// finish ends the load and everything that watches, and judges: no callback
// misrouted, delivered twice, lied about, corrupted or failed; no proxy went
// back, was unready or saw half a config; no status contradicts itself.
func (s *system) finish() {
	s.t.Helper()
	var sum fixture.Outcome
	for _, l := range s.loads {
		sum = sum.Add(l.Judge(s.backends))
	}
	s.Expect(sum.Total).To(BeNumerically(">", 100), "too few callbacks to say anything")
	s.record("%s", sum)
	s.Expect(sum.Flawed()+sum.Failed).To(BeZero(), "%s; first: %s", sum, sum.First)
	s.endWatch()
	s.expectOnlyWholeConfigs()
	s.expectConsistent()
}

// record adds a figure to this fault's row.
func (s *system) record(format string, args ...any) {
	s.t.Helper()
	s.row.record(s.t, format, args...)
}

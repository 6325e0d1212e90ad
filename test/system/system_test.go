// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// system_test.go: one installation under load, and the verdict at the end of a test.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/callbackproxy/callback-operator/test/callbacks"
	"github.com/callbackproxy/callback-operator/test/fixture"
	"github.com/callbackproxy/callback-operator/test/installation"
	"github.com/callbackproxy/callback-operator/test/system/interposer"
)

// options configure start.
type options struct {
	// managers is the number of replicas; 1 when 0.
	managers int
	// alone turns leader election off: a replica starts to work at once, without
	// waiting for the lease of a killed one. All other settings are the defaults.
	alone bool
	// flags are added to the manager's, env to the environment of managers and
	// proxies.
	flags, env []string
	// backends are added to those of every test.
	backends []installation.BackendOptions
}

// system is one installation under load.
type system struct {
	*WithT
	*installation.Installation

	t   testing.TB
	ctx context.Context
	// tolerant is a client that also reads routes that do not decode.
	tolerant client.Client
	row      *row
	managers []*manager
	// proxies are those of the fleet edge; a test may start further ones.
	proxies []*installation.Proxy
	// proxyAPI is between all proxies and the API server.
	proxyAPI *interposer.Proxy
	apis     map[string]*interposer.Proxy // by program
	loads    []*callbacks.Load
	sentinel *sentinel
	moods    moods
	// afters undo the changes of the present test to a shared installation.
	afters []func()
	// mute is a route whose status cannot be stored, if there is one.
	mute types.NamespacedName
}

// start adds a fault's row to the table, brings up an installation with two
// routes that no test changes, /steady to blue and /other to green, and puts
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
	s := &system{WithT: NewWithT(t), t: t, ctx: t.Context(), apis: map[string]*interposer.Proxy{}}
	flags := o.flags
	if o.alone {
		flags = append(flags, "--leader-elect=false")
	}
	var err error
	s.Installation, err = installation.Start(s.ctx, installation.Options{
		Assets: binaries.assets, Manager: binaries.manager, Proxy: binaries.proxy, Dir: t.TempDir(),
		// An API server with memory to spare, as in a cluster: it shares the cores
		// with everything else here.
		ControlPlaneEnv: []string{"GOGC=400"}, Env: o.env,
		Prepare: s.createPlatform, Backends: append(s.backends(), o.backends...), Endpoint: s.interpose,
		Managers: max(1, o.managers), ManagerFlags: flags,
		Proxies: []installation.ProxyOptions{{Fleet: fleet.Name}, {Fleet: fleet.Name}},
	})
	s.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = s.Stop() })
	s.proxyAPI, s.proxies = s.apis["proxy"], s.Proxies[:2:2]
	for _, m := range s.Managers {
		s.managers = append(s.managers, &manager{Manager: m, s: s, api: s.apis[m.Name]})
	}
	s.tolerant = s.newTolerantClient()
	s.put(route{name: "steady", active: "blue"}, route{name: "other", active: "green"})
	s.converges(patience)
	return s
}

// beginLoad watches the proxies' readiness and puts the two routes, and a path
// that no route has, under load.
func (s *system) beginLoad() {
	s.watchReadiness()
	s.load("/steady", http.StatusOK, "blue")
	s.load("/other", http.StatusOK, "green")
	s.load("/steady/not", http.StatusNotFound)
}

// interpose starts an interposer between a program and the API server. It
// presents the API server's own certificate.
func (s *system) interpose(ctx context.Context, cp *fixture.ControlPlane, program string) (string, error) {
	certificate, err := tls.LoadX509KeyPair(filepath.Join(cp.Dir, "apiserver.crt"), filepath.Join(cp.Dir, "apiserver.key"))
	if err != nil {
		return "", fmt.Errorf("load the API server's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cp.Config.CAData)
	api, err := interposer.Start(ctx, interposer.Options{
		Upstream: cp.Config.Host,
		Client:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		Server:   &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	})
	if err != nil {
		return "", err
	}
	s.t.Cleanup(func() { _ = api.Close() })
	s.apis[program] = api
	return api.URL(), nil
}

// set sets the same rules for all managers and proxies.
func (s *system) set(rules ...interposer.Rule) {
	for _, api := range s.apis {
		api.Set(rules...)
	}
}

func (s *system) cutWatches() {
	for _, api := range s.apis {
		api.CutWatches()
	}
}

// kubectl runs kubectl as the administrator.
func (s *system) kubectl(args ...string) string {
	s.t.Helper()
	out, err := s.Kubectl.Run(s.ctx, args...)
	s.Expect(err).NotTo(HaveOccurred())
	return out
}

// apply applies a manifest by kubectl.
func (s *system) apply(manifest string) string {
	s.t.Helper()
	out, err := s.Kubectl.Apply(s.ctx, manifest)
	s.Expect(err).NotTo(HaveOccurred())
	return out
}

// load puts a path of the fleet under load. backends are the names of those
// that may receive its callbacks.
func (s *system) load(path string, status int, backends ...string) *callbacks.Load {
	return s.loadWith(callbacks.Options{Path: path, Rate: 15, Backends: backends, Accept: callbacks.HasStatus(status)})
}

// loadWith completes the options of a load.
func (s *system) loadWith(o callbacks.Options) *callbacks.Load {
	o.Host, o.KeepAlive, o.Warm = authHost, true, "/warm"
	for _, p := range s.proxies {
		o.Targets = append(o.Targets, p.Address)
	}
	l := callbacks.Start(o)
	s.t.Cleanup(func() { l.Stop() })
	s.loads = append(s.loads, l)
	return l
}

// call sends one callback to a proxy; status 0 means that no response came.
func (s *system) call(proxy int, host, path string) (status int, body string) {
	return callbacks.Get(s.ctx, s.proxies[proxy].Address, host, path+"?"+callbacks.Single())
}

// status sends one callback of the first host to a proxy.
func (s *system) status(proxy int, path string) int {
	status, _ := s.call(proxy, authHost, path)
	return status
}

// responds waits until both proxies respond to a callback with a status, and
// returns how long that took.
func (s *system) responds(status int, host, path string, limit time.Duration) time.Duration {
	s.t.Helper()
	began := time.Now()
	for i := range s.proxies {
		s.Eventually(func() int {
			got, _ := s.call(i, host, path)
			return got
		}, limit, 10*time.Millisecond).Should(Equal(status), "%s%s at proxy %d", host, path, i)
	}
	return time.Since(began)
}

// restartProxy takes a proxy out of the load balancer, kills it and returns
// how long the next process needed until it was ready.
func (s *system) restartProxy(i int) time.Duration {
	s.t.Helper()
	s.sentinel.excused[i].Store(true)
	s.avoid(i)
	s.proxies[i].Kill()
	began := time.Now()
	s.Expect(s.proxies[i].Start()).To(Succeed())
	s.Expect(s.proxies[i].WaitReady(s.ctx)).To(Succeed())
	took := time.Since(began)
	s.avoid(-1)
	s.sentinel.excused[i].Store(false)
	return took
}

// avoid keeps the load away from a proxy, and returns when none of its
// callbacks are in flight there.
func (s *system) avoid(proxy int) {
	s.t.Helper()
	for _, l := range s.loads {
		l.Avoid(func(target int) bool { return target == proxy })
	}
	if proxy >= 0 {
		s.wait(time.Second)
	}
}

// wait returns after a time, or when the test ends.
func (s *system) wait(d time.Duration) {
	s.t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	}
}

// sources are the records of all backends.
func (s *system) sources() []callbacks.Source {
	var sources []callbacks.Source
	for _, b := range s.Backends {
		sources = append(sources, b)
	}
	return sources
}

// finish ends the load and all watches, and judges: no callback misrouted,
// duplicated, contradicted, corrupted or failed; no proxy returned to an older
// config, was unready or received half a config; no status contradicts itself.
func (s *system) finish() {
	s.t.Helper()
	sum := &callbacks.Outcome{}
	for _, l := range s.loads {
		sum.Add(l.Judge(s.ctx, s.sources()...))
	}
	s.Expect(sum.Sent).To(BeNumerically(">", 100), "too few callbacks for a verdict")
	s.record("%s", sum)
	s.Expect(sum.IsClean()).To(BeTrue(), "%s %s; first: %v", sum, sum.Error, sum.First)
	s.endReadinessWatch()
	s.expectOnlyWholeConfigs()
	s.expectConsistent()
}

// record adds a figure to this fault's row.
func (s *system) record(format string, args ...any) {
	s.t.Helper()
	s.row.record(s.t, format, args...)
}

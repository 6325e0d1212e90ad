// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// openHost may be used by every namespace, ownHost by those with the label
// own=true. Both are given by furnish.
const (
	openHost = "open.acme.test"
	ownHost  = "own.acme.test"
)

// tenants are namespaces that furnish makes, each with a Service idp and a
// backend of the namespace's name behind it.
var tenants = []string{"tenant-a", "tenant-b"}

// nowhere are addresses of endpoints at which nobody listens: furnish maps
// them, as what is sent must not leave the machine. (The API server lets no
// loopback address be an endpoint.)
var nowhere = func() []string {
	var addresses []string
	for i := range 50 {
		addresses = append(addresses, fmt.Sprintf("198.51.100.%d", 1+i))
	}
	return addresses
}()

// moods are how the backend moody behaves.
type moods struct {
	// ill lets its /healthz answer 503; everything else it answers well.
	ill atomic.Bool
	// slow is how long it takes for a path that ends in /slow, in nanoseconds.
	slow atomic.Int64
}

func (m *moods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/healthz" && m.ill.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case strings.HasSuffix(r.URL.Path, "/slow"):
		timer := time.NewTimer(time.Duration(m.slow.Load()))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
	_, _ = io.WriteString(w, "moody")
}

// furnish adds what faults of tenants and backends need: a Service moody-idp
// with a backend of moods, two more namespaces with a Service each, and hosts
// that they may use.
func (s *system) furnish() {
	s.t.Helper()
	s.backendOf("identity", "moody-idp", "moody", 3, s.moods())
	for i, name := range tenants {
		s.Expect(s.client.Create(s.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
		s.backendOf(name, "idp", name, 4+i, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
	}
	for _, address := range nowhere {
		s.connectTo = append(s.connectTo, fmt.Sprintf("--connect-to=%s:8080=%s.9:1", address, s.network))
	}
	s.edit(func(p *callbackv1alpha1.CallbackProxy) {
		p.Spec.Hosts = append(p.Spec.Hosts,
			callbackv1alpha1.ProxyHost{Hostname: openHost, Namespaces: callbackv1alpha1.HostNamespaces{From: callbackv1alpha1.NamespacesFromAll}},
			callbackv1alpha1.ProxyHost{Hostname: ownHost, Namespaces: callbackv1alpha1.HostNamespaces{
				From: callbackv1alpha1.NamespacesFromSelector, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"own": "true"}},
			}})
	})
}

// backendOf makes a Service, starts a backend and maps the Service's address
// to it, for proxies that start then.
func (s *system) backendOf(namespace, service, name string, host int, answer http.Handler) {
	s.t.Helper()
	object := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: service},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": service}, Ports: []corev1.ServicePort{{Name: "http", Port: 8080}}},
	}
	s.Expect(s.client.Create(s.ctx, object)).To(Succeed())
	backend, err := fixture.StartBackend(s.ctx, fmt.Sprintf("%s.%d:8080", s.network, host), answer)
	s.Expect(err).NotTo(HaveOccurred())
	s.t.Cleanup(func() { _ = backend.Close() })
	s.backends[name] = backend
	s.connectTo = append(s.connectTo, "--connect-to="+object.Spec.ClusterIP+":8080="+backend.Addr())
}

// edit changes the fleet's CallbackProxy.
func (s *system) edit(change func(*callbackv1alpha1.CallbackProxy)) {
	s.t.Helper()
	stored := &callbackv1alpha1.CallbackProxy{}
	s.Expect(s.client.Get(s.ctx, fleet, stored)).To(Succeed())
	before := stored.DeepCopy()
	change(stored)
	s.Expect(s.client.Patch(s.ctx, stored, client.MergeFrom(before))).To(Succeed())
}

// setOwner changes a route's spec.
func (s *system) setOwner(object *callbackv1alpha1.CallbackRoute, owner string) error {
	body := fmt.Appendf(nil, `{"spec":{"owner":%q}}`, owner)
	return s.client.Patch(s.ctx, object, client.RawPatch(types.MergePatchType, body))
}

// claim is a callback of any namespace on any host, served by one Service.
type claim struct {
	namespace, name, host, path, service string
	// from is the Service's namespace, where it is another one.
	from   string
	sunset time.Time
	check  *callbackv1alpha1.HealthCheck
}

func (c claim) object() *callbackv1alpha1.CallbackRoute {
	object := route{name: c.name, sunset: c.sunset}.object()
	object.Namespace = c.namespace
	object.Spec.Hostnames = []callbackv1alpha1.Hostname{callbackv1alpha1.Hostname(c.host)}
	object.Spec.Callback.Path = callbackv1alpha1.CallbackPath(c.path)
	object.Spec.Backends = []callbackv1alpha1.Backend{{
		Name: "only", Service: callbackv1alpha1.ServiceReference{
			Name: callbackv1alpha1.ObjectName(c.service), Namespace: callbackv1alpha1.Namespace(c.from), Port: 8080,
		},
		HealthCheck: c.check,
	}}
	return object
}

// declare creates a route.
func (s *system) declare(c claim) *callbackv1alpha1.CallbackRoute {
	s.t.Helper()
	object := c.object()
	s.Expect(s.client.Create(s.ctx, object)).To(Succeed())
	return object
}

// call sends one callback to a proxy and returns what came; 0 when nothing
// did.
func (s *system) call(proxy int, host, path string) (status int, body string) {
	return callAt(s.proxyHost(proxy)+":8080", host, path)
}

func callAt(address, host, path string) (status int, body string) {
	request, err := http.NewRequest(http.MethodGet, "http://"+address+path+"?code=c&state=asked", http.NoBody)
	if err != nil {
		return 0, err.Error()
	}
	request.Host = host
	response, err := asker.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(content)
}

// answered waits until both proxies answer a callback with a status, and
// returns how long that took.
func (s *system) answered(status int, host, path string, limit time.Duration) time.Duration {
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

// furniture is what a system has that only some faults need.
type furniture struct {
	moods moods
	// afters undo what the present test did to a shared installation.
	afters []func()
	once   sync.Once
	client client.Client
}

func (s *system) moods() *moods { return &s.furniture.moods }

// wide is a client that reads routes as the manager does: also those that no
// typed client can.
func (s *system) wide() client.Client {
	f := &s.furniture
	f.once.Do(func() {
		var err error
		f.client, err = client.New(s.controlPlane.Config, client.Options{Scheme: kube.NewScheme()})
		s.Expect(err).NotTo(HaveOccurred())
	})
	return f.client
}

// after has something undone before the next test begins.
func (s *system) after(undo func()) { s.furniture.afters = append(s.furniture.afters, undo) }

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// tenants_test.go: the platform of every test: namespaces, hosts, backends and their behaviour.

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/installation"
)

// fleet names the CallbackProxy of every test.
var fleet = types.NamespacedName{Namespace: installation.Namespace, Name: "edge"}

// authHost is granted to namespace identity, openHost to every namespace,
// ownHost to those with the label own=true.
const (
	authHost = "auth.acme.test"
	openHost = "open.acme.test"
	ownHost  = "own.acme.test"
)

// tenants are namespaces with a Service idp and a backend of the namespace's
// name each.
var tenants = []string{"tenant-a", "tenant-b"}

// closedAddresses are addresses of endpoints without a server. They are mapped,
// so that no packet leaves the machine. (The API server lets no loopback
// address be an endpoint.)
var closedAddresses = func() []string {
	var addresses []string
	for i := range 50 {
		addresses = append(addresses, fmt.Sprintf("198.51.100.%d", 1+i))
	}
	return addresses
}()

// moods is the behaviour of the backend moody.
type moods struct {
	// ill lets its /healthz respond with 503; all other responses stay good.
	ill atomic.Bool
	// slow is how long it takes for a path that ends in /slow, in nanoseconds.
	slow atomic.Int64
}

// ServeHTTP responds with the backend's name.
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

// backends are those of every test.
func (s *system) backends() []installation.BackendOptions {
	return []installation.BackendOptions{
		{Name: "blue", Namespace: "identity", Service: "legacy-idp"},
		{Name: "green", Namespace: "identity", Service: "new-idp"},
		{Name: "moody", Namespace: "identity", Service: "moody-idp", Respond: &s.moods},
		{Name: tenants[0], Namespace: tenants[0], Service: "idp"},
		{Name: tenants[1], Namespace: tenants[1], Service: "idp"},
	}
}

// createPlatform creates the namespaces and the CallbackProxy.
func (s *system) createPlatform(ctx context.Context, in *installation.Installation) error {
	for _, name := range append([]string{"identity"}, tenants...) {
		if err := in.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return fmt.Errorf("create namespace %s: %w", name, err)
		}
	}
	closed, err := in.NextHost()
	if err != nil {
		return err
	}
	for _, address := range closedAddresses {
		in.Connect(address+":8080", closed+":1")
	}
	if err := in.Client.Create(ctx, newFleet(fleet.Name, authHost, openHost, ownHost)); err != nil {
		return fmt.Errorf("create the CallbackProxy: %w", err)
	}
	return nil
}

// newFleet returns a CallbackProxy whose proxies the test runs.
func newFleet(name string, hosts ...string) *callbackv1alpha1.CallbackProxy {
	grants := map[string]callbackv1alpha1.HostNamespaces{
		authHost: selected(corev1.LabelMetadataName, "identity"),
		openHost: {From: callbackv1alpha1.NamespacesFromAll},
		ownHost:  selected("own", "true"),
	}
	proxy := &callbackv1alpha1.CallbackProxy{
		ObjectMeta: metav1.ObjectMeta{Namespace: fleet.Namespace, Name: name},
		Spec:       callbackv1alpha1.CallbackProxySpec{Mode: callbackv1alpha1.ModeExternal},
	}
	for _, host := range hosts {
		proxy.Spec.Hosts = append(proxy.Spec.Hosts, callbackv1alpha1.ProxyHost{
			Hostname: callbackv1alpha1.Hostname(host), Namespaces: grants[host],
		})
	}
	return proxy
}

func selected(label, value string) callbackv1alpha1.HostNamespaces {
	return callbackv1alpha1.HostNamespaces{
		From:     callbackv1alpha1.NamespacesFromSelector,
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{label: value}},
	}
}

// edit changes the fleet's CallbackProxy.
func (s *system) edit(change func(*callbackv1alpha1.CallbackProxy)) {
	s.t.Helper()
	stored := &callbackv1alpha1.CallbackProxy{}
	s.Expect(s.Client.Get(s.ctx, fleet, stored)).To(Succeed())
	before := stored.DeepCopy()
	change(stored)
	s.Expect(s.Client.Patch(s.ctx, stored, client.MergeFrom(before))).To(Succeed())
}

// after undoes a change before the next test begins.
func (s *system) after(undo func()) { s.afters = append(s.afters, undo) }

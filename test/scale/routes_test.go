// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/installation"
)

const (
	tenants = 20 // namespaces with routes
	pairs   = 5  // of Services, blue and green, in each namespace
	hosts   = 10 // of each fleet
)

func fleet(i int) string  { return fmt.Sprintf("edge-%02d", i) }
func tenant(i int) string { return fmt.Sprintf("tenant-%02d", i) }

func serviceName(colour string, pair int) string { return fmt.Sprintf("idp-%s-%d", colour, pair) }

func hostname(fleet, host int) callbackv1alpha1.Hostname {
	return callbackv1alpha1.Hostname(fmt.Sprintf("auth-%d.edge-%02d.acme.test", host, fleet))
}

// place is the position of a route. Neighbours are in different fleets, and
// each tenant has routes in all of them.
type place struct{ number, fleet, tenant, host, pair int }

func placeOf(number int) place {
	round := number / fleets
	return place{number: number, fleet: number % fleets, tenant: round % tenants, host: round % hosts, pair: round / tenants % pairs}
}

func (p place) name() string { return fmt.Sprintf("login-%05d", p.number) }
func (p place) path() string {
	return fmt.Sprintf("/%s/%s/oauth2/callback", tenant(p.tenant), p.name())
}

func fleetObject(i int) *callbackv1alpha1.CallbackProxy {
	proxy := &callbackv1alpha1.CallbackProxy{
		ObjectMeta: metav1.ObjectMeta{Namespace: installation.Namespace, Name: fleet(i)},
		Spec: callbackv1alpha1.CallbackProxySpec{
			Mode: callbackv1alpha1.ModeExternal,
			// The callers are load balancers: their connections stay open.
			Forwarding: callbackv1alpha1.Forwarding{TrustedProxies: []callbackv1alpha1.CIDR{"127.0.0.0/8"}},
		},
	}
	for h := range hosts {
		proxy.Spec.Hosts = append(proxy.Spec.Hosts, callbackv1alpha1.ProxyHost{
			Hostname:   hostname(i, h),
			Namespaces: callbackv1alpha1.HostNamespaces{From: callbackv1alpha1.NamespacesFromAll},
		})
	}
	return proxy
}

func serviceObject(namespace, name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": name},
			Ports:    []corev1.ServicePort{{Name: "http", Port: 8080}},
		},
	}
}

// routeObject is the route of an identity team.
func routeObject(p place, sunset time.Time) *callbackv1alpha1.CallbackRoute {
	route := &callbackv1alpha1.CallbackRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: tenant(p.tenant), Name: p.name()},
		Spec: callbackv1alpha1.CallbackRouteSpec{
			ProxyRef:   callbackv1alpha1.ProxyReference{Namespace: installation.Namespace, Name: callbackv1alpha1.ObjectName(fleet(p.fleet))},
			Hostnames:  []callbackv1alpha1.Hostname{hostname(p.fleet, p.host)},
			Protocol:   callbackv1alpha1.ProtocolOIDC,
			Callbacks:  []callbackv1alpha1.Callback{{Name: "login", Path: callbackv1alpha1.CallbackPath(p.path())}},
			SunsetTime: metav1.NewTime(sunset),
			InfoURL:    "https://wiki.acme.test/sso-migration",
			Owner:      "identity-team@acme.test",
		},
	}
	for i, colour := range colours {
		weight := int32(100 * (1 - i))
		route.Spec.Backends = append(route.Spec.Backends, callbackv1alpha1.Backend{
			Name:    colour,
			Service: callbackv1alpha1.ServiceReference{Name: callbackv1alpha1.ObjectName(serviceName(colour, p.pair)), Port: 8080},
			Weight:  &weight,
		})
	}
	return route
}

// each runs an action for every route, several at a time.
func (r *run) each(do func(ctx context.Context, p place) error) error {
	group, ctx := errgroup.WithContext(r.ctx)
	group.SetLimit(workers)
	for i := range r.n {
		group.Go(func() error { return do(ctx, placeOf(i)) })
	}
	return group.Wait()
}

// farSunset is so far ahead that nothing depends on it.
func farSunset() time.Time { return time.Now().Add(90 * 24 * time.Hour).Truncate(time.Second) }

// createAll creates all routes, and returns when the first create began and
// how long the API server took for all.
func (r *run) createAll() (began time.Time, took time.Duration) {
	r.b.Helper()
	sunset := farSunset()
	began = time.Now()
	err := r.each(func(ctx context.Context, p place) error { return r.Client.Create(ctx, routeObject(p, sunset)) })
	took = time.Since(began)
	r.Expect(err).NotTo(HaveOccurred())
	return began, took
}

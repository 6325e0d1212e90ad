// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"strings"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// route is a callback /name of auth.acme.test.
type route struct {
	name   string
	active string // blue or green
	// large makes it fill some kilobytes of its shard.
	large bool
	// sunset is in a month when zero.
	sunset time.Time
}

func (r route) object() *callbackv1alpha1.CallbackRoute {
	sunset := r.sunset
	if sunset.IsZero() {
		sunset = time.Now().Add(30 * 24 * time.Hour)
	}
	object := &callbackv1alpha1.CallbackRoute{
		TypeMeta:   metav1.TypeMeta{APIVersion: callbackv1alpha1.SchemeGroupVersion.String(), Kind: "CallbackRoute"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "identity", Name: r.name},
		Spec: callbackv1alpha1.CallbackRouteSpec{
			ProxyRef:   callbackv1alpha1.ProxyReference{Name: "edge", Namespace: "callback-system"},
			Hostnames:  []callbackv1alpha1.Hostname{"auth.acme.test"},
			Protocol:   callbackv1alpha1.ProtocolOIDC,
			Callback:   callbackv1alpha1.Callback{Path: callbackv1alpha1.CallbackPath("/" + r.name)},
			Backends:   backends(r.active),
			SunsetTime: metav1.NewTime(sunset.Truncate(time.Second)),
			Owner:      "identity-team@acme.test",
		},
	}
	if r.large {
		object.Spec.InfoURL = "https://wiki.acme.test/" + strings.Repeat("x", 2000)
	}
	return object
}

// backends are those of the samples, all weight on one.
func backends(active string) []callbackv1alpha1.Backend {
	weight := func(name string) *int32 {
		if name == active {
			return new(int32(100))
		}
		return new(int32(0))
	}
	return []callbackv1alpha1.Backend{
		{Name: "blue", Service: callbackv1alpha1.ServiceReference{Name: "legacy-idp", Port: 8080}, Weight: weight("blue")},
		{Name: "green", Service: callbackv1alpha1.ServiceReference{Name: "new-idp", Port: 8080}, Weight: weight("green")},
	}
}

// put creates the routes or makes them look so, past all faults.
func (s *system) put(routes ...route) {
	s.t.Helper()
	for _, r := range routes {
		wanted := r.object()
		stored := &callbackv1alpha1.CallbackRoute{}
		err := s.client.Get(s.ctx, client.ObjectKeyFromObject(wanted), stored)
		if client.IgnoreNotFound(err) != nil {
			s.Expect(err).NotTo(HaveOccurred())
		}
		if err != nil {
			s.Expect(s.client.Create(s.ctx, wanted)).To(Succeed())
			continue
		}
		before := stored.DeepCopy()
		if r.sunset.IsZero() {
			wanted.Spec.SunsetTime = stored.Spec.SunsetTime
		}
		stored.Spec = wanted.Spec
		s.Expect(s.client.Patch(s.ctx, stored, client.MergeFrom(before))).To(Succeed())
	}
}

// remove deletes routes.
func (s *system) remove(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.Expect(s.client.Delete(s.ctx, route{name: name}.object())).To(Succeed())
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// route_test.go: the routes that tests declare.

import (
	"strings"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// route is a callback /name of the first host, for namespace identity.
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
			Hostnames:  []callbackv1alpha1.Hostname{authHost},
			Protocol:   callbackv1alpha1.ProtocolOIDC,
			Callbacks:  []callbackv1alpha1.Callback{{Name: "login", Path: callbackv1alpha1.CallbackPath("/" + r.name)}},
			Backends:   blueGreen(r.active),
			SunsetTime: metav1.NewTime(sunset.Truncate(time.Second)),
			Owner:      "identity-team@acme.test",
		},
	}
	if r.large {
		object.Spec.InfoURL = "https://wiki.acme.test/" + strings.Repeat("x", 2000)
	}
	return object
}

// blueGreen are two backends, all weight on one.
func blueGreen(active string) []callbackv1alpha1.Backend {
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

// manifest renders routes as a user writes them.
func (s *system) manifest(objects ...*callbackv1alpha1.CallbackRoute) string {
	s.t.Helper()
	var documents []string
	for _, object := range objects {
		typed := object.DeepCopy()
		typed.Status = callbackv1alpha1.CallbackRouteStatus{}
		document, err := yaml.Marshal(typed)
		s.Expect(err).NotTo(HaveOccurred())
		var content map[string]any
		s.Expect(yaml.Unmarshal(document, &content)).To(Succeed())
		delete(content, "status")
		document, err = yaml.Marshal(content)
		s.Expect(err).NotTo(HaveOccurred())
		documents = append(documents, string(document))
	}
	return strings.Join(documents, "---\n")
}

// put creates the routes or changes them to these, past all faults.
func (s *system) put(routes ...route) {
	s.t.Helper()
	for _, r := range routes {
		wanted := r.object()
		stored := &callbackv1alpha1.CallbackRoute{}
		err := s.Client.Get(s.ctx, client.ObjectKeyFromObject(wanted), stored)
		if client.IgnoreNotFound(err) != nil {
			s.Expect(err).NotTo(HaveOccurred())
		}
		if err != nil {
			s.Expect(s.Client.Create(s.ctx, wanted)).To(Succeed())
			continue
		}
		before := stored.DeepCopy()
		if r.sunset.IsZero() {
			wanted.Spec.SunsetTime = stored.Spec.SunsetTime
		}
		stored.Spec = wanted.Spec
		s.Expect(s.Client.Patch(s.ctx, stored, client.MergeFrom(before))).To(Succeed())
	}
}

// remove deletes routes of namespace identity.
func (s *system) remove(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.Expect(s.Client.Delete(s.ctx, route{name: name}.object())).To(Succeed())
	}
}

// claim is a callback of any namespace on any host, to one Service.
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
	object.Spec.Callbacks[0].Path = callbackv1alpha1.CallbackPath(c.path)
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
	s.Expect(s.Client.Create(s.ctx, object)).To(Succeed())
	return object
}

// setOwner changes a route's spec.
func (s *system) setOwner(object *callbackv1alpha1.CallbackRoute, owner string) error {
	return s.patch(object, `{"spec":{"owner":"`+owner+`"}}`)
}

// patch merges a JSON document into an object.
func (s *system) patch(object client.Object, document string) error {
	return s.Client.Patch(s.ctx, object, client.RawPatch(types.MergePatchType, []byte(document)))
}

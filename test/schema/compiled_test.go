// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// The shortest route and the shortest CallbackProxy, as the API server stores
// them, compile to an entry that the proxies serve: no default is missing.
func TestStored_DefaultsCompileToAValidEntry(t *testing.T) {
	t.Parallel()
	s := mustServer(t)
	namespace := newNamespace(t, s)
	proxy, route := &callbackv1alpha1.CallbackProxy{}, &callbackv1alpha1.CallbackRoute{}
	for kind, into := range map[string]client.Object{"CallbackProxy": proxy, "CallbackRoute": route} {
		create(t, s, namespace, bases[kind])
		name := map[string]string{"CallbackProxy": "edge", "CallbackRoute": "acme-sso"}[kind]
		if err := s.client.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: name}, into); err != nil {
			t.Fatal(err)
		}
	}
	backend := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "legacy-idp"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 8080}}},
	}
	if err := s.client.Create(t.Context(), backend); err != nil {
		t.Fatal(err)
	}
	now := route.CreationTimestamp.Add(time.Minute)
	wantDefaults(t, &proxy.Spec)
	// The base ends on a fixed day and has no owner.
	proxy.Spec.Policy.MaxLifetimeDays = 3650
	*proxy.Spec.Policy.RequireOwner = false
	result := compile.Compile(&compile.Snapshot{
		Key:        client.ObjectKeyFromObject(proxy),
		Proxy:      proxy,
		Routes:     []compile.Route{{Object: route}},
		Namespaces: map[string]labels.Set{namespace: nil},
		Services:   map[types.NamespacedName]*corev1.Service{client.ObjectKeyFromObject(backend): backend},
	}, now)
	if v := result.Verdicts[0]; !v.Accepted.OK || !v.ResolvedRefs.OK {
		t.Fatalf("the verdict is %+v", v)
	}
	if _, err := routetable.Encode(result.Table, routetable.DefaultShardBytes); err != nil {
		t.Fatal(err)
	}
	entry := result.Table.Routes[0]
	want := routetable.Route{
		Namespace: namespace, Name: "acme-sso", UID: string(route.UID), Generation: 1,
		Hostnames: []string{"auth.acme.com"}, Protocol: routetable.OIDC,
		Callbacks: []routetable.Callback{{Name: "login", PathType: routetable.Exact, Path: "/oauth2/callback"}},
		Backends: []routetable.Backend{{
			Name: "blue", Weight: 1, Addresses: []string{netip.AddrPortFrom(netip.MustParseAddr(backend.Spec.ClusterIP), 8080).String()},
		}},
		TimeoutSeconds: 30, Sunset: time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC), AfterSunset: routetable.Reject,
	}
	if got, want := asJSON(t, entry), asJSON(t, want); got != want {
		t.Errorf("the entry is\n%s\nwant\n%s", got, want)
	}
	if result.Table.Settings.ListenerPort != 8080 {
		t.Errorf("the settings are %+v", result.Table.Settings)
	}
}

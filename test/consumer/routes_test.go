// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
)

// The API server checks the route alone.
func TestRoute_IsValid(t *testing.T) {
	route := read[callbackv1alpha1.CallbackRoute](t, "testdata/route.yaml")
	if err := api.Create(t.Context(), route, client.DryRunAll); err != nil {
		t.Error(err)
	}
}

// The test above can fail: two backends cannot both get the callbacks.
func TestRoute_WithTwoPrimaryBackendsIsRefused(t *testing.T) {
	route := read[callbackv1alpha1.CallbackRoute](t, "testdata/route.yaml")
	route.Spec.Backends[1].Weight = route.Spec.Backends[0].Weight
	err := api.Create(t.Context(), route, client.DryRunAll)
	if err == nil || !strings.Contains(err.Error(), "exactly one backend must have a weight above 0") {
		t.Errorf("want a complaint about the weights, got %v", err)
	}
}

// The operator accepts the route for the platform team's fleet.
func TestRoute_IsAccepted(t *testing.T) {
	verdict := compileRoute(t, func(*callbackv1alpha1.CallbackRoute) {})
	if !verdict.Accepted.OK || !verdict.ResolvedRefs.OK {
		t.Errorf("Accepted: %+v\nResolvedRefs: %+v", verdict.Accepted, verdict.ResolvedRefs)
	}
}

// The test above can fail.
func TestRoute_OfAnotherHostIsNotAccepted(t *testing.T) {
	verdict := compileRoute(t, func(route *callbackv1alpha1.CallbackRoute) {
		route.Spec.Hostnames = []callbackv1alpha1.Hostname{"auth.other.com"}
	})
	if verdict.Accepted.Reason != callbackv1alpha1.ReasonHostNotAllowed {
		t.Errorf("Accepted: %+v", verdict.Accepted)
	}
}

// compileRoute compiles the route as the operator does. The API server fills in
// the defaults first.
func compileRoute(t *testing.T, change func(*callbackv1alpha1.CallbackRoute)) compile.Verdict {
	t.Helper()
	fleet := read[callbackv1alpha1.CallbackProxy](t, "testdata/fleet.yaml")
	route := read[callbackv1alpha1.CallbackRoute](t, "testdata/route.yaml")
	change(route)
	for _, object := range []client.Object{fleet, route} {
		if err := api.Create(t.Context(), object, client.DryRunAll); err != nil {
			t.Fatal(err)
		}
	}
	plan := compile.Compile(&compile.Snapshot{
		Key:        client.ObjectKeyFromObject(fleet),
		Proxy:      fleet,
		Routes:     []compile.Route{{Object: route}},
		Namespaces: map[string]labels.Set{"identity": {corev1.LabelMetadataName: "identity"}},
		Services:   services("identity", "legacy-idp", "new-idp"),
	}, time.Now())
	return plan.Verdicts[0]
}

// services returns the Services of your cluster, each with port 8080.
func services(namespace string, names ...string) map[types.NamespacedName]*corev1.Service {
	all := map[types.NamespacedName]*corev1.Service{}
	for _, name := range names {
		all[types.NamespacedName{Namespace: namespace, Name: name}] = &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec: corev1.ServiceSpec{
				ClusterIP: "10.96.0.10", ClusterIPs: []string{"10.96.0.10"},
				Ports: []corev1.ServicePort{{Port: 8080}},
			},
		}
	}
	return all
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admission_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
)

// compiled returns the condition Accepted that the controller computes for a
// stored route of a tenant.
func (tn *tenant) compiled(route *callbackv1alpha1.CallbackRoute) compile.Finding {
	tn.t.Helper()
	namespace, service := &corev1.Namespace{}, types.NamespacedName{Namespace: tn.namespace, Name: "legacy-idp"}
	if err := tn.Get(tn.t.Context(), client.ObjectKey{Name: tn.namespace}, namespace); err != nil {
		tn.t.Fatal(err)
	}
	result := compile.Compile(&compile.Snapshot{
		Key:        client.ObjectKeyFromObject(tn.proxy),
		Proxy:      tn.proxy,
		Routes:     []compile.Route{{Object: route}},
		Namespaces: map[string]labels.Set{tn.namespace: namespace.Labels},
		Services: map[types.NamespacedName]*corev1.Service{service: {
			Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.10", Ports: []corev1.ServicePort{{Port: 8080}}},
		}},
	}, route.CreationTimestamp.Add(time.Second))
	return result.Verdicts[0].Accepted
}

// A warning consists of the reason and the message that the condition Accepted
// then has.
func TestWarnings_AreTheCondition(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, func(p *callbackv1alpha1.CallbackProxySpec) {
		p.Policy.AllowedAfterSunset = []callbackv1alpha1.AfterSunset{callbackv1alpha1.AfterSunsetServe}
	})
	for name, change := range map[string]routeChange{
		"lifetime": func(r *callbackv1alpha1.CallbackRoute) { serve(r); sunset(200)(r) },
		"after":    nil,
		"owner":    func(r *callbackv1alpha1.CallbackRoute) { serve(r); owner("")(r) },
		"host":     func(r *callbackv1alpha1.CallbackRoute) { serve(r); hosts("other.acme.test")(r) },
	} {
		route, got := tn.create(name, change)
		condition := tn.compiled(route)
		NewWithT(t).Expect(condition.OK).To(BeFalse(), name)
		NewWithT(t).Expect(got).To(ConsistOf(condition.Reason+": "+condition.Message), name)
	}
}

// The namespace that gets nothing reads no host that others have.
func TestWarnings_NameNoHostOfOthers(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, func(p *callbackv1alpha1.CallbackProxySpec) {
		for i := range p.Hosts {
			p.Hosts[i].Namespaces = callbackv1alpha1.HostNamespaces{From: callbackv1alpha1.NamespacesFromSame}
		}
	})
	route, got := tn.create("intruder", nil)
	condition := tn.compiled(route)
	NewWithT(t).Expect(got).To(ConsistOf(condition.Reason + ": " + condition.Message))
	NewWithT(t).Expect(got[0]).NotTo(ContainSubstring("login.acme.test"))
}

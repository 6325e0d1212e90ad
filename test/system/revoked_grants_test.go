// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"net/http"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// The permission to use a Service of another namespace, or a host, is revoked: the
// route's traffic gets 503 within 5 s, and is served 5 s after the permission
// returns. (A host's claims stay held, so no other route gets its callbacks.)
func TestF23_GrantsAreRevoked(t *testing.T) {
	s := shared(t, "F23")
	s.declare(claim{namespace: "tenant-a", name: "borrowed", host: openHost, path: "/borrowed", service: "moody-idp", from: "identity"})
	s.declare(claim{namespace: "tenant-b", name: "owned", host: ownHost, path: "/owned", service: "idp"})
	s.declare(claim{namespace: "tenant-b", name: "opened", host: openHost, path: "/opened", service: "idp"})
	grant := &gatewayv1.ReferenceGrant{
		ObjectMeta: metav1.ObjectMeta{Namespace: "identity", Name: "tenant-a"},
		Spec: gatewayv1.ReferenceGrantSpec{
			From: []gatewayv1.ReferenceGrantFrom{{Group: "callbackproxy.io", Kind: "CallbackRoute", Namespace: "tenant-a"}},
			To:   []gatewayv1.ReferenceGrantTo{{Kind: "Service"}},
		},
	}
	var hosts []callbackv1alpha1.ProxyHost
	for _, permission := range []struct {
		name, host, path string
		refused          int
		give, revoke     func()
	}{
		{
			"ReferenceGrant", openHost, "/borrowed", http.StatusServiceUnavailable,
			func() { s.Expect(s.Client.Create(s.ctx, grant.DeepCopy())).To(Succeed()) },
			func() { s.Expect(s.Client.Delete(s.ctx, grant.DeepCopy())).To(Succeed()) },
		},
		{
			"namespace's label", ownHost, "/owned", http.StatusServiceUnavailable,
			func() { s.label("tenant-b", `"true"`) }, func() { s.label("tenant-b", `null`) },
		},
		{
			"host in the CallbackProxy", openHost, "/opened", http.StatusServiceUnavailable,
			func() {
				if hosts != nil {
					s.edit(func(p *callbackv1alpha1.CallbackProxy) { p.Spec.Hosts = hosts })
				}
			},
			func() {
				s.edit(func(p *callbackv1alpha1.CallbackProxy) {
					hosts = slices.Clone(p.Spec.Hosts)
					p.Spec.Hosts = slices.DeleteFunc(p.Spec.Hosts, func(h callbackv1alpha1.ProxyHost) bool { return h.Hostname == openHost })
				})
			},
		},
	} {
		permission.give()
		s.responds(http.StatusOK, permission.host, permission.path, patience)
		var stops, returns time.Duration
		for range times(2, 20) {
			permission.revoke()
			stops = max(stops, s.responds(permission.refused, permission.host, permission.path, patience))
			permission.give()
			returns = max(returns, s.responds(http.StatusOK, permission.host, permission.path, patience))
		}
		s.record("%s revoked: %d after %.2f s, and 200 again %.2f s after it returned", permission.name, permission.refused, stops.Seconds(), returns.Seconds())
		s.Expect(stops).To(BeNumerically("<=", 5*time.Second))
		s.Expect(returns).To(BeNumerically("<=", 5*time.Second))
	}
	s.label("tenant-b", `null`)
	s.Expect(s.Client.Delete(s.ctx, grant)).To(Succeed())
	s.converges(patience)
	s.finish()
}

// label sets the label own of a namespace to a JSON value.
func (s *system) label(namespace, value string) {
	s.t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	body := []byte(`{"metadata":{"labels":{"own":` + value + `}}}`)
	s.Expect(s.Client.Patch(s.ctx, object, client.RawPatch(types.MergePatchType, body))).To(Succeed())
}

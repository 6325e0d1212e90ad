// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// Routes and a namespace are deleted while the manager is down: they are served
// until it returns, and at most 5 s longer; then their claims are held. Then the
// whole operator is uninstalled in the wrong order, its kinds last: nothing
// hangs, as it has no finalizers, and the proxies that still run serve their
// config.
func TestF19_DeletionsWhileTheManagerIsDown(t *testing.T) {
	t.Parallel()
	s := start(t, "F19", options{alone: true})
	m := s.managers[0]
	s.put(route{name: "deleted", active: "blue"})
	kept := route{name: "kept", active: "blue"}.object()
	kept.Finalizers = []string{"example.test/foreign"}
	s.Expect(s.Client.Create(s.ctx, kept)).To(Succeed())
	s.declare(claim{namespace: "tenant-a", name: "inside", host: openHost, path: "/inside", service: "idp"})
	s.converges(patience)

	var slowest time.Duration
	for round := range times(1, 5) {
		if round > 0 {
			s.put(route{name: "deleted", active: "blue"})
			s.converges(patience)
		}
		m.Kill()
		s.remove("deleted")
		if round == 0 {
			s.remove("kept")
			s.deleteNamespace("tenant-a")
		}
		s.wait(lasting(time.Second, 20*time.Second))
		s.responds(http.StatusOK, authHost, "/deleted", patience)
		began := time.Now()
		m.start()
		s.responds(http.StatusServiceUnavailable, authHost, "/deleted", patience)
		s.responds(http.StatusServiceUnavailable, authHost, "/kept", patience)
		s.responds(http.StatusServiceUnavailable, openHost, "/inside", patience)
		slowest = max(slowest, time.Since(began))
	}
	s.record("a route, one with a foreign finalizer and a namespace deleted while the manager was down: 503 %.1f s after its start", slowest.Seconds())
	s.Expect(slowest).To(BeNumerically("<=", 5*time.Second))
	s.Expect(s.Client.Patch(s.ctx, kept, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))).To(Succeed())
	s.converges(patience)

	began := time.Now()
	s.uninstall()
	s.record("uninstalled with %d routes left: nothing was left after %.1f s, and the proxies went on", 2, time.Since(began).Seconds())
	s.wait(lasting(2*time.Second, time.Minute))
	for i := range s.proxies {
		s.Expect(s.status(i, "/steady")).To(Equal(http.StatusOK))
	}
	s.finish()
}

// deleteNamespace deletes a namespace as the namespace controller does: it
// deletes the routes in it, then the finalizer.
func (s *system) deleteNamespace(name string) {
	s.t.Helper()
	clients, err := kubernetes.NewForConfig(s.ControlPlane.Config)
	s.Expect(err).NotTo(HaveOccurred())
	namespaces := clients.CoreV1().Namespaces()
	s.Expect(namespaces.Delete(s.ctx, name, metav1.DeleteOptions{})).To(Succeed())
	s.Expect(s.Client.DeleteAllOf(s.ctx, &callbackv1alpha1.CallbackRoute{}, client.InNamespace(name))).To(Succeed())
	left, err := namespaces.Get(s.ctx, name, metav1.GetOptions{})
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(left.Status.Phase).To(Equal(corev1.NamespaceTerminating))
	left.Spec.Finalizers = nil
	_, err = namespaces.Finalize(s.ctx, left, metav1.UpdateOptions{})
	s.Expect(err).NotTo(HaveOccurred())
}

// uninstall deletes the manager, its roles and at last its kinds, while objects
// of them exist. It fails the test when a deletion takes more than a minute.
func (s *system) uninstall() {
	s.t.Helper()
	s.managers[0].Kill()
	s.kubectl("delete", "clusterrole,clusterrolebinding", "callback-manager")
	for _, kind := range []string{"callbackproxies", "callbackroutes", "callbackproxyconfigs"} {
		s.kubectl("delete", "crd", kind+".callbackproxy.io", "--timeout=60s")
	}
	s.Eventually(func() error {
		for _, list := range []client.ObjectList{&callbackv1alpha1.CallbackRouteList{}, &callbackv1alpha1.CallbackProxyConfigList{}} {
			if s.Client.List(s.ctx, list) == nil {
				return fmt.Errorf("%T is still served", list)
			}
		}
		return nil
	}, patience).Should(Succeed())
}

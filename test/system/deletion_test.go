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

// Routes and a namespace go while the manager is down: they are served until
// it returns, and not 5 s longer. Then the whole operator is uninstalled in
// the wrong order, its kinds last: nothing hangs, as it has no finalizers, and
// the proxies that still run serve what they have.
func TestF19_ThingsAreDeletedWhileTheManagerIsDown(t *testing.T) {
	t.Parallel()
	s := start(t, "F19", options{alone: true, furnished: true})
	m := s.managers[0]
	s.put(route{name: "deleted", active: "blue"})
	held := route{name: "held", active: "blue"}.object()
	held.Finalizers = []string{"example.test/somebody-elses"}
	s.Expect(s.client.Create(s.ctx, held)).To(Succeed())
	s.declare(claim{namespace: "tenant-a", name: "inside", host: openHost, path: "/inside", service: "idp"})
	s.settles(patience)

	var slowest time.Duration
	for round := range times(1, 5) {
		if round > 0 {
			s.put(route{name: "deleted", active: "blue"})
			s.settles(patience)
		}
		m.kill()
		s.remove("deleted")
		if round == 0 {
			s.remove("held")
			s.deleteNamespace("tenant-a")
		}
		s.lives(lasting(time.Second, 20*time.Second))
		s.answered(http.StatusOK, "auth.acme.test", "/deleted", patience)
		began := time.Now()
		m.start()
		s.answered(http.StatusNotFound, "auth.acme.test", "/deleted", patience)
		s.answered(http.StatusNotFound, "auth.acme.test", "/held", patience)
		s.answered(http.StatusNotFound, openHost, "/inside", patience)
		slowest = max(slowest, time.Since(began))
	}
	s.record("a route, one with a foreign finalizer and a namespace went while the manager was down: gone %.1f s after its start", slowest.Seconds())
	s.Expect(slowest).To(BeNumerically("<=", 5*time.Second))
	s.Expect(s.client.Patch(s.ctx, held, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))).To(Succeed())
	s.settles(patience)

	began := time.Now()
	s.uninstall()
	s.record("uninstalled with %d routes left: nothing was left after %.1f s, and the proxies went on", 2, time.Since(began).Seconds())
	s.lives(lasting(2*time.Second, time.Minute))
	for i := range s.proxies {
		s.Expect(s.ask(i, "/steady")).To(Equal(http.StatusOK))
	}
	s.finish()
}

// deleteNamespace deletes a namespace, and does what the namespace controller
// would: it deletes the routes in it and lets it go.
func (s *system) deleteNamespace(name string) {
	s.t.Helper()
	clients, err := kubernetes.NewForConfig(s.controlPlane.Config)
	s.Expect(err).NotTo(HaveOccurred())
	namespaces := clients.CoreV1().Namespaces()
	s.Expect(namespaces.Delete(s.ctx, name, metav1.DeleteOptions{})).To(Succeed())
	s.Expect(s.client.DeleteAllOf(s.ctx, &callbackv1alpha1.CallbackRoute{}, client.InNamespace(name))).To(Succeed())
	left, err := namespaces.Get(s.ctx, name, metav1.GetOptions{})
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(left.Status.Phase).To(Equal(corev1.NamespaceTerminating))
	left.Spec.Finalizers = nil
	_, err = namespaces.Finalize(s.ctx, left, metav1.UpdateOptions{})
	s.Expect(err).NotTo(HaveOccurred())
}

// uninstall takes the manager, its rights and at last its kinds away, with
// objects of them left. It fails the spec when something does not go within a
// minute.
func (s *system) uninstall() {
	s.t.Helper()
	s.managers[0].kill()
	s.kubectl("delete", "clusterrole,clusterrolebinding", "callback-manager")
	for _, kind := range []string{"callbackproxies", "callbackroutes", "callbackproxyconfigs"} {
		s.kubectl("delete", "crd", kind+".callbackproxy.io", "--timeout=60s")
	}
	s.Eventually(func() error {
		for _, list := range []client.ObjectList{&callbackv1alpha1.CallbackRouteList{}, &callbackv1alpha1.CallbackProxyConfigList{}} {
			if s.client.List(s.ctx, list) == nil {
				return fmt.Errorf("%T is still served", list)
			}
		}
		return nil
	}, patience).Should(Succeed())
}

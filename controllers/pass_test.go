// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/test/expect"
)

// pass calls Reconcile, after a reconcile of the deploy controller when that has no
// outcome for the present generation, and writes the statuses that are due. It then checks each
// status: none contradicts itself, also when the pass failed or a status has to
// wait; and when none has to wait, all describe the present generation. The
// result requests the next pass or the next status, whichever is first.
func (w *world) pass(key types.NamespacedName) (ctrl.Result, error) {
	w.t.Helper()
	rests := max(w.reconciler.passes.wait(key), w.reconciler.passes.waitMissing()) > 0
	stored := &kube.Proxy{}
	if err := w.client.Get(w.ctx, key, stored); err == nil {
		if _, known := w.reconciler.Deployer.Outcome(&stored.CallbackProxy); !known {
			_, deployErr := w.reconciler.Deployer.Reconcile(w.ctx, ctrl.Request{NamespacedName: key})
			w.Expect(deployErr).NotTo(HaveOccurred())
		}
	}
	result, err := w.reconciler.Reconcile(w.ctx, ctrl.Request{NamespacedName: key})
	next, writeErr := w.reconciler.Statuses.Flush(w.ctx)
	w.Expect(writeErr).NotTo(HaveOccurred())
	w.expectSoundStatuses(key, rests || err != nil || !next.IsZero())
	if wait := next.Sub(w.clock.Now()); !next.IsZero() && (result.RequeueAfter == 0 || wait < result.RequeueAfter) {
		result.RequeueAfter = wait
	}
	return result, err
}

// expectSoundStatuses checks the statuses of a fleet; incomplete are those of
// which some have to wait.
func (w *world) expectSoundStatuses(key types.NamespacedName, incomplete bool) { //nolint:revive // as above
	w.t.Helper()
	var routes kube.RouteList
	w.Expect(w.client.List(w.ctx, &routes)).To(Succeed())
	for i := range routes.Items {
		route := &routes.Items[i].CallbackRoute
		named := proxyKey(route)
		if named.Namespace != w.platform {
			continue
		}
		w.Expect(expect.SoundRoute(route)).To(Succeed())
		if named == key && route.DeletionTimestamp.IsZero() && !incomplete && w.reconciler.Observer.IsComplete(key) {
			w.Expect(expect.ConsistentRoute(route)).To(Succeed())
		}
	}
	var proxies kube.ProxyList
	w.Expect(w.client.List(w.ctx, &proxies)).To(Succeed())
	for i := range proxies.Items {
		proxy := &proxies.Items[i].CallbackProxy
		if proxy.Namespace != w.platform {
			continue
		}
		w.Expect(expect.SoundProxy(proxy)).To(Succeed())
		if proxy.Name == key.Name && !incomplete && w.reconciler.Observer.IsComplete(key) {
			w.Expect(expect.ConsistentProxy(proxy)).To(Succeed())
		}
	}
}

func find(conditions []metav1.Condition, kind string) *metav1.Condition {
	return meta.FindStatusCondition(conditions, kind)
}

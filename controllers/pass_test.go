// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/statuswriter"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
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
	wait := w.writeStatuses()
	w.expectSoundStatuses(key, rests || err != nil || wait > 0)
	if wait > 0 && (result.RequeueAfter == 0 || wait < result.RequeueAfter) {
		result.RequeueAfter = wait
	}
	return result, err
}

// writeStatuses writes the statuses that are due, as the workers do, and returns
// how long the next one has to wait; zero without one.
func (w *world) writeStatuses() (wait time.Duration) {
	w.t.Helper()
	var routes kube.RouteList
	var proxies kube.ProxyList
	w.Expect(w.client.List(w.ctx, &routes)).To(Succeed())
	w.Expect(w.client.List(w.ctx, &proxies, client.InNamespace(w.platform))).To(Succeed())
	var keys []statuswriter.Key
	for i := range routes.Items {
		route := &routes.Items[i]
		if proxyKey(&route.CallbackRoute).Namespace == w.platform {
			keys = append(keys, statuswriter.Key{Kind: "CallbackRoute", NamespacedName: client.ObjectKeyFromObject(route), UID: route.UID})
		}
	}
	for i := range proxies.Items {
		proxy := &proxies.Items[i]
		keys = append(keys, statuswriter.Key{Kind: "CallbackProxy", NamespacedName: client.ObjectKeyFromObject(proxy), UID: proxy.UID})
	}
	for _, key := range keys {
		result, err := w.reconciler.Statuses.Reconcile(w.ctx, key)
		w.Expect(err).NotTo(HaveOccurred())
		if wait == 0 || result.RequeueAfter > 0 && result.RequeueAfter < wait {
			wait = result.RequeueAfter
		}
	}
	return wait
}

// isPolled returns whether the first poll of each instance of a fleet ended.
func (w *world) isPolled(key types.NamespacedName) bool {
	w.t.Helper()
	index := &callbackv1alpha1.CallbackProxyConfig{}
	if err := w.client.Get(w.ctx, key, index); err != nil {
		return true // nothing is published
	}
	_, complete, err := w.reconciler.Observer.Instances(w.ctx, key, routetable.Version{Epoch: index.Spec.Epoch, Generation: index.Spec.Generation})
	w.Expect(err).NotTo(HaveOccurred())
	return complete
}

// expectSoundStatuses checks the statuses of a fleet; incomplete are those of
// which some have to wait.
func (w *world) expectSoundStatuses(key types.NamespacedName, incomplete bool) {
	w.t.Helper()
	complete := !incomplete && w.isPolled(key)
	var routes kube.RouteList
	w.Expect(w.client.List(w.ctx, &routes)).To(Succeed())
	for i := range routes.Items {
		route := &routes.Items[i].CallbackRoute
		named := proxyKey(route)
		if named.Namespace != w.platform {
			continue
		}
		w.Expect(expect.SoundRoute(route)).To(Succeed())
		if named == key && route.DeletionTimestamp.IsZero() && complete {
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
		if proxy.Name == key.Name && complete {
			w.Expect(expect.ConsistentProxy(proxy)).To(Succeed())
		}
	}
}

func find(conditions []metav1.Condition, kind string) *metav1.Condition {
	return meta.FindStatusCondition(conditions, kind)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/test/expect"
)

// pass is the only way to Reconcile. Whatever a spec is about, it looks at every
// status afterwards: none contradicts itself, also when the pass failed or had
// to leave something for later; and what was not left for later is said, of the
// present generation.
func (w *world) pass(key types.NamespacedName) (ctrl.Result, error) {
	w.t.Helper()
	pace, now := w.reconciler.pace, w.clock.Now()
	rests := max(pace.pass(key, now), pace.passInVain(now)) > 0
	_, err := w.reconciler.Deployer.Reconcile(w.ctx, ctrl.Request{NamespacedName: key})
	w.Expect(err).NotTo(HaveOccurred())
	result, err := w.reconciler.Reconcile(w.ctx, ctrl.Request{NamespacedName: key})
	later := lateness{w: w, key: key, all: rests || err != nil, again: result.RequeueAfter}
	w.expectConsistentRoutes(later)
	w.expectConsistentProxies(later)
	return result, err
}

func (w *world) expectConsistentRoutes(later lateness) {
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
		if named == later.key && route.DeletionTimestamp.IsZero() && !later.isAbout(route.UID) && !later.isRefused(route) {
			w.Expect(expect.ConsistentRoute(route)).To(Succeed())
		}
	}
}

func (w *world) expectConsistentProxies(later lateness) {
	w.t.Helper()
	var proxies kube.ProxyList
	w.Expect(w.client.List(w.ctx, &proxies)).To(Succeed())
	for i := range proxies.Items {
		proxy := &proxies.Items[i].CallbackProxy
		if proxy.Namespace != w.platform {
			continue
		}
		w.Expect(expect.SoundProxy(proxy)).To(Succeed())
		if proxy.Name == later.key.Name && !later.isAbout(proxy.UID) && !later.isRefused(proxy) {
			w.Expect(expect.ConsistentProxy(proxy)).To(Succeed())
		}
	}
}

// lateness is what a pass over a fleet may have left for later.
type lateness struct {
	w   *world
	key types.NamespacedName
	// all says that nothing has to be said yet: the pass was not made, or failed.
	all bool
	// again is after what time the pass asked for the next one; 0 is never. One
	// that holds something back asks for it no later than that may be written.
	again time.Duration
}

func (l lateness) within(wait time.Duration) bool { return l.again > 0 && l.again <= wait }

// isAbout says whether the status of an object may be held back: the pass had
// no time left for it, it waits for an acknowledgement, or it had its share.
func (l lateness) isAbout(uid types.UID) bool {
	pace := l.w.reconciler.pace
	return l.all || l.within(time.Millisecond) || l.within(l.w.acknowledgement(l.key)) ||
		l.within(pace.status(uid, status.Spec, pace.clock.Now()))
}

// isRefused says whether the API server would not store the object's status.
func (l lateness) isRefused(object client.Object) bool {
	status, _ := l.w.reconciler.pace.refused(object, l.w.clock.Now())
	return status != nil
}

// acknowledgement returns how long nothing is said yet about instances that
// have not acknowledged. It makes no pace for a fleet that has none.
func (w *world) acknowledgement(fleet types.NamespacedName) time.Duration {
	pace := w.reconciler.pace
	pace.mu.Lock()
	_, has := pace.fleets[fleet]
	pace.mu.Unlock()
	if !has {
		return 0
	}
	return pace.pending(fleet)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/status"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// W24, W41: what ready instances report of the last callbacks is put together; an
// instance that is not ready, or does not respond, has no part in it.
func TestW24_W41_RecentOfAllInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeFleet(t)
		at := time.Now().Add(-time.Minute)
		recent := func() map[string]status.Recent {
			routes := []*callbackv1alpha1.CallbackRoute{{ObjectMeta: metav1.ObjectMeta{UID: "r"}}, {ObjectMeta: metav1.ObjectMeta{UID: "other"}}}
			out := map[string]status.Recent{}
			for uid, r := range f.observer.Recent(edge, routes) {
				out[string(uid)] = r
			}
			return out
		}
		f.set("a", 1, 3)
		f.set("b", 1, 3)
		f.observe(1, pod("a", true), pod("b", true))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		f.Expect(recent()).To(BeEmpty(), "callbacks that show nothing")

		failures := []routetable.CallbackFailure{{Time: at, Reason: routetable.FailureReset}}
		f.change("a", func(r *routetable.Report) {
			r.Routes = []routetable.RouteUse{{UID: "r", Callbacks: 4, Backends: []routetable.BackendUse{{Name: "blue", Callbacks: 4, InRow: 1, Failures: failures}}}}
		})
		f.change("b", func(r *routetable.Report) {
			r.Routes = []routetable.RouteUse{{UID: "r", Callbacks: 4, LastLoop: at, Backends: []routetable.BackendUse{{Name: "blue", Callbacks: 4, LastSuccess: at}}}}
		})
		time.Sleep(3 * time.Second)
		synctest.Wait()
		f.Expect(recent()).To(Equal(map[string]status.Recent{"r": {
			LastLoop: at,
			Backends: map[string]status.RecentBackend{"blue": {LastSuccess: at, Rows: []status.FailureRow{{InRow: 1, Failures: failures}}}},
		}}))

		f.observe(1, pod("a", true), pod("b", false))
		f.Expect(recent()["r"].LastLoop).To(BeZero(), "an instance that is not ready")
		f.silence("a")
		time.Sleep(time.Minute)
		synctest.Wait()
		f.Expect(recent()).To(BeEmpty(), "an instance that does not respond")
	})
}

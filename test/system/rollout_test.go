// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"net/http"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/callbacks"
)

// A proxy is stopped and started under load, as a rollout does: readiness ends
// first, the proxy serves the callbacks that still come, and none is lost.
func TestF46_AProxyIsStoppedUnderLoad(t *testing.T) {
	t.Parallel()
	s := start(t, "F46", options{alone: true})
	for _, l := range s.loads {
		l.Avoid(func(i int) bool {
			status, _ := callbacks.Get(s.ctx, s.proxies[i].Admin, s.proxies[i].Admin, "/readyz")
			return status != http.StatusOK
		})
	}
	rounds := times(2, 20)
	for range rounds {
		for i, p := range s.proxies {
			s.sentinel.excused[i].Store(true)
			s.Expect(p.Stop()).To(Succeed())
			s.Expect(p.Start()).To(Succeed())
			s.Expect(p.WaitReady(s.ctx)).To(Succeed())
			s.sentinel.excused[i].Store(false)
		}
	}
	s.record("each proxy stopped and started %d times under load", rounds)
	s.finish()
}

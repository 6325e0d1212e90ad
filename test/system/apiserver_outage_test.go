// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// The API server is killed and stays away. The proxies serve and stay ready,
// say how old their config is, close a sunset on time and survive a restart of
// their own (F26); the manager restarts once at most; afterwards everything
// converges.
func TestF01_TheAPIServerIsKilled(t *testing.T) {
	t.Parallel()
	s := start(t, "F01", options{})
	outage := lasting(25*time.Second, 10*time.Minute)
	sunset := time.Now().Add(10 * time.Second).Truncate(time.Second)
	s.put(route{name: "closing", active: "blue", sunset: sunset})
	s.converges(patience)
	s.Expect(s.ask(0, "/closing")).To(Equal(http.StatusOK))

	s.controlPlane.KillAPIServer()
	down := time.Now()
	young, err := metric(s.admin(0)+"/metrics", "callbackproxy_config_age_seconds")
	s.Expect(err).NotTo(HaveOccurred())
	s.lives(time.Until(sunset.Add(time.Second)))
	for i := range s.proxies {
		s.Expect(s.ask(i, "/closing")).To(Equal(http.StatusGone), "proxy %d closes by its own clock", i)
	}
	recovered := s.restartProxy(1)
	s.lives(time.Until(down.Add(outage)))

	old, err := metric(s.admin(0)+"/metrics", "callbackproxy_config_age_seconds")
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(old-young).To(BeNumerically("~", time.Since(down).Seconds(), 1), "config_age_seconds rises with the clock")
	restarts := s.managers[0].restarted()
	s.Expect(restarts).To(BeNumerically("<=", 1), s.managers[0].said())

	s.Expect(s.controlPlane.StartAPIServer(s.ctx)).To(Succeed())
	s.flip(0)
	took := s.converges(time.Minute)
	s.record("away %s: manager restarted %d times, config_age_seconds rose to %.0f, a killed proxy served after %.1f s",
		outage, restarts, old, recovered.Seconds())
	s.record("converged %.1f s after the API server's return", took.Seconds())
	s.finish()
}

// restartProxy takes a proxy out of the load balancer, kills it and returns
// how long the next one needed to be ready.
func (s *system) restartProxy(i int) time.Duration {
	s.t.Helper()
	s.sentinel.excused[i].Store(true)
	s.avoid(i)
	s.proxies[i].Kill()
	began := time.Now()
	s.startProxy(i)
	s.Expect(s.proxies[i].WaitReady(s.ctx, s.admin(i)+"/readyz", nil)).To(Succeed(), s.proxies[i].Tail(5))
	took := time.Since(began)
	s.avoid(-1)
	s.sentinel.excused[i].Store(false)
	return took
}

// avoid keeps the load away from a proxy, and returns when nothing of it is
// in flight there any more.
func (s *system) avoid(proxy int) {
	s.t.Helper()
	for _, l := range s.loads {
		l.Avoid(func(target int) bool { return target == proxy })
	}
	if proxy >= 0 {
		s.lives(time.Second)
	}
}

// ask sends one callback to a proxy and returns its status; 0 when no answer
// came.
func (s *system) ask(proxy int, path string) int {
	s.t.Helper()
	request, err := http.NewRequest(http.MethodGet, "http://"+s.proxyHost(proxy)+":8080"+path+"?code=c&state=asked", http.NoBody)
	s.Expect(err).NotTo(HaveOccurred())
	request.Host = "auth.acme.test"
	response, err := asker.Do(request)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

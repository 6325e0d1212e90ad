// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/callbacks"
)

// The API server is killed and stays away. The proxies serve and stay ready,
// expose the age of their config, close a sunset on time and survive a restart
// of their own (F26); the manager restarts at most once; afterwards everything
// converges.
func TestF01_TheAPIServerIsKilled(t *testing.T) {
	t.Parallel()
	s := start(t, "F01", options{})
	outage := lasting(25*time.Second, 10*time.Minute)
	sunset := time.Now().Add(10 * time.Second).Truncate(time.Second)
	s.put(route{name: "closing", active: "blue", sunset: sunset})
	s.converges(patience)
	s.Expect(s.status(0, "/closing")).To(Equal(http.StatusOK))

	before := s.managers[0].Restarts() // a busy machine may have cost it a lease
	s.ControlPlane.KillAPIServer()
	down := time.Now()
	young, err := s.proxyMetric(0, "callbackproxy_config_age_seconds")
	s.Expect(err).NotTo(HaveOccurred())
	s.wait(time.Until(sunset.Add(time.Second)))
	for i := range s.proxies {
		s.Expect(s.status(i, "/closing")).To(Equal(http.StatusGone), "proxy %d closes by its own clock", i)
	}
	recovered := s.restartProxy(1)
	s.wait(time.Until(down.Add(outage)))

	old, err := s.proxyMetric(0, "callbackproxy_config_age_seconds")
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(old-young).To(BeNumerically("~", time.Since(down).Seconds(), 1), "config_age_seconds rises with the clock")
	restarts := s.managers[0].Restarts() - before
	s.Expect(restarts).To(BeNumerically("<=", 1), s.managers[0].logTail())

	s.Expect(s.ControlPlane.StartAPIServer(s.ctx)).To(Succeed())
	s.flip(0)
	took := s.converges(time.Minute)
	s.record("away %s: manager restarted %d times, config_age_seconds rose to %.0f, a killed proxy served after %.1f s",
		outage, restarts, old, recovered.Seconds())
	s.record("converged %.1f s after the API server's return", took.Seconds())
	s.finish()
}

// The API server and the manager are away for a minute: the proxies serve, close
// a sunset on time to the callback, and start again from their own disk (F26);
// afterwards everything converges.
func TestF01_ManagerAndAPIServerAreAwayTogether(t *testing.T) {
	t.Parallel()
	s := start(t, "F01", options{alone: true})
	sunset := time.Now().Add(20 * time.Second).Truncate(time.Second)
	s.put(route{name: "closing", active: "blue", sunset: sunset})
	s.converges(patience)
	s.loadWith(callbacks.Options{Path: "/closing", Rate: 20, Backends: []string{"blue"}, Accept: func(r callbacks.Response) bool {
		// The proxy reads its clock between the request and the response.
		return r.Status == http.StatusOK && r.Sent.Before(sunset) || r.Status == http.StatusGone && !r.Done.Before(sunset)
	}})

	s.managers[0].Kill()
	s.Expect(s.ControlPlane.StopAPIServer()).To(Succeed())
	down := time.Now()
	s.wait(time.Until(sunset.Add(2 * time.Second)))
	recovered := s.restartProxy(0)
	s.wait(time.Until(down.Add(lasting(30*time.Second, time.Minute))))
	s.Expect(s.ControlPlane.StartAPIServer(s.ctx)).To(Succeed())
	s.managers[0].start()
	s.flip(0)
	took := s.converges(time.Minute)
	s.record("manager and API server away: a killed proxy served after %.1f s; converged %.1f s after their return", recovered.Seconds(), took.Seconds())
	s.finish()
}

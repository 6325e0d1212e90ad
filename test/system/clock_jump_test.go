// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
	"github.com/callbackproxy/callback-operator/test/callbacks"
)

// A proxy's clock jumps, on the real config and with the real API server's Date:
// a closed route never opens again, a jump of more than an hour changes nothing
// until a second source agrees and the condition ClockSuspect reports it, and a
// smaller one moves a sunset by at most its own size. (The wall clock is that of a
// proxy in this process: another process cannot get one, as Go reads the clock
// past any library, and time namespaces have no wall clock. The two proxies that
// are processes keep their clocks.)
func TestF44_TheClockJumps(t *testing.T) {
	s := shared(t, "F44")
	now := time.Now().Truncate(time.Second)
	soon := now.Add(8 * time.Second)
	for name, end := range map[string]time.Time{"ending": soon, "in-30-min": now.Add(30 * time.Minute), "in-90-min": now.Add(90 * time.Minute), "in-a-month": now.Add(30 * 24 * time.Hour)} {
		s.declare(claim{namespace: "identity", name: name, host: authHost, path: "/" + name, service: "legacy-idp", sunset: end})
	}
	s.converges(patience)
	c := s.clocked()
	moved := c.wall.now()
	s.Expect(moved.Round(0)).To(BeTemporally("~", time.Now(), time.Second))
	expect := func(when, name string, status int) {
		t.Helper()
		got, _ := callbacks.Get(s.ctx, c.address, authHost, "/"+name+"?"+callbacks.Single())
		s.Expect(got).To(Equal(status), "%s: /%s", when, name)
	}
	expect("at the start", "in-30-min", http.StatusOK)
	s.Expect(time.Now()).To(BeTemporally("<", soon), "the machine is too slow for this")
	expect("before its end", "ending", http.StatusOK)
	s.wait(time.Until(soon.Add(time.Millisecond)))
	expect("after its end", "ending", http.StatusGone)

	year := 365 * 24 * time.Hour
	for _, jump := range []struct {
		name    string
		offset  time.Duration
		suspect bool
	}{
		{"5 min back (skew)", -5 * time.Minute, false},
		{"59 min back", -59 * time.Minute, false},
		{"61 min back", -61 * time.Minute, true},
		{"10 years back", -10 * year, true},
		{"2 h ahead", 2 * time.Hour, true},
		{"10 years ahead", 10 * year, true},
		{"back to what it was", 0, false},
	} {
		c.wall.set(jump.offset)
		s.Expect(c.wall.now().Round(0)).To(BeTemporally("~", time.Now().Add(jump.offset), 2*time.Second), "the clock was moved")
		for range 2 { // before and after the API server's Date
			expect(jump.name, "ending", http.StatusGone)
			expect(jump.name, "in-30-min", http.StatusOK)
			expect(jump.name, "in-90-min", http.StatusOK)
			expect(jump.name, "in-a-month", http.StatusOK)
			s.Expect(c.clock.Suspect()).To(Equal(jump.suspect), jump.name)
			c.readDate(s)
		}
		if jump.offset == 10*year || jump.offset == 0 {
			s.Eventually(s.clockIsSuspect, patience, 100*time.Millisecond).Should(Equal(jump.suspect), "%s: ClockSuspect", jump.name)
		}
	}

	// The largest error: a proxy follows a wall clock that is wrong by less than
	// the tolerance.
	c.wall.set(31 * time.Minute)
	expect("31 min ahead", "in-30-min", http.StatusGone)
	expect("31 min ahead", "in-90-min", http.StatusOK)
	c.wall.set(0)
	expect("31 min ahead and back", "in-30-min", http.StatusGone)

	// Both sources jump, so the proxy follows them.
	c.wall.set(2 * time.Hour)
	c.date.Store(int64(2 * time.Hour))
	expect("ahead, not yet agreed", "in-90-min", http.StatusOK)
	c.readDate(s)
	expect("ahead, agreed", "in-90-min", http.StatusGone)
	expect("ahead, agreed", "in-a-month", http.StatusOK)
	c.wall.set(0)
	c.date.Store(0)
	c.readDate(s)
	expect("back again", "in-90-min", http.StatusGone)
	s.record("wall clock of a proxy in this process moved by -5, -59, -61 min, 2 h, +-10 years, config and Date from the real API server: no closed route opened, nothing closed by a jump of more than %s before the Date agreed; largest error %s; ClockSuspect in the status and away again",
		sunset.Tolerance, sunset.Tolerance)
	s.finish()
}

// clockIsSuspect reports whether the fleet has the condition ClockSuspect.
func (s *system) clockIsSuspect() (bool, error) {
	proxy := &callbackv1alpha1.CallbackProxy{}
	err := s.Client.Get(s.ctx, fleet, proxy)
	return meta.IsStatusConditionTrue(proxy.Status.Conditions, callbackv1alpha1.ConditionClockSuspect), err
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// outage is how long the API server is away.
const outage = time.Minute

// The API server is away for a minute and the manager is killed: the proxies
// go on serving, close a sunset on time, survive a restart of their own, and
// afterwards everything converges with no config going back.
func TestF01_TheControlPlaneIsAwayForAMinute(t *testing.T) {
	t.Parallel()
	s := start(t, alone)
	gone := time.Now().Add(15 * time.Second)
	sunset := gone.Add(20 * time.Second).Truncate(time.Second)
	s.apply(route{name: "steady", path: "/steady"}.String())
	s.apply(route{name: "closing", path: "/closing", sunset: sunset}.String())
	s.waitFor("steady", "Ready")
	s.waitFor("closing", "Programmed")
	watch := s.watchVersions()
	steady := s.startLoad("/steady", 50, nil)
	closing := s.startLoad("/closing", 20, func(a fixture.Answer) bool {
		// The proxy looked at its clock after the callback was sent and before
		// it was answered.
		return a.Status == http.StatusOK && a.Sent.Before(sunset) || a.Status == http.StatusGone && !a.Done.Before(sunset)
	})

	s.manager.Kill()
	s.Expect(s.controlPlane.StopAPIServer()).To(Succeed())
	down := time.Now()
	// F26: a proxy that is killed comes back with its last good config. Not
	// under load, as what was in flight at it would be lost.
	time.Sleep(time.Until(sunset.Add(5 * time.Second)))
	closing.End()
	steady.End()
	s.proxies[0].Kill()
	restarted := time.Now()
	s.startProxy(0)
	t.Logf("a proxy was ready %s after its start, with the API server away", time.Since(restarted).Round(time.Millisecond))
	again := s.startLoad("/steady", 50, nil)
	time.Sleep(time.Until(down.Add(outage)))

	s.Expect(s.controlPlane.StartAPIServer(s.ctx)).To(Succeed())
	s.startManager()
	s.Eventually(func() string {
		return s.kubectl("get", "cbr", "closing", "-n", "identity", "-o", `jsonpath={.status.conditions[?(@.type=="SunsetPassed")].status}`)
	}, patience).Should(Equal("True"))
	s.apply(route{name: "steady", path: "/steady", active: "green"}.String())
	s.waitFor("steady", "Ready")
	s.Eventually(func() string {
		_, body := s.get(newClient(), 0, "auth.acme.test", "/steady?code=c&state=last")
		return body
	}, patience).Should(Equal("green"))
	s.expectFlawless("steady, before the restart", s.judge(steady))
	s.expectFlawless("steady, after the restart", s.judge(again))
	s.expectFlawless("closing", s.judge(closing))
	watch()
	s.expectConsistent()
}

// The manager is killed at moments that chance chooses while routes change:
// what is published in the end is what was declared, nothing goes back on the
// way, and nobody's login fails.
func TestF08_TheManagerIsKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	s := start(t, alone)
	s.apply(route{name: "steady", path: "/steady"}.String())
	s.waitFor("steady", "Ready")
	watch := s.watchVersions()
	l := s.startLoad("/steady", 50, nil)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const kills = 12
	for i := range kills {
		active := []string{"blue", "green"}[i%2]
		s.apply(route{name: "steady", path: "/steady", active: active}.String() + route{name: fmt.Sprintf("more-%d", i), path: fmt.Sprintf("/more-%d", i), active: active}.String())
		time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
		s.manager.Kill()
		s.startManager()
	}
	s.waitFor("steady", "Ready")
	for i := range kills {
		s.waitFor(fmt.Sprintf("more-%d", i), "Ready")
	}
	for i := range s.proxies {
		for _, path := range []string{"/steady", "/more-0", "/more-11"} {
			want := map[string]string{"/steady": "green", "/more-0": "blue", "/more-11": "green"}[path]
			_, body := s.get(newClient(), i, "auth.acme.test", path+"?code=c&state=last")
			s.Expect(body).To(Equal(want), "proxy %d, %s", i, path)
		}
	}
	s.expectFlawless("steady", s.judge(l))
	watch()
	var parts callbackv1alpha1.CallbackProxyConfigList
	s.Expect(s.client.List(s.ctx, &parts, client.InNamespace("callback-system"))).To(Succeed())
	s.Expect(parts.Items).To(HaveLen(2), "an index and one shard: nothing half-done stays behind")
	s.expectConsistent()
}

// A proxy is stopped and started under load, as a rollout does: readiness goes
// first, whoever still comes is served, and nothing is lost.
func TestF46_AProxyIsStoppedUnderLoad(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.apply(route{name: "steady", path: "/steady"}.String())
	s.waitFor("steady", "Ready")
	l := s.startLoad("/steady", 50, nil)
	l.Avoid(func(i int) bool {
		status, _ := s.fetch("http://" + s.adminAddress(i) + "/readyz")
		return status != http.StatusOK
	})
	for i := range s.proxies {
		s.Expect(s.proxies[i].Stop(patience)).To(Succeed(), s.proxies[i].Output())
		s.startProxy(i)
	}
	s.expectFlawless("steady", s.judge(l))
	s.expectConsistent()
}

// Canaries: what is secret in a callback is found nowhere but at the backend.
func TestT10_NothingSecretLeavesTheProxies(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.apply(route{name: "acme", path: "/cb"}.String() + strings.Replace(route{name: "dead", path: "/dead"}.String(), "legacy-idp", "nothing", 1))
	s.waitFor("acme", "Ready")
	canary := "CANARY" + fmt.Sprint(time.Now().UnixNano())
	targets := []string{
		"/cb?code=" + canary + "&state=" + canary, "/dead?code=" + canary, "/nowhere/" + canary, "/cb?code=" + canary + "&code=" + canary,
		"/cb/../" + canary, "/cb?id_token=" + canary + "&" + canary + "=1",
	}
	s.Eventually(func() int { status, _ := s.get(newClient(), 0, "auth.acme.test", "/dead?code=x"); return status }, patience).Should(Equal(http.StatusServiceUnavailable))
	for i := range s.proxies {
		for _, target := range targets {
			_, body := s.get(newClient(), i, "auth.acme.test", target)
			s.Expect(body).NotTo(ContainSubstring(canary), "in an answer of the proxy")
		}
	}
	s.Expect(s.blue.Requests()).To(ContainElement(HaveField("RequestURI", ContainSubstring(canary))), "the control: it did arrive")

	sinks := map[string]string{
		"manager's log": s.manager.Output(),
		"objects":       s.kubectl("get", "callbacks,events,pods", "-A", "-o", "yaml"),
	}
	for i := range s.proxies {
		_, sinks[fmt.Sprintf("metrics of proxy %d", i)] = s.fetch("http://" + s.adminAddress(i) + "/metrics")
		sinks[fmt.Sprintf("log of proxy %d", i)] = s.proxies[i].Output()
	}
	for name, content := range sinks {
		s.Expect(content).NotTo(BeEmpty(), name)
		s.Expect(content).NotTo(ContainSubstring(canary), name)
	}
	files, err := filepath.Glob(filepath.Join(s.dir, "state-*", "*"))
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(files).NotTo(BeEmpty())
	for _, file := range files {
		s.Expect(s.read(file)).NotTo(ContainSubstring(canary), file)
	}
}

// watchVersions looks at what the proxies run, again and again; the returned
// function ends that and fails the test if any of them went back.
func (s *system) watchVersions() (end func()) {
	stop, done := make(chan struct{}), make(chan string)
	go func() {
		var worst string
		var last [2][2]float64
		for {
			for i := range s.proxies {
				status, body := s.fetch("http://" + s.adminAddress(i) + "/metrics")
				if status != http.StatusOK {
					continue
				}
				now := [2]float64{sumOf(body, "callbackproxy_config_epoch"), sumOf(body, "callbackproxy_config_generation")}
				if now[0] < last[i][0] || now[0] == last[i][0] && now[1] < last[i][1] {
					worst = fmt.Sprintf("proxy %d went from %v to %v", i, last[i], now)
				}
				if now[0] > 0 {
					last[i] = now
				}
			}
			select {
			case <-stop:
				done <- worst
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() {
		s.t.Helper()
		close(stop)
		s.Expect(<-done).To(BeEmpty())
	}
}

func (s *system) fetch(url string) (status int, body string) {
	response, err := newClient().Get(url)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = response.Body.Close() }()
	content, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(content)
}

// sumOf adds up all series of a metric; 0 when there are none.
func sumOf(text, name string) float64 {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return 0
	}
	var sum float64
	for _, series := range families[name].GetMetric() {
		sum += series.GetGauge().GetValue() + series.GetCounter().GetValue()
	}
	return sum
}

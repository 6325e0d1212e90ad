// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// soak_test.go: a long run in which everything fails at random, and the verdict about every callback.

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/callbacks"
	"github.com/callbackproxy/callback-operator/test/installation"
)

const (
	// soakEvery is after how many callbacks a backend fails, on average, and
	// disruptEvery after how many something greater happens.
	soakEvery, disruptEvery = 1000, 4000
	// soakRate is how many callbacks are due in a second, and soakInFlight how many
	// of one load wait at most: a slow machine makes the test last longer.
	soakRate, soakInFlight = 600, 150
)

// soakFields are header fields in an order and in spellings that a library would
// not keep.
var soakFields = []string{
	"x-soak-Second: 2", "X-SOAK-first:1", "accept-Language: de,en;q=0.5", "User-Agent: Soak/1.0 (x; y)", "Cookie: a=b; c=\"d e\"", "x-soak-Second: again", "Cookie:  f=g",
	"X-Soak-Empty:", "Accept: */*",
}

// flaky is a backend that fails at random: now and then it breaks off before or
// after a part of its response, or does not respond.
type flaky struct {
	name     string
	provider *callbacks.Provider
	failures atomic.Int64
	// forged counts SAML responses whose signature does not hold.
	forged atomic.Int64

	mu     sync.Mutex
	random *rand.Rand
}

// chance returns true once in a number of times, and a number below 8.
func (f *flaky) chance(often int) (hit bool, which int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.random.IntN(often) == 0, f.random.IntN(8)
}

// ServeHTTP responds with the backend's name, except when it fails.
func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.RawQuery, "SAMLResponse=") && f.provider.Verify(r.URL.RawQuery) != nil {
		f.forged.Add(1)
		w.WriteHeader(http.StatusForbidden)
		return
	}
	hit, which := f.chance(soakEvery)
	if !hit || !callbacks.IsCallback(r) {
		_, _ = io.WriteString(w, f.name)
		return
	}
	f.failures.Add(1)
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	switch which {
	case 0:
		breakOff(w, "", true)
	case 1:
		breakOff(w, "", false)
	case 2:
		breakOff(w, "HTTP/1.1 200 OK\r\nContent-Le", false)
	case 3:
		breakOff(w, head+"Content-Length: 99\r\n\r\n"+f.name, false)
	case 4:
		breakOff(w, head+"Content-Length: 99\r\n\r\n"+f.name, true)
	case 5:
		breakOff(w, head+"Transfer-Encoding: chunked\r\n\r\na000\r\n"+strings.Repeat("0123456789abcdef", 2560), false)
	case 6: // silent, until the proxy gives up
		<-r.Context().Done()
	case 7:
		f.respondSlowly(w, r)
	}
}

// breakOff sends bytes and closes the connection, or resets it.
func breakOff(w http.ResponseWriter, sent string, reset bool) { //nolint:revive // how it ends
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, sent)
	if reset {
		_ = conn.(*callbacks.HeadConn).SetLinger(0)
	}
	_ = conn.Close()
}

// respondSlowly sends a byte each tenth of a second.
func (f *flaky) respondSlowly(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", strconv.Itoa(len(f.name)))
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for i := range len(f.name) {
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		}
		_, _ = io.WriteString(w, f.name[i:i+1])
		_ = http.NewResponseController(w).Flush()
	}
}

// soaking is one run.
type soaking struct {
	*system

	random   *rand.Rand
	backends []*flaky
	// events counts what happened, by its name.
	events map[string]int
	churns int
}

// 6.3: callbacks with a random fault each thousand, from clients that send again
// as browsers and fronts do, while proxies are killed and stopped, backends refuse
// connections and configs change. No callback reaches a backend that is not its
// own, or more often than it was sent; none changes by a byte, its fields and its
// signature included; and no response contradicts what happened.
func TestSoak(t *testing.T) {
	total, err := strconv.Atoi(os.Getenv("SOAK"))
	if err != nil || total <= 0 {
		t.Skip("make soak sets SOAK, the number of callbacks")
	}
	seed := uint64(time.Now().UnixNano())
	if given, err := strconv.ParseUint(os.Getenv("SOAK_SEED"), 10, 64); err == nil {
		seed = given
	}
	provider, err := callbacks.NewProvider()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	run := &soaking{random: rand.New(rand.NewPCG(seed, 0)), events: map[string]int{}}
	var extra []installation.BackendOptions
	for i, name := range []string{"soak-blue", "soak-green"} {
		f := &flaky{name: name, provider: provider, random: rand.New(rand.NewPCG(seed, uint64(1+i)))}
		run.backends = append(run.backends, f)
		extra = append(extra, installation.BackendOptions{Name: name, Namespace: "identity", Service: name, Respond: f})
	}
	row := enter(t, "6.3")
	run.system = install(t, options{backends: extra})
	run.row = row
	run.declareRoutes()

	began := time.Now()
	run.begin(total, provider)
	run.disrupt(total)
	sum := &callbacks.Outcome{}
	for _, l := range run.loads {
		l.Wait()
		sum.Add(l.Judge(run.ctx, run.sources()...))
	}
	run.judge(sum, time.Since(began), seed)
}

// declareRoutes creates a route to each backend, and one for SAML to the first.
func (s *soaking) declareRoutes() {
	s.t.Helper()
	for name, service := range map[string]string{"soak-blue": "soak-blue", "soak-green": "soak-green", "soak-saml": "soak-blue"} {
		object := claim{namespace: "identity", name: name, host: authHost, path: "/" + name, service: service}.object()
		object.Spec.Timeouts.RequestSeconds = 4
		if name == "soak-saml" {
			object.Spec.Protocol = callbackv1alpha1.ProtocolSAML
		}
		s.Expect(s.Client.Create(s.ctx, object)).To(Succeed())
	}
	s.converges(patience)
}

// begin starts a load for each route.
func (s *soaking) begin(total int, provider *callbacks.Provider) {
	for i, o := range []callbacks.Options{
		{Name: "blue", Path: "/soak-blue", Backends: []string{"soak-blue"}},
		{Name: "green", Path: "/soak-green", Backends: []string{"soak-green"}},
		{Name: "saml", Path: "/soak-saml", Backends: []string{"soak-blue"}, Provider: provider},
	} {
		o.Total = (total + i) / 3
		o.Rate, o.InFlight, o.Fields = soakRate/3, soakInFlight/3, soakFields
		s.loadWith(o)
	}
}

func (s *soaking) sent() (n int) {
	for _, l := range s.loads {
		n += l.Sent()
	}
	return n
}

// disrupt causes one greater event for each disruptEvery callbacks, until all are
// sent.
func (s *soaking) disrupt(total int) {
	s.t.Helper()
	events := []struct {
		name  string
		cause func()
	}{
		{"config changed", s.changeConfig},
		{"proxy killed", s.killProxy},
		{"backend refused connections", s.refuse},
		{"proxy stopped", s.stopProxy},
		{"route moved", s.moveRoute},
	}
	for next := disruptEvery / 2; next < total; next += disruptEvery {
		for s.sent() < next {
			s.wait(50 * time.Millisecond)
			s.Expect(s.ctx.Err()).NotTo(HaveOccurred())
		}
		e := events[(s.events["all"]+s.random.IntN(2))%len(events)]
		s.events["all"]++
		s.events[e.name]++
		e.cause()
	}
}

func (s *soaking) proxy() *installation.Proxy { return s.proxies[s.random.IntN(len(s.proxies))] }

func (s *soaking) killProxy() {
	p := s.proxy()
	p.Kill()
	s.Expect(p.Start()).To(Succeed())
	s.Expect(p.WaitReady(s.ctx)).To(Succeed())
}

func (s *soaking) stopProxy() {
	p := s.proxy()
	s.Expect(p.Stop()).To(Succeed())
	s.Expect(p.Start()).To(Succeed())
	s.Expect(p.WaitReady(s.ctx)).To(Succeed())
}

func (s *soaking) refuse() {
	name := s.backends[s.random.IntN(len(s.backends))].name
	s.Expect(s.Backends[name].Refuse(s.ctx, 200*time.Millisecond)).To(Succeed())
}

// changeConfig makes the next generation of the table, with the same routes.
func (s *soaking) changeConfig() {
	s.churns++
	object := claim{name: "soak-saml", namespace: "identity"}.object()
	s.Expect(s.setOwner(object, fmt.Sprintf("team-%d@acme.test", s.churns))).To(Succeed())
}

// moveRoute moves a route that has no load from one backend to the other.
func (s *soaking) moveRoute() {
	s.churns++
	s.put(route{name: "steady", active: []string{"blue", "green"}[s.churns%2]})
}

func (s *soaking) judge(sum *callbacks.Outcome, took time.Duration, seed uint64) {
	s.t.Helper()
	var failures, forged int64
	for _, f := range s.backends {
		failures, forged = failures+f.failures.Load(), forged+f.forged.Load()
	}
	s.record("%d callbacks in %s, seed %d: %d faults of backends, %d greater events %v", sum.Sent, took.Round(time.Second), seed, failures, s.events["all"], s.events)
	s.record("misrouted %d, delivered more often than sent %d, changed %d, forged %d, contradicted %d", sum.Misrouted, sum.Duplicated-sum.Redelivered, sum.Corrupted, forged, sum.Contradicted)
	s.record("failed %d, of them left open %d, sent again by their client %d, of those delivered twice %d", sum.Failed, sum.Undetermined, sum.Repeated, sum.Redelivered)
	s.Expect(sum.Error).To(BeEmpty())
	s.Expect(sum.Misrouted+sum.Duplicated-sum.Redelivered+sum.Corrupted+sum.Contradicted+int(forged)).To(BeZero(), "%v", sum.First)
	s.Expect(failures).To(BeNumerically(">", sum.Sent/soakEvery/4), "the faults were there")
	s.Expect(sum.Failed).To(BeNumerically("<", sum.Sent/10), "most callbacks succeeded, so the verdict means something: %v", sum.First)
}

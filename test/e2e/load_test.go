// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callbackproxy/callback-operator/test/fixture"
)

// answer is what a client saw.
type answer struct {
	id     string
	sent   time.Time
	done   time.Time
	status int    // 0: no answer at all
	body   string // the backend's name, or the proxy's page
}

// load sends callbacks to all proxies at a constant rate, whatever they
// answer, each with an identity of its own in its state.
type load struct {
	system  *system
	number  int32
	host    string
	path    string
	stop    context.CancelFunc
	running sync.WaitGroup
	count   atomic.Int64
	// absent says which proxies a load balancer would have taken out; nil: none.
	absent atomic.Pointer[func(proxy int) bool]

	mu      sync.Mutex
	answers []answer
}

// loads numbers the loads of a run: no two callbacks share an identity.
var loads atomic.Int32

// newClient returns a client that makes a fresh connection for each request,
// as browsers of different people do.
func newClient() *http.Client {
	return &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// startLoad begins with the rate, in requests per second over all proxies.
func (s *system) startLoad(path string, rate int) *load {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.ctx))
	l := &load{system: s, number: loads.Add(1), host: "auth.acme.test", path: path, stop: cancel}
	httpClient := newClient()
	l.running.Go(func() {
		ticker := time.NewTicker(time.Second / time.Duration(rate))
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				n := l.count.Add(1)
				l.running.Go(func() { l.send(httpClient, n) })
			}
		}
	})
	s.t.Cleanup(func() { l.end() })
	return l
}

func (l *load) send(httpClient *http.Client, n int64) {
	a := answer{id: fmt.Sprintf("load-%d-%06d", l.number, n), sent: time.Now()}
	proxy := int(n) % len(l.system.proxies)
	if absent := l.absent.Load(); absent != nil && (*absent)(proxy) {
		proxy = (proxy + 1) % len(l.system.proxies)
	}
	a.status, a.body = l.system.get(httpClient, proxy, l.host, l.path+"?code=c&state="+a.id)
	a.done = time.Now()
	l.mu.Lock()
	l.answers = append(l.answers, a)
	l.mu.Unlock()
}

// get sends one callback to a proxy; status 0 means that no answer came.
func (s *system) get(httpClient *http.Client, proxy int, host, target string) (status int, body string) {
	request, err := http.NewRequest(http.MethodGet, "http://"+s.proxyAddress(proxy)+target, http.NoBody)
	if err != nil {
		return 0, err.Error()
	}
	request.Host = host
	response, err := httpClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(content)
}

// avoid makes the load ask, before each callback, whether a proxy is out.
func (l *load) avoid(absent func(proxy int) bool) { l.absent.Store(&absent) }

// end stops sending, waits for the last answers and returns all of them.
func (l *load) end() []answer {
	l.stop()
	l.running.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.answers)
}

// outcome is what the oracle found: all of it should be zero but total.
type outcome struct {
	total, failed          int
	duplicates, lies, lost int
	first                  string
}

// judge compares what clients saw with what reached the backends. accept says
// whether an answer is what was to be expected at its time.
func judge(answers []answer, accept func(answer) bool, backends ...*fixture.Backend) outcome {
	delivered := map[string][]string{}
	for i, backend := range backends {
		for _, r := range backend.Requests() {
			_, id, _ := strings.Cut(r.RequestURI, "state=")
			delivered[id] = append(delivered[id], []string{"blue", "green"}[i])
		}
	}
	var o outcome
	for _, a := range answers {
		o.total++
		reached := delivered[a.id]
		switch {
		case len(reached) > 1:
			o.duplicates++
		case a.status == http.StatusOK && (len(reached) != 1 || reached[0] != a.body):
			o.lies++
		case a.status != http.StatusOK && a.status != 0 && len(reached) > 0:
			o.lost++
		}
		if !accept(a) {
			if o.failed++; o.failed == 1 {
				o.first = fmt.Sprintf("%s at %s: status %d, %.200q", a.id, a.sent.UTC().Format(time.RFC3339Nano), a.status, a.body)
			}
		}
	}
	return o
}

func served(a answer) bool { return a.status == http.StatusOK }

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"io"
	"net/http"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/fixture"
)

// newClient returns a client as browsers of different people are.
func newClient() *http.Client { return fixture.NewClient(10 * time.Second) }

// startLoad sends callbacks to all proxies at a rate per second, and takes for
// failed what accept does not accept; nil: what is not answered with 200.
func (s *system) startLoad(path string, rate int, accept func(fixture.Answer) bool) *fixture.Load {
	s.t.Helper()
	o := fixture.LoadOptions{Host: "auth.acme.test", Path: path, Rate: rate, Backends: []string{"blue", "green"}, Accept: accept}
	for i := range s.proxies {
		o.Targets = append(o.Targets, s.proxyAddress(i))
	}
	l := fixture.StartLoad(o)
	s.t.Cleanup(func() { l.End() })
	return l
}

// judge ends a load and compares what clients saw with what reached the
// backends.
func (s *system) judge(l *fixture.Load) fixture.Outcome {
	return l.Judge(map[string]*fixture.Backend{"blue": s.blue, "green": s.green})
}

func (s *system) expectFlawless(name string, o fixture.Outcome) {
	s.t.Helper()
	s.t.Logf("%s: %s", name, o)
	s.Expect(o.Total).To(BeNumerically(">", 100), "%s: too few to say anything", name)
	s.Expect(o.Failed+o.Flawed()).To(BeZero(), "%s: first: %s", name, o.First)
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

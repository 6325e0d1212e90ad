// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/system/interposer"
)

// Many routes cross their sunset in the same second: all answer 410 within 1 s,
// all conditions say so within 60 s, the events stay within one for each, and
// what somebody else applies then does not wait for them.
func TestF18_AllRoutesEndAtOnce(t *testing.T) {
	s := shared(t, "F18")
	routes := times(300, 10000)
	s.allow(20000)
	sunset := time.Now().Add(lasting(15*time.Second, 4*time.Minute)).Truncate(time.Second)
	s.createMany(routes, func(i int) *callbackv1alpha1.CallbackRoute {
		return claim{
			namespace: tenants[i%len(tenants)], name: fmt.Sprintf("ending-%05d", i), host: openHost,
			path: fmt.Sprintf("/ending/%05d", i), service: "idp", sunset: sunset,
		}.object()
	})
	// To look at ten thousand routes takes seconds of two cores, which are to be
	// the manager's and the API server's.
	look := lasting(500*time.Millisecond, 5*time.Second)
	s.Eventually(s.settled, time.Until(sunset.Add(-8*time.Second)), look).Should(Succeed())
	before := s.sweep(routes)
	s.Expect(before).To(Equal(map[int]int{http.StatusOK: routes}), "all are served just before")
	s.Expect(time.Now()).To(BeTemporally("<", sunset), "and it was before")

	s.lives(time.Until(sunset))
	after := s.sweep(routes)
	swept := time.Since(sunset)
	s.Expect(after).To(Equal(map[int]int{http.StatusGone: routes}))
	s.declare(claim{namespace: "tenant-b", name: "meanwhile", host: openHost, path: "/meanwhile", service: "idp"})
	meanwhile := s.answered(http.StatusOK, openHost, "/meanwhile", patience)
	// Counted where they pass by; to look at all of them would take a good part of
	// the minute.
	told := interposer.And(interposer.Since(sunset), func(c interposer.Call) bool {
		return c.Resource == "callbackroutes" && c.Subresource == "status" && c.Code == http.StatusOK
	})
	s.Eventually(func() int { return s.managers[0].api.Count(told) }, time.Minute, 500*time.Millisecond).Should(BeNumerically(">=", routes))
	s.Eventually(s.ended, 10*time.Second).Should(Equal(routes))
	said := time.Since(sunset)
	s.lives(time.Second)
	events := s.managers[0].api.Count(interposer.And(interposer.Writes, interposer.Of("", "events"), interposer.Since(sunset)))
	s.record("%d routes ended in one second: the sweep that began then saw 410 only and took %.2f s; all conditions after %.1f s; %d events; a route applied meanwhile served after %.2f s",
		routes, swept.Seconds(), said.Seconds(), events, meanwhile.Seconds())
	s.Expect(said).To(BeNumerically("<=", time.Minute))
	s.Expect(events).To(BeNumerically("<=", routes+10))
	s.Expect(meanwhile).To(BeNumerically("<=", 5*time.Second))
	s.finish()
}

// ended counts the routes whose status says that their sunset passed.
func (s *system) ended() (int, error) {
	routes, err := s.routes()
	n := 0
	for i := range routes {
		if meta.IsStatusConditionTrue(routes[i].Status.Conditions, callbackv1alpha1.ConditionSunsetPassed) {
			n++
		}
	}
	return n, err
}

// sweep asks each of the ending routes once, over kept connections, and counts
// the answers by status.
func (s *system) sweep(routes int) map[int]int {
	s.t.Helper()
	const callers = 8
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	codes := map[int]int{}
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for i := caller; i < routes; i += callers {
				status := s.asks(client, i)
				mu.Lock()
				codes[status]++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return codes
}

func (s *system) asks(client *http.Client, i int) int {
	url := fmt.Sprintf("http://%s:8080/ending/%05d?code=c&state=asked", s.proxyHost(i%len(s.proxies)), i)
	request, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0
	}
	request.Host = openHost
	response, err := client.Do(request)
	if err != nil {
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

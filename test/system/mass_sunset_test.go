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
	"github.com/callbackproxy/callback-operator/test/callbacks"
	"github.com/callbackproxy/callback-operator/test/system/interposer"
)

// Many routes reach their sunset in the same second: all of them respond with
// 410 within 1 s, all conditions report it within 60 s, there is at most one event
// for each, and a route that is applied then does not wait for them.
func TestF18_AllRoutesEndAtOnce(t *testing.T) {
	s := shared(t, "F18")
	routes := times(300, 10000)
	s.allow(20000)
	sunset := time.Now().Add(lasting(30*time.Second, 4*time.Minute)).Truncate(time.Second)
	s.createMany(routes, func(i int) *callbackv1alpha1.CallbackRoute {
		return claim{
			namespace: tenants[i%len(tenants)], name: fmt.Sprintf("ending-%05d", i), host: openHost,
			path: fmt.Sprintf("/ending/%05d", i), service: "idp", sunset: sunset,
		}.object()
	})
	s.convergesPolled(time.Until(sunset.Add(-8*time.Second)), lasting(500*time.Millisecond, 5*time.Second))
	before := s.sweep(routes)
	s.Expect(before).To(Equal(map[int]int{http.StatusOK: routes}), "all are served just before the sunset")
	s.Expect(time.Now()).To(BeTemporally("<", sunset), "the sweep ended before the sunset")

	s.wait(time.Until(sunset))
	after := s.sweep(routes)
	swept := time.Since(sunset)
	s.Expect(after).To(Equal(map[int]int{http.StatusGone: routes}))
	s.declare(claim{namespace: "tenant-b", name: "meanwhile", host: openHost, path: "/meanwhile", service: "idp"})
	meanwhile := s.responds(http.StatusOK, openHost, "/meanwhile", patience)
	// Counted at the interposer: to read all of them takes a large part of the
	// minute.
	reported := interposer.And(interposer.Since(sunset), func(c interposer.Call) bool {
		return c.Resource == "callbackroutes" && c.Subresource == "status" && c.Code == http.StatusOK
	})
	s.Eventually(func() int { return s.managers[0].api.Count(reported) }, time.Minute, 500*time.Millisecond).Should(BeNumerically(">=", routes))
	s.Eventually(s.ended, 10*time.Second).Should(Equal(routes))
	took := time.Since(sunset)
	s.wait(time.Second)
	events := s.managers[0].api.Count(interposer.And(interposer.Writes, interposer.CallsOf("", "events"), interposer.Since(sunset)))
	s.record("%d routes ended in one second: the sweep that began then saw 410 only and took %.2f s; all conditions written after %.1f s; %d events; a route applied meanwhile served after %.2f s",
		routes, swept.Seconds(), took.Seconds(), events, meanwhile.Seconds())
	s.Expect(took).To(BeNumerically("<=", time.Minute))
	s.Expect(events).To(BeNumerically("<=", routes+10))
	s.Expect(meanwhile).To(BeNumerically("<=", 5*time.Second))
	s.finish()
}

// ended counts the routes whose condition SunsetPassed is true.
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

// sweep sends one callback to each of the ending routes, over kept connections,
// and counts the responses by status.
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
				status := s.sendEnding(client, i)
				mu.Lock()
				codes[status]++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return codes
}

func (s *system) sendEnding(client *http.Client, i int) int {
	url := fmt.Sprintf("http://%s/ending/%05d?%s", s.proxies[i%len(s.proxies)].Address, i, callbacks.Single())
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

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package interposer_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/system/interposer"
)

const (
	routes = "/apis/callbackproxy.io/v1alpha1/namespaces/identity/callbackroutes"
	slow   = 150 * time.Millisecond
	// never is longer than a test waits for what must not happen.
	never = 100 * time.Millisecond
)

// rig is an interposer before a server that responds with the request, and sends
// an event every 10 ms to watches.
type rig struct {
	*WithT
	*interposer.Proxy
	client  *http.Client
	reached atomic.Int64
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{WithT: NewWithT(t)}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.reached.Add(1)
		body, _ := io.ReadAll(request.Body)
		_, _ = fmt.Fprintf(w, "%s %s %s %s\n", request.Method, request.URL.RequestURI(), request.Header.Get("Authorization"), body)
		for n := 0; strings.Contains(request.URL.RawQuery, "watch=true"); n++ {
			_ = http.NewResponseController(w).Flush()
			select {
			case <-request.Context().Done():
				return
			case <-time.After(10 * time.Millisecond):
				_, _ = fmt.Fprintf(w, "event %d\n", n)
			}
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	trust := server.Client().Transport.(*http.Transport).TLSClientConfig
	proxy, err := interposer.Start(t.Context(), interposer.Options{
		Upstream: server.URL, Client: trust, Server: &tls.Config{Certificates: server.TLS.Certificates, MinVersion: tls.VersionTLS12},
	})
	r.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = proxy.Close() })
	r.Proxy = proxy
	r.client = &http.Client{Transport: &http.Transport{TLSClientConfig: trust.Clone(), ForceAttemptHTTP2: true}}
	t.Cleanup(r.client.CloseIdleConnections)
	return r
}

func (r *rig) send(method, uri, body string) *http.Response {
	request, err := http.NewRequest(method, r.URL()+uri, strings.NewReader(body))
	r.Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Authorization", "Bearer token")
	response, err := r.client.Do(request)
	if err != nil {
		return nil
	}
	return response
}

func (r *rig) ask(method, uri, body string) (status int, answer string) {
	response := r.send(method, uri, body)
	if response == nil {
		return 0, ""
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, ""
	}
	return response.StatusCode, string(content)
}

// watch returns the lines of a watch as they come; the channel ends with it.
func (r *rig) watch() <-chan string {
	response := r.send(http.MethodGet, routes+"?watch=true", "")
	r.Expect(response).NotTo(BeNil())
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		defer func() { _ = response.Body.Close() }()
		for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	return lines
}

// silent waits until a watch is silent: what was on the way may still arrive.
func (r *rig) silent(lines <-chan string) {
	r.Eventually(func() (came int) {
		for ; len(lines) > 0; came++ {
			<-lines
		}
		return came
	}, 10*never, never).Should(BeZero(), "silent")
	r.Consistently(lines, never).ShouldNot(Receive(), "and stays so")
}

func TestProxy_PassesCallsWithoutARule(t *testing.T) {
	r := newRig(t)
	status, answer := r.ask(http.MethodPut, routes+"/acme/status?dryRun=All", "content")
	r.Expect(status).To(Equal(http.StatusOK))
	r.Expect(answer).To(Equal("PUT " + routes + "/acme/status?dryRun=All Bearer token content\n"))
	calls := r.Calls(interposer.Writes)
	r.Expect(calls).To(HaveLen(1))
	c := calls[0]
	r.Expect([]string{c.Verb, c.Resource, c.Subresource, c.Namespace, c.Name, string(c.Body)}).
		To(Equal([]string{interposer.Update, "callbackroutes", "status", "identity", "acme", "content"}))
	r.Expect(c.Forwarded && c.Code == 200).To(BeTrue())
}

func TestProxy_DelaysUntilTheFaultIsOver(t *testing.T) {
	r := newRig(t)
	r.Set(interposer.Rule{Match: interposer.Writes, Delay: slow})
	began := time.Now()
	r.ask(http.MethodGet, routes, "")
	r.Expect(time.Since(began)).To(BeNumerically("<", slow))
	began = time.Now()
	r.ask(http.MethodPost, routes, "x")
	r.Expect(time.Since(began)).To(BeNumerically(">=", slow))

	r.Set(interposer.Rule{Delay: time.Hour})
	time.AfterFunc(slow, r.Clear)
	status, _ := r.ask(http.MethodPost, routes, "x")
	r.Expect(status).To(Equal(http.StatusOK))
}

func TestProxy_Refuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		rule   interposer.Rule
		status int
		answer string
	}{
		{"conflict", interposer.Rule{Refuse: interposer.Conflict}, http.StatusConflict, `"reason":"Conflict"`},
		{"too many", interposer.Rule{Refuse: interposer.TooManyRequests(3 * time.Second)}, http.StatusTooManyRequests, `"retryAfterSeconds":3`},
		{"no watch list", interposer.Rule{Refuse: interposer.NoWatchList}, http.StatusUnprocessableEntity, `"reason":"Invalid"`},
		{"not sent on", interposer.Rule{Before: func(interposer.Call) bool { return false }}, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			r.Set(tc.rule)
			status, answer := r.ask(http.MethodPut, routes+"/acme", "x")
			r.Expect(status).To(Equal(tc.status))
			r.Expect(answer).To(ContainSubstring(tc.answer))
			r.Expect(r.reached.Load()).To(BeZero())
			r.Expect(r.Calls(interposer.All)[0].Forwarded).To(BeFalse())
		})
	}
}

func TestProxy_ReportsThatTheHistoryIsGone(t *testing.T) {
	r := newRig(t)
	r.Set(interposer.Rule{Match: interposer.Watches, Refuse: interposer.Gone})
	first, event := r.ask(http.MethodGet, routes+"?watch=true", "")
	second, _ := r.ask(http.MethodGet, routes+"?watch=true", "")
	r.Expect([]int{first, second}).To(Equal([]int{http.StatusOK, http.StatusGone}))
	r.Expect(event).To(And(ContainSubstring(`"type":"ERROR"`), ContainSubstring(`"code":410`)))
}

// The response is lost after the server executed the request.
func TestProxy_LosesAResponse(t *testing.T) {
	r := newRig(t)
	r.Set(interposer.Rule{After: func(interposer.Call) bool { return false }})
	status, _ := r.ask(http.MethodPut, routes+"/acme", "x")
	r.Expect(status).To(BeZero())
	r.Expect(r.reached.Load()).To(Equal(int64(1)))
}

func TestProxy_ListsThePast(t *testing.T) {
	r := newRig(t)
	r.Set(interposer.Rule{Match: interposer.CallsOf(interposer.List, ""), ListAt: func() string { return "42" }})
	_, answer := r.ask(http.MethodGet, routes+"?resourceVersion=0&limit=5", "")
	r.Expect(answer).To(HavePrefix("GET " + routes + "?limit=5&resourceVersion=42&resourceVersionMatch=Exact "))
}

func TestProxy_Trickles(t *testing.T) {
	r := newRig(t)
	r.Set(interposer.Rule{Rate: 1000})
	began := time.Now()
	_, answer := r.ask(http.MethodPut, routes+"/acme", strings.Repeat("x", 300))
	r.Expect(len(answer)).To(BeNumerically(">", 300))
	r.Expect(time.Since(began)).To(BeNumerically(">=", 300*time.Millisecond))
}

func TestProxy_EndsAndHoldsWatches(t *testing.T) {
	r := newRig(t)
	r.Set(interposer.Rule{Match: interposer.Watches, CutAfter: slow})
	r.Eventually(r.watch(), 10*slow).Should(BeClosed(), "cut by rule")
	r.Clear()

	lines := r.watch()
	r.Eventually(lines).Should(Receive(Equal("event 3")))
	r.Set(interposer.Rule{Match: interposer.Watches, Stall: true})
	r.silent(lines)
	r.Clear()
	r.Eventually(lines).Should(Receive(), "goes on")
	r.CutWatches()
	r.Eventually(lines).Should(BeClosed(), "cut")

	r.Set(interposer.Rule{Match: interposer.Watches, Lag: 3 * never})
	lines = r.watch()
	r.Consistently(lines, never).ShouldNot(Receive(), "lags")
	r.Eventually(lines, 10*never).Should(Receive())
}

func TestProxy_FreezesConnections(t *testing.T) {
	r := newRig(t)
	lines := r.watch()
	r.Eventually(lines).Should(Receive())
	r.Freeze()
	r.silent(lines)
	r.client.Transport = &http.Transport{TLSClientConfig: r.client.Transport.(*http.Transport).TLSClientConfig, ForceAttemptHTTP2: true}
	status, _ := r.ask(http.MethodGet, routes, "")
	r.Expect(status).To(Equal(http.StatusOK), "a new connection works")
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package callbacks_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/callbacks"
)

var fields = []string{"x-Second: 2", "X-First:1", "x-Second: again", "User-Agent: a"}

// 6.3: a load notices fields in another order or spelling, and nothing else when
// they arrive as they were sent.
func TestLoad_ComparesFields(t *testing.T) {
	g := NewWithT(t)
	judge := func(target string, backends ...callbacks.Source) *callbacks.Outcome {
		l := callbacks.Start(callbacks.Options{
			Targets: []string{target}, Host: "auth.acme.test", Path: "/cb", Rate: 500, Total: 20, InFlight: 4, Backends: []string{"blue"},
			KeepAlive: true, Warm: "/warm", Fields: fields, Timeout: time.Minute,
		})
		l.Wait()
		o := l.Judge(t.Context(), backends...)
		g.Expect(o.Sent).To(Equal(20))
		return o
	}
	direct := startBackend(t, "blue", nil)
	o := judge(direct.Address(), direct)
	g.Expect(o.IsClean()).To(BeTrue(), "%s %v", o, o.First)

	// net/http writes fields in the order of their canonical names.
	target, backends := startRelay(t, func(w http.ResponseWriter, r *http.Request, d deliver) {
		_, _ = io.WriteString(w, d("blue", r.RequestURI))
	})
	o = judge(target, backends...)
	g.Expect(o.Corrupted).To(Equal(o.Sent), "%v", o.First)
}

// 6.3: a provider's signature holds for the bytes that it signed, and for no other
// encoding of them.
func TestProvider_SignsBytes(t *testing.T) {
	g := NewWithT(t)
	provider, err := callbacks.NewProvider()
	g.Expect(err).NotTo(HaveOccurred())
	verdicts := make(chan error, 100)
	backend := startBackend(t, "blue", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		verdicts <- provider.Verify(r.URL.RawQuery)
		if provider.Verify(strings.Replace(r.URL.RawQuery, "%3A", "%3a", 1)) == nil {
			t.Error("the signature holds for another encoding")
		}
		if provider.Verify(strings.Replace(r.URL.RawQuery, "RelayState=", "RelayState=x", 1)) == nil || provider.Verify("SAMLResponse=a") == nil {
			t.Error("the signature holds for another query")
		}
		_, _ = io.WriteString(w, "blue")
	}))
	l := callbacks.Start(callbacks.Options{
		Targets: []string{backend.Address()}, Host: "auth.acme.test", Path: "/cb", Rate: 500, Total: 20, Backends: []string{"blue"}, Provider: provider,
	})
	l.Wait()
	o := l.Judge(t.Context(), backend)
	g.Expect(o.IsClean()).To(BeTrue(), "%s %v", o, o.First)
	g.Expect(verdicts).To(HaveLen(20))
	for range 20 {
		g.Expect(<-verdicts).To(Succeed())
	}
}

// 6.3: a delivery for each sending of a client is counted apart, and the response
// to a later sending contradicts no earlier one.
func TestLoad_CountsRedeliveriesApart(t *testing.T) {
	g := NewWithT(t)
	first := map[string]bool{}
	target, backends := startRelay(t, func(w http.ResponseWriter, r *http.Request, d deliver) {
		if !callbacks.IsCallback(r) {
			return
		}
		d("blue", r.RequestURI)
		if !first[r.RequestURI] {
			first[r.RequestURI] = true
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	l := callbacks.Start(callbacks.Options{
		Targets: []string{target, target}, Host: "auth.acme.test", Path: "/cb", Rate: 500, Total: 8, InFlight: 1, Backends: []string{"blue"},
		KeepAlive: true, Warm: "/warm", Timeout: time.Minute,
	})
	l.Wait()
	o := l.Judge(t.Context(), backends...)
	// Among eight callbacks browsers repeat four, and fronts two.
	g.Expect([]int{o.Repeated, o.Duplicated, o.Redelivered, o.Contradicted}).To(Equal([]int{6, 6, 6, 0}), "%v", o.First)
}

// A backend refuses connections for a time, and serves again.
func TestBackend_Refuses(t *testing.T) {
	g := NewWithT(t)
	backend := startBackend(t, "blue", nil)
	ended := make(chan error, 1)
	go func() { ended <- backend.Refuse(t.Context(), 200*time.Millisecond) }()
	g.Eventually(func() int {
		status, _ := callbacks.Get(t.Context(), backend.Address(), "auth.acme.test", "/cb")
		return status
	}, time.Minute, time.Millisecond).Should(BeZero())
	g.Expect(<-ended).To(Succeed())
	status, _ := callbacks.Get(t.Context(), backend.Address(), "auth.acme.test", "/cb")
	g.Expect(status).To(Equal(http.StatusOK))
}

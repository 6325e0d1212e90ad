// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package latency_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/cluster/app/latency"
)

func TestCompare_FindsTheSlowerWay(t *testing.T) {
	g := NewWithT(t)
	direct := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer direct.Close()
	var failing atomic.Int64
	through := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(20 * time.Millisecond)
		if failing.Add(1) == 30 { // after those that warm up
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer through.Close()
	c, err := latency.Compare(t.Context(), latency.Options{
		Direct: direct.URL, Through: through.URL, Host: "app.acme.test", Path: "/", Rate: 50, For: time.Second,
	})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(c.Whole.Direct.Requests).To(Equal(50))
	g.Expect(c.Whole.Through.Requests).To(Equal(50))
	g.Expect(c.Quietest.Direct.Requests).To(BeNumerically("~", 8, 1), "a sixth")
	g.Expect(c.Whole.Direct.Failed).To(Equal(0))
	g.Expect(c.Whole.Through.Failed).To(Equal(1))
	g.Expect(c.Whole.AddedP50()).To(BeNumerically(">=", 10))
	g.Expect(c.Quietest.AddedP99()).To(BeNumerically(">=", 5))
	g.Expect(c.Quietest.Direct.P99).To(BeNumerically("<=", c.Whole.Direct.P99))
}

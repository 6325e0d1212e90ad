// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package callbacks_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/callbacks"
)

func TestBackend_CountsConcurrentRequests(t *testing.T) {
	g := NewWithT(t)
	backend := startBackend(t, "blue", nil)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { callbacks.Get(t.Context(), backend.Address(), "auth.acme.test", "/cb?code=c&state=s") })
	}
	all.Wait()
	g.Expect(backend.Count()).To(Equal(50))
	g.Expect(backend.Received()).To(HaveLen(50))
	g.Expect(backend.Received()).To(HaveEach("/cb?code=c&state=s"))

	backend.Forget()
	g.Expect(backend.Count()).To(BeZero())
	g.Expect(backend.Received()).To(BeEmpty())
}

func TestBackend_RespondsWithItsNameUnlessItHasAHandler(t *testing.T) {
	g := NewWithT(t)
	status, body := callbacks.Get(t.Context(), startBackend(t, "blue", nil).Address(), "auth.acme.test", "/cb")
	g.Expect(status).To(Equal(http.StatusOK))
	g.Expect(body).To(Equal("blue"))

	own := startBackend(t, "own", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.Copy(w, r.Body) // the body can be read again
	}))
	response, err := http.Post("http://"+own.Address()+"/cb", "text/plain", strings.NewReader("abc"))
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(response.StatusCode).To(Equal(http.StatusTeapot))
	g.Expect(string(content)).To(Equal("abc"))
}

func startBackend(t *testing.T, name string, respond http.Handler) *callbacks.Backend {
	t.Helper()
	backend, err := callbacks.StartBackend(t.Context(), name, "127.0.0.1:0", respond)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { NewWithT(t).Expect(backend.Close()).To(Succeed()) })
	return backend
}

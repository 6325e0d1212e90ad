// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
)

// A cache that lists while the API server is away has its answer a second after
// it is back, however long that took.
func TestF01_TheCacheWaitsForTheAPIServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		back := time.Now().Add(10 * time.Minute)
		refused := &net.OpError{Op: "dial", Err: io.ErrClosedPipe}
		rt := patient(transportFunc(func(*http.Request) (*http.Response, error) {
			switch {
			case time.Now().Before(back.Add(-5 * time.Minute)):
				return nil, io.EOF
			case time.Now().Before(back):
				return nil, refused
			}
			return &http.Response{StatusCode: http.StatusOK}, nil
		}))
		response, err := rt.RoundTrip(httptest.NewRequest(http.MethodGet, "/", http.NoBody))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(response.StatusCode).To(Equal(http.StatusOK))
		g.Expect(time.Since(back)).To(BeNumerically("<", redialInterval))
	})
}

// What is no absence is told at once, and so is whatever happened to a write;
// who does not wait any more is let go.
func TestPatient_ForReadsAlone(t *testing.T) {
	for name, tc := range map[string]struct {
		method string
		failed error
	}{
		"a write":       {http.MethodPost, &net.OpError{Op: "dial", Err: io.ErrClosedPipe}},
		"a certificate": {http.MethodGet, x509.UnknownAuthorityError{}},
		"a reset":       {http.MethodGet, &net.OpError{Op: "read", Err: io.ErrClosedPipe}},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := NewWithT(t)
			began, asked := time.Now(), 0
			_, err := patient(transportFunc(func(*http.Request) (*http.Response, error) {
				asked++
				return nil, tc.failed
			})).RoundTrip(httptest.NewRequest(tc.method, "/", http.NoBody))
			g.Expect(err).To(MatchError(tc.failed), name)
			g.Expect(asked).To(Equal(1), name)
			g.Expect(time.Since(began)).To(BeZero(), name)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		began := time.Now()
		request := httptest.NewRequest(http.MethodGet, "/", http.NoBody).WithContext(ctx)
		_, err := patient(transportFunc(func(*http.Request) (*http.Response, error) { return nil, io.EOF })).RoundTrip(request)
		g.Expect(err).To(MatchError(io.EOF))
		g.Expect(time.Since(began)).To(Equal(1500 * time.Millisecond))
	})
}

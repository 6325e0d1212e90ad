// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

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

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// F01: a list that starts while the API server is away succeeds within a second
// after the API server is back, however long the outage was.
func TestF01_RedialerWaitsForTheAPIServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		back := time.Now().Add(10 * time.Minute)
		refused := &net.OpError{Op: "dial", Err: io.ErrClosedPipe}
		d := redialer{transport(func(*http.Request) (*http.Response, error) {
			switch {
			case time.Now().Before(back.Add(-5 * time.Minute)):
				return nil, io.EOF
			case time.Now().Before(back):
				return nil, refused
			}
			return &http.Response{StatusCode: http.StatusOK}, nil
		})}
		response, err := d.RoundTrip(httptest.NewRequest(http.MethodGet, "/", http.NoBody))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(response.StatusCode).To(Equal(http.StatusOK))
		g.Expect(time.Since(back)).To(BeNumerically("<", redialInterval))
	})
}

func TestRedialer_ReturnsOtherFailuresAtOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		method string
		failed error
	}{
		"a write":               {http.MethodPost, &net.OpError{Op: "dial", Err: io.ErrClosedPipe}},
		"an unknown authority":  {http.MethodGet, x509.UnknownAuthorityError{}},
		"a reset while reading": {http.MethodGet, &net.OpError{Op: "read", Err: io.ErrClosedPipe}},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := NewWithT(t)
			began, attempts := time.Now(), 0
			_, err := redialer{transport(func(*http.Request) (*http.Response, error) {
				attempts++
				return nil, tc.failed
			})}.RoundTrip(httptest.NewRequest(tc.method, "/", http.NoBody))
			g.Expect(err).To(MatchError(tc.failed), name)
			g.Expect(attempts).To(Equal(1), name)
			g.Expect(time.Since(began)).To(BeZero(), name)
		})
	}
}

func TestRedialer_EndsWithItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		began := time.Now()
		request := httptest.NewRequest(http.MethodGet, "/", http.NoBody).WithContext(ctx)
		_, err := redialer{transport(func(*http.Request) (*http.Response, error) { return nil, io.EOF })}.RoundTrip(request)
		g.Expect(err).To(MatchError(io.EOF))
		g.Expect(time.Since(began)).To(Equal(1500 * time.Millisecond))
	})
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// silent responds with a body that stays empty and does not end by itself.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: &silentBody{r.Context()}}, nil
}

type silentBody struct{ ctx context.Context }

func (b *silentBody) Read([]byte) (int, error) {
	select {
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	case <-time.After(24 * time.Hour):
		return 0, io.EOF
	}
}

func (*silentBody) Close() error { return nil }

func TestF05_EndWatches_ThatSayNothing(t *testing.T) {
	for _, tc := range []struct {
		query string
		want  time.Duration
		err   error
	}{
		{"?watch=true&timeoutSeconds=300", 330 * time.Second, context.DeadlineExceeded},
		{"?watch=1&timeoutSeconds=421", 451 * time.Second, context.DeadlineExceeded},
		{"?watch=true", 630 * time.Second, context.DeadlineExceeded},
		{"?watch=true&timeoutSeconds=-1", 630 * time.Second, context.DeadlineExceeded},
		{"?timeoutSeconds=300", 24 * time.Hour, io.EOF},
		{"?watch=false", 24 * time.Hour, io.EOF},
		{"", 24 * time.Hour, io.EOF},
	} {
		t.Run(tc.query, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				response := get(t, tc.query)
				_, err := response.Body.Read(make([]byte, 1))
				if took := time.Since(began); took != tc.want || !errors.Is(err, tc.err) {
					t.Errorf("ended after %s with %v, want %s and %v", took, err, tc.want, tc.err)
				}
				_ = response.Body.Close()
			})
		})
	}
}

// A watch that ends early leaves no timer behind.
func TestEndWatches_FreesItsTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		response := get(t, "?watch=true&timeoutSeconds=300")
		ctx := response.Body.(*endingBody).ReadCloser.(*silentBody).ctx
		if _, has := ctx.Deadline(); !has {
			t.Fatal("the watch has no end")
		}
		if err := response.Body.Close(); err != nil || !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("closed with %v, and then %v", err, ctx.Err())
		}
	})
}

func get(t *testing.T, query string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.test/apis/callbackproxy.io/v1alpha1/callbackroutes"+query, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := EndWatches(silent{}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

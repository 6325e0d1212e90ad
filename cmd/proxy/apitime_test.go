// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/callbackproxy/callback-operator/internal/apitime"
)

// dates is a clock that records the dates it is given.
type dates []time.Time

func (d *dates) Observe(date time.Time) { *d = append(*d, date) }
func (*dates) Suspect() bool            { return false }

// F44: the request for the time takes the transport of all others, and its
// Date reaches the clock.
func TestF44_TimeRequest_IsRead(t *testing.T) {
	var paths []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.Method+" "+r.URL.String())
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	observed := &dates{}
	begin := time.Now()
	config := &rest.Config{Host: server.URL + "/cluster"}
	config.Wrap(apitime.NewReader(observed, func() time.Duration { return time.Since(begin) }).Wrap)
	request, err := newTimeRequest(config)
	if err != nil {
		t.Fatal(err)
	}
	request(t.Context())
	if !slices.Equal(paths, []string{"GET /cluster/version"}) || len(*observed) != 1 || time.Since((*observed)[0]).Abs() > time.Minute {
		t.Errorf("requests %v, dates %v", paths, *observed)
	}
	server.Close()
	request(t.Context())
	if len(*observed) != 1 {
		t.Errorf("dates %v after the server stopped", *observed)
	}
}

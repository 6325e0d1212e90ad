// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package streams_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/cluster/app/streams"
)

func check(t *testing.T, handler http.Handler) map[string]string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client := &streams.Client{Base: server.URL, Host: "app.acme.test", HTTP: &http.Client{Transport: &http.Transport{}}}
	errors := map[string]string{}
	for _, c := range client.Checks(t.Context()) {
		errors[c.Name] = c.Error
	}
	return errors
}

func TestChecks_SucceedWithoutAnythingBetween(t *testing.T) {
	g := NewWithT(t)
	for name, problem := range check(t, streams.Handler()) {
		g.Expect(problem).To(BeEmpty(), name)
	}
}

// A front that keeps whole messages back, knows no upgrades and no trailers,
// and cleans up targets, fails all that are about these.
func TestChecks_FailBehindWhoDoesNotStream(t *testing.T) {
	g := NewWithT(t)
	app := httptest.NewServer(streams.Handler())
	defer app.Close()
	errors := check(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target, _ := url.Parse(app.URL + r.URL.Path)
		target.RawQuery = r.URL.Query().Encode()
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		request, _ := http.NewRequestWithContext(r.Context(), r.Method, target.String(), strings.NewReader(string(body)))
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer func() { _ = response.Body.Close() }()
		all, _ := io.ReadAll(response.Body)
		_, _ = w.Write(all)
	}))
	for _, name := range []string{"echo", "websocket", "server-sent events", "upload of 64 MiB", "trailers"} {
		g.Expect(errors[name]).NotTo(BeEmpty(), name)
	}
	g.Expect(errors["slow answer"]).To(BeEmpty(), "that one it can do")
}

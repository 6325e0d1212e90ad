// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// The process probes the backends of the config on its disk, and callbacks follow
// the findings.
func TestCommand_ProbesBackends(t *testing.T) {
	blue := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	defer blue.Close()
	green := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/healthz") {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer green.Close()
	dir := t.TempDir()
	keepConfig(t, dir, routetable.Backend{
		Name: "green", Weight: 2, Addresses: []string{"10.0.0.2:80"},
		Check: &routetable.HealthCheck{
			Path: "/healthz", Host: "green", IntervalSeconds: 1, TimeoutSeconds: 1, UnhealthyThreshold: 1, HealthyThreshold: 1,
		},
	})
	p := start(t, "--state-dir="+dir, "--connect-to=10.0.0.1:80="+blue.Listener.Addr().String(),
		"--connect-to=10.0.0.2:80="+green.Listener.Addr().String())
	defer func() { p.stop(); <-p.exited }()

	wants := []string{
		`callbackproxy_health_checks_total{kind="check",result="BadStatus"}`,
		`callbackproxy_health_checks_total{kind="pathProbe",result="Healthy"}`, "\ncallbackproxy_target_unhealthy 1\n",
	}
	text := ""
	for begin := time.Now(); time.Since(begin) < 15*time.Second; time.Sleep(20 * time.Millisecond) {
		if text = p.body(t, p.admin, "/metrics"); containsAll(text, wants) {
			break
		}
	}
	if !containsAll(text, wants) {
		t.Errorf("metrics are %s", text)
	}
	if status := p.get(t, p.callbacks, "/cb?code=1"); status != http.StatusAccepted {
		t.Errorf("a callback gets %d", status)
	}
}

// From its sunset on a route's backends are left alone, and their findings are
// dropped.
func TestCommand_LeavesBackendsAloneAfterTheSunset(t *testing.T) {
	dir := t.TempDir()
	check := &routetable.HealthCheck{IntervalSeconds: 1, TimeoutSeconds: 1, UnhealthyThreshold: 1, HealthyThreshold: 1}
	end := time.Now().UTC().Truncate(time.Second).Add(6 * time.Second)
	keepConfigUntil(t, dir, end, routetable.Backend{Name: "gone", Addresses: []string{"10.0.0.2:80"}, Check: check})
	// Connections to a port that was just closed are refused.
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	p := start(t, "--state-dir="+dir, "--connect-to=10.0.0.2:80="+closed.Listener.Addr().String())
	defer func() { p.stop(); <-p.exited }()
	for _, want := range []string{"\ncallbackproxy_target_unhealthy 1\n", "\ncallbackproxy_target_unhealthy 0\n"} {
		text := ""
		for begin := time.Now(); time.Since(begin) < 15*time.Second; time.Sleep(20 * time.Millisecond) {
			if text = p.body(t, p.admin, "/metrics"); strings.Contains(text, want) {
				break
			}
		}
		if !strings.Contains(text, want) {
			t.Fatalf("metrics lack %q: %s", want, text)
		}
	}
	if now := time.Now(); now.Before(end) {
		t.Errorf("left alone %s before the sunset", end.Sub(now))
	}
}

func containsAll(text string, wants []string) bool {
	for _, want := range wants {
		if !strings.Contains(text, want) {
			return false
		}
	}
	return true
}

func (p *process) body(t *testing.T, address, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

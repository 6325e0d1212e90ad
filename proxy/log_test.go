// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/http1"
	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
)

func scrape(t testing.TB, m *metrics.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func TestLog_OneLineForEachCallback(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("")))
	r.serve(newRoute(nil))
	r.get("/cb?code=CANARY&state=CANARY&CANARY=1&foo=CANARY")
	r.get("/other?code=CANARY")
	var found []map[string]any
	for line := range strings.Lines(r.log.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if entry["msg"] == "callback" {
			found = append(found, entry)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d lines", len(found))
	}
	for key, want := range map[string]any{
		"level": "INFO", "route": "identity/acme-sso", "callback": "login", "backend": "blue", "status": 200.0, "outcome": "delivered",
		"queryKeys": "code,state", "otherKeys": 2.0,
	} {
		if found[0][key] != want {
			t.Errorf("%s is %v, want %v", key, found[0][key], want)
		}
	}
	for _, key := range []string{"durationMs", "requestId", "time"} {
		if found[0][key] == nil {
			t.Errorf("%s is missing", key)
		}
	}
}

func TestMetrics_CountByOutcome(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("")))
	r.serve(newRoute(nil))
	r.get("/cb")
	r.get("/cb?code=1&state=1&state=2")
	r.get("/other")
	r.get("/x/../cb")
	for series, want := range map[string]string{
		`callbackproxy_requests_total{backend="blue",code="2xx",outcome="delivered",route="identity/acme-sso"}`: "1",
		`callbackproxy_requests_total{backend="",code="400",outcome="refused",route="identity/acme-sso"}`:       "1",
		`callbackproxy_refused_total{reason="parameterRepeated"}`:                                               "1",
		`callbackproxy_refused_total{reason="noRoute"}`:                                                         "1",
		`callbackproxy_refused_total{reason="pathNotCanonical"}`:                                                "1",
		`callbackproxy_request_duration_seconds_count`:                                                          "2",
		`callbackproxy_config_epoch`:                                                                            "1",
		`callbackproxy_config_generation`:                                                                       "1",
		`callbackproxy_disk_errors_total`:                                                                       "0",
	} {
		if got := counted(t, r.metrics, series); got != want {
			t.Errorf("%s is %q, want %s", series, got, want)
		}
	}
	r.clock.Set(begin.Add(90 * time.Second))
	if got := counted(t, r.metrics, "callbackproxy_config_age_seconds"); got != "90" {
		t.Errorf("age is %s", got)
	}
	r.store.Confirm()
	if got := counted(t, r.metrics, "callbackproxy_config_age_seconds"); got != "0" {
		t.Errorf("age is %s after a response of the API server", got)
	}
}

// Series end with their route and backend, so that their number is bounded by
// the table, however many tables there were.
func TestMetrics_SeriesEndWithTheirRoute(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("")))
	other := newRoute(func(r *routetable.Route) { r.Name, r.Callbacks[0].Path, r.Sunset = "other", "/other", begin })
	r.serve(newRoute(nil), other)
	r.get("/cb")
	r.get("/other")
	if text := scrape(t, r.metrics); !strings.Contains(text, `backend="blue"`) || strings.Count(text, `route="identity/other"`) != 4 {
		t.Fatalf("control: %s", text)
	}
	r.serve(newRoute(func(r *routetable.Route) { r.Backends = r.Backends[1:]; r.Backends[0].Weight = 1 }))
	if text := scrape(t, r.metrics); strings.Contains(text, "identity/other") || strings.Contains(text, `backend="blue"`) {
		t.Errorf("series are left: %s", text)
	}
}

// attempter is an upstream with a scripted result.
type attempter func() (*upstream.Response, error)

func (a attempter) Attempt(context.Context, *upstream.Plan) (*upstream.Response, error) {
	return a()
}

func TestHandler_PanicIsAPageWithoutDetails(t *testing.T) {
	r := newRig(t)
	r.serve(newRoute(nil))
	r.handler.upstream = attempter(func() (*upstream.Response, error) { panic("CANARY of the request") })
	got := r.get("/cb?code=CANARY")
	if got.status != 502 || !isPage(got.body, pages[502]) {
		t.Errorf("response is %d %q", got.status, got.body)
	}
	log := r.log.String()
	if strings.Contains(log, "CANARY") || !strings.Contains(log, "handler panicked") || !strings.Contains(log, "log_test.go") && !strings.Contains(log, "TestHandler_PanicIsAPage") {
		t.Errorf("log is %s", log)
	}
	if got := counted(t, r.metrics, `callbackproxy_requests_total{backend="blue",code="502",outcome="unknown",route="identity/acme-sso"}`); got != "1" {
		t.Errorf("counted %q", got)
	}
}

// broken is a response without a body whose end panics, after it was sent.
func broken() (*upstream.Response, error) {
	return &upstream.Response{Response: &http1.Response{Status: http.StatusNoContent, Length: -1, Bodiless: true}}, nil
}

// F63: a panic after the head takes nothing back: the client has its status
// line, and its connection ends.
func TestF63_PanicAfterTheHead(t *testing.T) {
	r := newRig(t)
	r.serve(newRoute(nil))
	r.handler.upstream = attempter(broken)
	if got := r.get("/cb"); got.status != http.StatusNoContent || !got.closes {
		t.Errorf("response is %d %v, closes %v", got.status, got.err, got.closes)
	}
	for !strings.Contains(r.log.String(), "handler panicked") {
		time.Sleep(time.Millisecond)
	}
}

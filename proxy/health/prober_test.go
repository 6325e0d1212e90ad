// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/changelog"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
)

const address = "10.0.0.1:80"

// proberTo leads the address to a server.
func proberTo(target string) prober {
	return prober{upstream.NewClient(upstream.Options{ConnectTo: map[string]string{address: target}, Now: time.Now}), time.Now, "edge.callbackproxy"}
}

// serving leads the address to a server with this handler.
func serving(t *testing.T, handler http.HandlerFunc) prober {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return proberTo(server.Listener.Addr().String())
}

// refusing leads the address to where nothing listens.
func refusing(t *testing.T) prober {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	return proberTo(listener.Addr().String())
}

// accepting leads the address to a server that does this with connections.
func accepting(t *testing.T, serve func(net.Conn)) prober {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-stopped })
	return proberTo(listener.Addr().String())
}

var (
	byHTTP = &probe{address: address, check: routetable.HealthCheck{Path: "/healthz", Host: "idp.identity.svc", TimeoutSeconds: 1}}
	byTCP  = &probe{address: address, check: routetable.HealthCheck{TimeoutSeconds: 1}}
)

func TestProbe_JudgesStatuses(t *testing.T) {
	for status, want := range map[int]finding{
		200: healthy, 204: healthy, 302: healthy, 399: healthy, 400: badStatus, 401: badStatus, 404: badStatus, 500: badStatus, 503: badStatus,
	} {
		var requests []string
		p := serving(t, func(w http.ResponseWriter, r *http.Request) {
			requests = append(requests, fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Host, " ", r.UserAgent()))
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		})
		if got := p.run(t.Context(), byHTTP); got != want {
			t.Errorf("%d is %s", status, got)
		}
		// A redirect is not followed.
		if fmt.Sprint(requests) != "[GET /healthz idp.identity.svc callbackproxy-health]" {
			t.Errorf("%d: requests %v", status, requests)
		}
		// A check by TCP needs a connection only.
		if got := p.run(t.Context(), byTCP); got != healthy {
			t.Errorf("by TCP it is %s", got)
		}
	}
}

func TestProbe_JudgesFailures(t *testing.T) {
	closes := func(net.Conn) {}
	silent := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	for name, tc := range map[string]struct {
		prober                 prober
		http, tcp, pathFinding finding
	}{
		"refused":   {refusing(t), unreachable, unreachable, unmeasured},
		"forbidden": {prober{upstream.NewClient(upstream.Options{Now: time.Now, Forbidden: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}), time.Now, "edge.callbackproxy"}, unreachable, unreachable, unmeasured},
		"closed":    {accepting(t, closes), noAnswer, healthy, unmeasured},
		"no HTTP":   {accepting(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "SSH-2.0-x\r\n") }), noAnswer, healthy, unmeasured},
		"silent":    {accepting(t, silent), noAnswer, healthy, unmeasured},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.prober.run(t.Context(), byHTTP); got != tc.http {
				t.Errorf("by HTTP it is %s", got)
			}
			if got := tc.prober.run(t.Context(), byTCP); got != tc.tcp {
				t.Errorf("by TCP it is %s", got)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if got := tc.prober.run(ctx, pathProbeTo(routetable.OIDC)); got != tc.pathFinding {
				t.Errorf("the path probe finds %s", got)
			}
		})
	}
}

// upstreamError is an Upstream that fails in one way.
type upstreamError struct{ err *upstream.Error }

func (u upstreamError) Attempt(context.Context, *upstream.Plan) (*upstream.Response, error) {
	return nil, u.err
}
func (u upstreamError) Reach(context.Context, string, time.Duration) error { return u.err }

// A process without descriptors finds no backend unhealthy.
func TestProbe_OwnFailuresAreNoFinding(t *testing.T) {
	for _, ours := range []bool{true, false} {
		p := prober{upstreamError{&upstream.Error{Reason: upstream.DialFailed, NotDelivered: true, Ours: ours, Detail: syscall.EMFILE.Error()}}, time.Now, "edge.callbackproxy"}
		for _, a := range []*probe{byHTTP, byTCP} {
			if got := p.run(t.Context(), a); (got == unmeasured) != ours {
				t.Errorf("ours %t: found %s", ours, got)
			}
		}
	}
}

// T4: no more of a response is read than its head, in any length.
func TestT4_ChecksReadNoBody(t *testing.T) {
	var written atomic.Int64
	ended := make(chan struct{}, 2)
	p := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 32<<10)
		for {
			n, err := w.Write(chunk)
			written.Add(int64(n))
			if err != nil {
				ended <- struct{}{}
				return
			}
		}
	})
	if got := p.run(t.Context(), byHTTP); got != healthy {
		t.Errorf("it is %s", got)
	}
	if got := p.run(t.Context(), pathProbeTo(routetable.OIDC)); got != healthy {
		t.Errorf("the path probe finds %s", got)
	}
	<-ended
	<-ended
	if n := written.Load(); n > 16<<20 {
		t.Errorf("the server wrote %d bytes", n)
	}
}

func pathProbeTo(protocol routetable.Protocol) *probe {
	return newPathProbe(address, "https", &routetable.Route{Hostnames: []string{"auth.acme.com", "login.acme.com"}, Protocol: protocol},
		&routetable.Callback{Name: "login", Path: "/oauth2/callback"}, &routetable.Backend{})
}

func TestPathProbe_JudgesStatuses(t *testing.T) {
	for status, want := range map[int]finding{
		200: healthy, 204: healthy, 302: healthy, 400: healthy, 401: healthy, 403: healthy, 410: healthy, 422: healthy,
		404: pathNotServed, 405: pathNotServed, 500: pathNotServed, 501: pathNotServed, 502: pathNotServed, 503: pathNotServed,
	} {
		p := serving(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		for _, protocol := range []routetable.Protocol{routetable.OIDC, routetable.SAML} {
			if got := p.run(t.Context(), pathProbeTo(protocol)); got != want {
				t.Errorf("%s: %d is %s", protocol, status, got)
			}
		}
	}
}

// received is the request of a path probe.
func received(t *testing.T, protocol routetable.Protocol) *http.Request {
	t.Helper()
	var got *http.Request
	p := serving(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		got = r
		w.WriteHeader(http.StatusBadRequest)
	})
	if found := p.run(t.Context(), pathProbeTo(protocol)); found != healthy {
		t.Fatalf("it is %s", found)
	}
	if where := got.Host + got.URL.Path; where != "auth.acme.com/oauth2/callback" {
		t.Errorf("received at %s", where)
	}
	for name, want := range map[string]string{
		"User-Agent": "callbackproxy-probe", "X-Forwarded-Host": "auth.acme.com", "X-Forwarded-Proto": "https",
		"X-Forwarded-For": "unknown", "Forwarded": `for=unknown;host="auth.acme.com";proto=https`, "Via": "1.1 edge.callbackproxy",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s is %q", name, got.Header.Get(name))
		}
	}
	return got
}

func isMarked(state string) bool {
	return strings.HasPrefix(state, "callbackproxy-probe.") && len(state) > 40 && len(state) <= 80
}

func TestPathProbe_IsAnErrorResponseWithAMarkedState(t *testing.T) {
	for _, protocol := range []routetable.Protocol{routetable.OAuth2, routetable.OIDC} {
		r := received(t, protocol)
		query := r.URL.Query()
		if r.Method != http.MethodGet || len(query) != 3 || len(r.PostForm) != 0 {
			t.Errorf("%s: received %s %v %v", protocol, r.Method, query, r.PostForm)
		}
		if query.Get("error") != "temporarily_unavailable" || query.Get("error_description") == "" || !isMarked(query.Get("state")) {
			t.Errorf("%s: received %v", protocol, query)
		}
		if received(t, protocol).URL.Query().Get("state") == query.Get("state") {
			t.Errorf("%s: the state is the same again", protocol)
		}
	}
}

func TestPathProbe_OfSAMLIsAPostedResponseWithoutAssertion(t *testing.T) {
	r := received(t, routetable.SAML)
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.URL.RawQuery != "" {
		t.Errorf("received %s %v", r.Method, r.Header)
	}
	if len(r.PostForm) != 2 || !isMarked(r.PostForm.Get("RelayState")) {
		t.Errorf("received %v", r.PostForm)
	}
	var response struct {
		XMLName      xml.Name  `xml:"urn:oasis:names:tc:SAML:2.0:protocol Response"`
		ID           string    `xml:",attr"`
		Version      string    `xml:",attr"`
		IssueInstant time.Time `xml:",attr"`
		Code         struct {
			Value string `xml:",attr"`
		} `xml:"urn:oasis:names:tc:SAML:2.0:protocol Status>StatusCode"`
	}
	text, err := base64.StdEncoding.DecodeString(r.PostForm.Get("SAMLResponse"))
	if err == nil {
		err = xml.Unmarshal(text, &response)
	}
	if err != nil || strings.Contains(string(text), "Assertion") {
		t.Errorf("response is %s (%v)", text, err)
	}
	if !strings.HasPrefix(response.ID, "_") || response.Version != "2.0" || time.Since(response.IssueInstant) > time.Minute ||
		response.Code.Value != "urn:oasis:names:tc:SAML:2.0:status:Responder" {
		t.Errorf("response is %s", text)
	}
}

// A backend with a path and a Host of its own is probed with them.
func TestPathProbe_TakesTheWayOfCallbacks(t *testing.T) {
	a := newPathProbe(address, "https", &routetable.Route{Hostnames: []string{"auth.acme.com"}, Protocol: routetable.OIDC},
		&routetable.Callback{Name: "login", Path: "/cb"},
		&routetable.Backend{Paths: []routetable.BackendPath{{Callback: "login", Path: "/login/callback"}}, Host: "idp.svc:8443"})
	plan := a.path.plan(address, "edge.callbackproxy", "x", time.Now())
	if len(plan.Choices) != 1 {
		t.Fatalf("plan is %+v", plan)
	}
	choice := plan.Choices[0]
	if !strings.HasPrefix(choice.Target, "/login/callback?") || choice.Host != "idp.svc:8443" ||
		!slices.Contains(plan.Lines, "X-Forwarded-Host: auth.acme.com") {
		t.Errorf("plan is %+v", plan)
	}
}

// Every backend is probed, also those with weight 0, and the findings never decide
// where callbacks go.
func TestPathProbe_Schedule(t *testing.T) {
	inBubble(t, func(b *bubble) {
		t := b.t

		table := tableOf(1, nil)
		r := &table.Routes[0]
		c := &r.Callbacks[0]
		c.PathProbe = true
		r.Backends = append(r.Backends, routetable.Backend{Name: "idle", Addresses: []string{addressOf(1)}})
		b.set(0, pathNotServed)
		b.Set(table)
		ids := []string{
			routetable.PathProbeID(addressOf(0), "https", r, c, &r.Backends[0]), routetable.PathProbeID(addressOf(1), "https", r, c, &r.Backends[1]),
		}
		wait(firstWithin)
		if got := b.state(ids[0]) + " " + b.state(ids[1]); got != "UnhealthyCallbackPathNotServed Healthy" {
			t.Errorf("states are %s", got)
		}
		if !b.TryAcquire(routetable.TargetID(addressOf(0), nil)) {
			t.Error("a path probe decides where callbacks go")
		}
		wait(10 * time.Minute)
		if failing, well := len(b.probesAt(0)), len(b.probesAt(1)); failing < 18 || failing > 24 || well < 2 || well > 4 {
			t.Errorf("%d and %d probes in ten minutes", failing, well)
		}
		b.set(0, healthy)
		b.set(1, unmeasured)
		wait(6 * time.Minute)
		if got := b.state(ids[0]) + " " + b.state(ids[1]); got != "Healthy Unmeasured" {
			t.Errorf("states are %s", got)
		}
	})
}

// A Checker with real servers: the counts, and the findings.
func TestChecker_WithRealServers(t *testing.T) {
	var broken atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	counts := make(chan string, 1000)
	c := NewChecker(Options{
		Upstream: upstream.NewClient(upstream.Options{
			ConnectTo: map[string]string{addressOf(0): server.Listener.Addr().String()}, Now: time.Now,
		}),
		Now: time.Now, Probed: func(kind, result string) { counts <- kind + result },
	})
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() { c.Run(ctx); close(stopped) }()
	defer func() { cancel(); <-stopped }()
	check := &routetable.HealthCheck{Path: "/", Host: "h", IntervalSeconds: 1, TimeoutSeconds: 1, UnhealthyThreshold: 1, HealthyThreshold: 1}
	c.Set(tableOf(1, check))
	id := routetable.TargetID(addressOf(0), check)
	for _, want := range []string{"checkHealthy", "checkBadStatus"} {
		broken.Store(want == "checkBadStatus")
		for count := ""; count != want; {
			select {
			case count = <-counts:
			case <-time.After(10 * time.Second):
				t.Fatalf("no %s", want)
			}
		}
	}
	deadline := time.Now().Add(5 * time.Second)
	for c.TryAcquire(id) && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	want := routetable.TargetReport{ID: id, State: routetable.TargetUnhealthy, Reason: routetable.TargetBadStatus}
	if entries, _, _, _ := c.Changes(changelog.Cursor{}, 10); len(entries) != 1 || entries[0] != want {
		t.Errorf("report is %v", entries)
	}
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/health"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
)

const idleAddress = "10.0.0.3:80"

// newFailoverRoute leads to blue, with green as its failover and a third backend
// that is idle.
func newFailoverRoute() routetable.Route {
	return newRoute(func(r *routetable.Route) {
		r.Backends = []routetable.Backend{
			{Name: "idle", Addresses: []string{idleAddress}},
			{
				Name: "green", Addresses: []string{greenAddress}, Host: "green.idp.svc:8443",
				Paths: []routetable.BackendPath{{Callback: "login", Path: "/green/cb"}},
			},
			{Name: "blue", Weight: 2, Addresses: []string{blueAddress}, Failover: &routetable.Failover{Backend: "green"}},
		}
	})
}

// refuse maps an address to a closed port.
func (r *rig) refuse(address string) {
	r.t.Helper()
	listener := listen(r.t)
	r.connectTo[address] = listener.Addr().String()
	_ = listener.Close()
}

// wantsLine fails unless the log has one line of a callback with these texts.
func (r *rig) wantsLine(texts ...string) {
	r.t.Helper()
	var found []string
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, `"msg":"callback"`) {
			found = append(found, line)
		}
	}
	if len(found) != 1 {
		r.t.Fatalf("%d lines: %s", len(found), r.log.String())
	}
	for _, text := range texts {
		if strings.HasPrefix(text, "!") == strings.Contains(found[0], strings.TrimPrefix(text, "!")) {
			r.t.Errorf("line is %s, want %s", found[0], text)
		}
	}
}

// F32: when a backend refuses connections, its failover gets the callback once,
// byte for byte as if it were the primary one.
func TestF32_FailoverOfAnUnreachablePrimary(t *testing.T) {
	const target, body = "/cb?code=4%2F0&state=%zz;a", "extra=1"
	receive := func(t *testing.T, primary string) (*rig, string) {
		t.Helper()
		r := newRig(t)
		green, idle := newBackend(t, ok("from green")), newBackend(t, ok(""))
		r.refuse(blueAddress)
		r.lead(greenAddress, green)
		r.lead(idleAddress, idle)
		route := newFailoverRoute()
		for i := range route.Backends {
			if route.Backends[i].Weight = 0; route.Backends[i].Name == primary {
				route.Backends[i].Weight = 1
			}
			if primary == "green" {
				route.Backends[i].Failover = nil
			}
		}
		r.serve(route)
		if got := r.post(target, body, "Cookie: a=b"); got.status != 200 || got.body != "from green" {
			t.Fatalf("response is %d %q", got.status, got.body)
		}
		if len(idle.seen()) != 0 {
			t.Error("a backend with weight 0 got a callback")
		}
		return r, green.only(t)
	}
	r, failover := receive(t, "blue")
	r.wantsLine(`"backend":"green"`, `"failover":true`, `"outcome":"delivered"`)
	for series, want := range map[string]string{
		`callbackproxy_failovers_total{route="identity/acme-sso"}`:                                               "1",
		`callbackproxy_requests_total{backend="green",code="2xx",outcome="delivered",route="identity/acme-sso"}`: "1",
	} {
		if got := counted(t, r.metrics, series); got != want {
			t.Errorf("%s is %q", series, got)
		}
	}
	r, direct := receive(t, "green")
	r.wantsLine(`"backend":"green"`, "!failover")

	gotTarget, gotFields, gotBody := parts(t, failover)
	wantTarget, wantFields, wantBody := parts(t, direct)
	gotFields.Del("X-Request-Id")
	wantFields.Del("X-Request-Id")
	if gotTarget != wantTarget || gotBody != wantBody || fmt.Sprint(gotFields) != fmt.Sprint(wantFields) {
		t.Errorf("green saw %q, want %q", failover, direct)
	}
	if gotTarget != "/green/cb?code=4%2F0&state=%zz;a" || gotFields.Get("Host") != "green.idp.svc:8443" || gotBody != body {
		t.Errorf("green saw %q", failover)
	}
}

// F35: once a byte was written the backend may have acted on the callback: no
// other backend gets it, with any response or none.
func TestF35_NoOtherBackendOnceAByteWasWritten(t *testing.T) {
	reset := func(conn net.Conn, _ string) { _ = conn.(*net.TCPConn).SetLinger(0) }
	for name, tc := range map[string]struct {
		respond func(net.Conn, string)
		status  int
	}{
		"403": {responds("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"), 403},
		"404": {responds("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), 404},
		"500": {responds("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), 500},
		"503": {responds("HTTP/1.1 503 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"), 503},
		"RST": {reset, 502},
		"FIN": {responds(""), 502},
		"RST in the head": {func(conn net.Conn, request string) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nA")
			reset(conn, request)
		}, 502},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			blue, green, idle := newBackend(t, tc.respond), newBackend(t, ok("")), newBackend(t, ok(""))
			r.lead(blueAddress, blue)
			r.lead(greenAddress, green)
			r.lead(idleAddress, idle)
			checks := unreachableAt()
			r.handler.health = checks
			r.serve(newFailoverRoute())
			if got := r.get("/cb?code=1"); got.status != tc.status {
				t.Errorf("response is %d", got.status)
			}
			if len(blue.seen()) != 1 || len(green.seen())+len(idle.seen()) != 0 {
				t.Errorf("blue saw %d, green %d, idle %d", len(blue.seen()), len(green.seen()), len(idle.seen()))
			}
			r.wantsLine(`"backend":"blue"`, "!failover")
			// The status of a response does not count for health: clients that post bad
			// codes would decide about the backend.
			if want := fmt.Sprint([]string{routetable.TargetID(blueAddress, nil) + "true"}); fmt.Sprint(checks.dials) != want {
				t.Errorf("dials %q, want %s", checks.dials, want)
			}
		})
	}
}

// F32: with primary and failover unreachable the page is true about the delivery,
// and another backend with weight 0 gets nothing.
func TestF32_AllUnreachable(t *testing.T) {
	r := newRig(t)
	idle := newBackend(t, ok(""))
	r.refuse(blueAddress)
	r.refuse(greenAddress)
	r.lead(idleAddress, idle)
	checks := unreachableAt()
	r.handler.health = checks
	r.serve(newFailoverRoute())
	got := r.get("/cb?code=1")
	if got.status != 503 || !isPage(got.body, pages[503]) || got.header.Get("Retry-After") == "" {
		t.Errorf("response is %d %q", got.status, got.body)
	}
	if len(idle.seen()) != 0 {
		t.Error("a backend with weight 0 got a callback")
	}
	r.wantsLine(`"backend":"blue"`, `"outcome":"notDelivered"`, `"reason":"dialling failed: connection refused"`, "!failover")
	want := []string{routetable.TargetID(blueAddress, nil) + "false", routetable.TargetID(greenAddress, nil) + "false"}
	if fmt.Sprint(checks.dials) != fmt.Sprint(want) {
		t.Errorf("dials %q, want %q", checks.dials, want)
	}
}

func TestDeliver_FollowsHealth(t *testing.T) {
	for name, tc := range map[string]struct {
		unreachable, down []string
		want              string
	}{
		"both reachable":                     {nil, nil, "blue"},
		"primary unreachable":                {[]string{blueAddress}, nil, "green"},
		"failover unreachable":               {[]string{greenAddress}, nil, "blue"},
		"F42 both unreachable":               {[]string{blueAddress, greenAddress}, nil, "blue"},
		"F42 both unreachable, one is up":    {[]string{blueAddress, greenAddress}, []string{blueAddress}, "green"},
		"primary unreachable, failover down": {[]string{blueAddress}, []string{greenAddress}, "blue"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for address, backend := range map[string]string{blueAddress: "blue", greenAddress: "green", idleAddress: "idle"} {
				r.lead(address, newBackend(t, ok(backend)))
			}
			for _, address := range tc.down {
				r.refuse(address)
			}
			r.handler.health = unreachableAt(tc.unreachable...)
			r.serve(newFailoverRoute())
			if got := r.get("/cb"); got.status != 200 || got.body != tc.want {
				t.Errorf("response is %d from %q", got.status, got.body)
			}
			r.wantsLine(`"backend":"` + tc.want + `"`)
		})
	}
}

// newCheckedRig has a Checker that runs and follows the config.
func newCheckedRig(t *testing.T) (*rig, *health.Checker) {
	t.Helper()
	r := newRig(t)
	checker := health.NewChecker(health.Options{
		Upstream: upstream.NewClient(upstream.Options{ConnectTo: r.connectTo, Now: time.Now}), Now: time.Now,
	})
	r.handler.health = checker
	r.store.Subscribe(func(c config.Change) { checker.Set(c.After.Table) })
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() { checker.Run(ctx); close(stopped) }()
	t.Cleanup(func() { cancel(); <-stopped })
	return r, checker
}

// F42: while all backends are unhealthy callbacks are still tried, so the first
// one after the backend is back arrives, before any check.
func TestF42_AllUnhealthyIsNoBlackhole(t *testing.T) {
	r, checker := newCheckedRig(t)
	listener := listen(t)
	r.connectTo[blueAddress] = listener.Addr().String()
	r.refuse(greenAddress)
	_ = listener.Close()
	route := newFailoverRoute()
	route.Backends[2].Check = &routetable.HealthCheck{IntervalSeconds: 300, TimeoutSeconds: 1, UnhealthyThreshold: 3, HealthyThreshold: 10}
	r.serve(route)
	for range 5 {
		if got := r.get("/cb"); got.status != 503 {
			t.Fatalf("response is %d", got.status)
		}
	}
	if checker.Unhealthy() != 2 {
		t.Fatalf("control: %d are unhealthy", checker.Unhealthy())
	}
	reopened, err := net.Listen("tcp", r.connectTo[blueAddress])
	if err != nil {
		t.Skip(err)
	}
	defer func() { _ = reopened.Close() }()
	go serveAll(reopened, func(conn net.Conn, _ string) { ok("back")(conn, "") })
	if got := r.get("/cb"); got.status != 200 || got.body != "back" {
		t.Errorf("response is %d %q", got.status, got.body)
	}
	if checker.TryAcquire(routetable.TargetID(blueAddress, route.Backends[2].Check)) {
		t.Error("control: it became healthy by a check")
	}
}

// serveAll responds on each connection until the listener is closed.
func serveAll(listener net.Listener, respond func(net.Conn, string)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			if request := readRequest(bufio.NewReader(conn)); request != "" {
				respond(conn, request)
			}
		}()
	}
}

// F39: with a backend that comes and goes all the time no callback arrives twice,
// and each page is true about its callback.
func TestF39_FlappingBackendDuplicatesNothing(t *testing.T) {
	t.Run("without checks", func(t *testing.T) {
		r := newRig(t)
		if blue, green := r.flap(); blue < 50 || green < 50 {
			t.Errorf("control: it does not flap: blue had %d, green %d", blue, green)
		}
	})
	t.Run("with checks", func(t *testing.T) {
		r, _ := newCheckedRig(t)
		if _, green := r.flap(); green < 1000 {
			t.Errorf("green had %d: a backend that fails that often is still dialled", green)
		}
	})
}

// flap sends callbacks while blue comes and goes and returns how many each
// backend had.
func (r *rig) flap() (blue, green int) {
	const workers, each = 8, 150
	t := r.t
	var mu sync.Mutex
	seen := map[string]int{}
	record := func(conn net.Conn, request string) {
		target, _, _ := parts(t, request)
		_, code, _ := strings.Cut(target, "code=")
		mu.Lock()
		seen[code]++
		mu.Unlock()
		ok("")(conn, request)
	}
	r.lead(greenAddress, newBackend(t, record))
	listener := listen(t)
	address := listener.Addr().String()
	r.connectTo[blueAddress] = address
	r.serve(newFailoverRoute())

	ctx, cancel := context.WithCancel(context.Background())
	var flapping, running sync.WaitGroup
	flapping.Go(func() {
		for l := listener; ctx.Err() == nil; {
			time.AfterFunc(5*time.Millisecond, func() { _ = l.Close() })
			serveAll(l, record)
			for tick := time.NewTicker(2 * time.Millisecond); ctx.Err() == nil; {
				<-tick.C
				if next, err := net.Listen("tcp", address); err == nil {
					l = next
					break
				}
			}
		}
	})
	statuses, received := map[int]int{}, map[string]int{}
	for w := range workers {
		running.Go(func() {
			for i := range each {
				code := fmt.Sprintf("%d-%d", w, i)
				got := r.get("/cb?code=" + code)
				mu.Lock()
				received[code] = got.status
				statuses[got.status]++
				mu.Unlock()
			}
		})
	}
	running.Wait()
	cancel()
	flapping.Wait()
	mu.Lock()
	defer mu.Unlock()
	blue, green = strings.Count(r.log.String(), `"backend":"blue"`), strings.Count(r.log.String(), `"failover":true`)
	t.Logf("statuses %v, blue had %d, green had %d", statuses, blue, green)
	for code, status := range received {
		n := seen[code]
		if n > 1 || status == 200 && n != 1 || status == 503 && n != 0 || status != 200 && status != 502 && status != 503 {
			t.Errorf("callback %s got %d and arrived %d times", code, status, n)
		}
	}
	return blue, green
}

// A route without a failover gets the honest 503, and its other backends nothing.
func TestF32_NoFailoverDeclared(t *testing.T) {
	r := newRig(t)
	green := newBackend(t, ok(""))
	r.refuse(blueAddress)
	r.lead(greenAddress, green)
	r.serve(newRoute(nil))
	if got := r.get("/cb?code=1"); got.status != 503 || !isPage(got.body, pages[503]) || got.header.Get("Retry-After") == "" {
		t.Errorf("response is %d %q", got.status, got.body)
	}
	if len(green.seen()) != 0 {
		t.Error("a backend with weight 0 got a callback")
	}
}

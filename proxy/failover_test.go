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

	"github.com/callbackproxy/callback-operator/proxy/health"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
)

const idleAddress = "10.0.0.3:80"

// newStandbyRoute leads to blue, with green standing by and a third backend
// that is idle.
func newStandbyRoute() routetable.Route {
	return newRoute(func(r *routetable.Route) {
		r.Backends = []routetable.Backend{
			{Name: "idle", Addresses: []string{idleAddress}},
			{Name: "green", Weight: 1, Addresses: []string{greenAddress}, Path: "/green/cb", Host: "green.idp.svc:8443"},
			{Name: "blue", Weight: 2, Addresses: []string{blueAddress}},
		}
	})
}

// refuse maps an address to where nothing listens.
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

// F32: a backend that refuses connections is passed over, and who stands by
// gets the callback once, byte for byte as if it were the active one.
func TestF32_StandbyGetsWhatTheActiveCannotBeReachedFor(t *testing.T) {
	const target, body = "/cb?code=4%2F0&state=%zz;a", "extra=1"
	receive := func(t *testing.T, active string) (*rig, string) {
		t.Helper()
		r := newRig(t)
		green, idle := newBackend(t, ok("from green")), newBackend(t, ok(""))
		r.refuse(blueAddress)
		r.lead(greenAddress, green)
		r.lead(idleAddress, idle)
		route := newStandbyRoute()
		for i := range route.Backends {
			if route.Backends[i].Name == active {
				route.Backends[i].Weight = 9
			}
		}
		r.serve(route)
		if got := r.post(target, body, "Cookie: a=b"); got.status != 200 || got.body != "from green" {
			t.Fatalf("answer is %d %q", got.status, got.body)
		}
		if len(idle.seen()) != 0 {
			t.Error("a backend with weight 0 got a callback")
		}
		return r, green.only(t)
	}
	r, fallback := receive(t, "blue")
	r.wantsLine(`"backend":"green"`, `"fallback":true`, `"outcome":"delivered"`)
	for series, want := range map[string]string{
		`callbackproxy_fallbacks_total{route="identity/acme-sso"}`:                                               "1",
		`callbackproxy_requests_total{backend="green",code="200",outcome="delivered",route="identity/acme-sso"}`: "1",
	} {
		if got := counted(t, r.metrics, series); got != want {
			t.Errorf("%s is %q", series, got)
		}
	}
	r, direct := receive(t, "green")
	r.wantsLine(`"backend":"green"`, "!fallback")

	gotTarget, gotFields, gotBody := parts(t, fallback)
	wantTarget, wantFields, wantBody := parts(t, direct)
	gotFields.Del("X-Request-Id")
	wantFields.Del("X-Request-Id")
	if gotTarget != wantTarget || gotBody != wantBody || fmt.Sprint(gotFields) != fmt.Sprint(wantFields) {
		t.Errorf("green saw %q, want %q", fallback, direct)
	}
	if gotTarget != "/green/cb?code=4%2F0&state=%zz;a" || gotFields.Get("Host") != "green.idp.svc:8443" || gotBody != body {
		t.Errorf("green saw %q", fallback)
	}
}

// F35: once a byte was written the callback may have been acted upon: nobody
// else gets it, whatever the answer is and whether there is one.
func TestF35_NoOtherBackendOnceAByteWasWritten(t *testing.T) {
	reset := func(conn net.Conn, _ string) { _ = conn.(*net.TCPConn).SetLinger(0) }
	for name, tc := range map[string]struct {
		answer func(net.Conn, string)
		status int
	}{
		"403": {says("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"), 403},
		"404": {says("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), 404},
		"500": {says("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), 500},
		"503": {says("HTTP/1.1 503 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"), 503},
		"RST": {reset, 502},
		"FIN": {says(""), 502},
		"RST in the head": {func(conn net.Conn, request string) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nA")
			reset(conn, request)
		}, 502},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			blue, green, idle := newBackend(t, tc.answer), newBackend(t, ok("")), newBackend(t, ok(""))
			r.lead(blueAddress, blue)
			r.lead(greenAddress, green)
			r.lead(idleAddress, idle)
			told := doubting()
			r.handler.health = told
			r.serve(newStandbyRoute())
			if got := r.get("/cb?code=1"); got.status != tc.status {
				t.Errorf("answer is %d", got.status)
			}
			if len(blue.seen()) != 1 || len(green.seen())+len(idle.seen()) != 0 {
				t.Errorf("blue saw %d, green %d, idle %d", len(blue.seen()), len(green.seen()), len(idle.seen()))
			}
			r.wantsLine(`"backend":"blue"`, "!fallback")
			// An answer's status says nothing about health: whoever posts bad
			// codes would decide about the backend.
			if want := fmt.Sprint([]string{routetable.TargetID(blueAddress, nil) + "true"}); fmt.Sprint(told.told) != want {
				t.Errorf("told %q, want %s", told.told, want)
			}
		})
	}
}

// Nobody can be reached: the answer says that nothing was delivered, and a
// backend with weight 0 is still no way out.
func TestF32_NobodyCanBeReached(t *testing.T) {
	r := newRig(t)
	idle := newBackend(t, ok(""))
	r.refuse(blueAddress)
	r.refuse(greenAddress)
	r.lead(idleAddress, idle)
	told := doubting()
	r.handler.health = told
	r.serve(newStandbyRoute())
	got := r.get("/cb?code=1")
	if got.status != 503 || got.body != string(pages[503]) || got.header.Get("Retry-After") == "" {
		t.Errorf("answer is %d %q", got.status, got.body)
	}
	if len(idle.seen()) != 0 {
		t.Error("a backend with weight 0 got a callback")
	}
	r.wantsLine(`"backend":"blue"`, `"outcome":"notDelivered"`, `"reason":"dialling failed: connection refused"`, "!fallback")
	want := []string{routetable.TargetID(blueAddress, nil) + "false", routetable.TargetID(greenAddress, nil) + "false"}
	if fmt.Sprint(told.told) != fmt.Sprint(want) {
		t.Errorf("told %q, want %q", told.told, want)
	}
}

func TestDeliver_AsksHealth(t *testing.T) {
	for name, tc := range map[string]struct {
		unusable, down []string
		want           string
	}{
		"all well":                      {nil, nil, "blue"},
		"active unusable":               {[]string{blueAddress}, nil, "green"},
		"standby unusable":              {[]string{greenAddress}, nil, "blue"},
		"F42 nobody usable":             {[]string{blueAddress, greenAddress}, nil, "blue"},
		"F42 nobody usable, one is up":  {[]string{blueAddress, greenAddress}, []string{blueAddress}, "green"},
		"active unusable, standby down": {[]string{blueAddress}, []string{greenAddress}, "blue"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for address, backend := range map[string]string{blueAddress: "blue", greenAddress: "green", idleAddress: "idle"} {
				r.lead(address, newBackend(t, ok(backend)))
			}
			for _, address := range tc.down {
				r.refuse(address)
			}
			r.handler.health = doubting(tc.unusable...)
			r.serve(newStandbyRoute())
			if got := r.get("/cb"); got.status != 200 || got.body != tc.want {
				t.Errorf("answer is %d from %q", got.status, got.body)
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
	r.state.OnAdopt = func(Offer) { checker.Set(r.state.Current().Table) }
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() { checker.Run(ctx); close(stopped) }()
	t.Cleanup(func() { cancel(); <-stopped })
	return r, checker
}

// F42: while everything is unhealthy callbacks are tried all the same, so the
// first one after the backend is back arrives, before any check knows of it.
func TestF42_AllUnhealthyIsNoBlackhole(t *testing.T) {
	r, checker := newCheckedRig(t)
	listener := listen(t)
	r.connectTo[blueAddress] = listener.Addr().String()
	r.refuse(greenAddress)
	_ = listener.Close()
	route := newStandbyRoute()
	route.Backends[2].Check = &routetable.HealthCheck{IntervalSeconds: 300, TimeoutSeconds: 1, UnhealthyThreshold: 3, HealthyThreshold: 10}
	r.serve(route)
	for range 5 {
		if got := r.get("/cb"); got.status != 503 {
			t.Fatalf("answer is %d", got.status)
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
		t.Errorf("answer is %d %q", got.status, got.body)
	}
	if checker.Usable(routetable.TargetID(blueAddress, route.Backends[2].Check)) {
		t.Error("control: it became healthy by something else")
	}
}

// serveAll answers each connection until the listener is closed.
func serveAll(listener net.Listener, answer func(net.Conn, string)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			if request := readRequest(bufio.NewReader(conn)); request != "" {
				answer(conn, request)
			}
		}()
	}
}

// F39: a backend that comes and goes all the time: no callback arrives twice,
// and what each client is told about its own is true.
func TestF39_FlappingBackendDuplicatesNothing(t *testing.T) {
	t.Run("known to nobody", func(t *testing.T) {
		r := newRig(t)
		if blue, green := r.flap(); blue < 50 || green < 50 {
			t.Errorf("control: it does not flap: blue had %d, green %d", blue, green)
		}
	})
	t.Run("watched", func(t *testing.T) {
		r, _ := newCheckedRig(t)
		if _, green := r.flap(); green < 1000 {
			t.Errorf("green had %d: who fails that often is not passed over", green)
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
	r.serve(newStandbyRoute())

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
	statuses, told := map[int]int{}, map[string]int{}
	for w := range workers {
		running.Go(func() {
			for i := range each {
				code := fmt.Sprintf("%d-%d", w, i)
				got := r.get("/cb?code=" + code)
				mu.Lock()
				told[code] = got.status
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
	blue, green = strings.Count(r.log.String(), `"backend":"blue"`), strings.Count(r.log.String(), `"fallback":true`)
	t.Logf("answers %v, blue had %d, green had %d", statuses, blue, green)
	for code, status := range told {
		n := seen[code]
		if n > 1 || status == 200 && n != 1 || status == 503 && n != 0 || status != 200 && status != 502 && status != 503 {
			t.Errorf("callback %s was answered with %d and arrived %d times", code, status, n)
		}
	}
	return blue, green
}

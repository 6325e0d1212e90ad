// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// budget_test.go: what an instance holds at once, and what it sheds.

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const busyText = "Reloading this page is safe."

func TestCapacityOf(t *testing.T) {
	const mib = 1 << 20
	for _, tc := range []struct {
		name                string
		memory, descriptors uint64
		want                Capacity
	}{
		{"the default limit", 128 * mib, 1 << 20, Capacity{32 * mib, 1536}},
		{"many", 4 << 30, 1 << 20, Capacity{1 << 30, 49152}},
		{"no limits", 0, 0, Capacity{256 * mib, 12288}},
		{"F50: few descriptors", 128 * mib, 256, Capacity{32 * mib, 96}},
		{"hardly any descriptors", 128 * mib, 8, Capacity{32 * mib, 8}},
		{"endless", 1 << 63, 0, Capacity{1 << 60, 1 << 30}},
	} {
		if got := CapacityOf(tc.memory, tc.descriptors); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
	if got := RuntimeBytes(128 * mib); got < 102*mib || got > 103*mib {
		t.Errorf("the runtime has %d bytes", got)
	}
}

// F67: the memory of a body grows with what arrived, not with what is declared.
func TestF67_BodyBytes(t *testing.T) {
	for _, tc := range []struct {
		have, arrived int
		declared      int64
		want          int
	}{
		{0, 200, 200, 200},
		{0, 1, ownBody, ownBody},
		{0, 1, 1 << 20, ownBody},
		{0, begunBody, 8000, formBody},
		{0, begunBody, 60_000, firstBody},
		{0, begunBody, 1 << 20, firstBody},
		{0, 1, -1, ownBody},
		{0, begunBody, -1, formBody},
		{ownBody, ownBody, 8000, formBody},
		{ownBody, ownBody, 60_000, firstBody},
		{ownBody, ownBody, -1, formBody},
		{formBody, formBody, -1, firstBody},
		{firstBody, firstBody, 1 << 20, 2 * firstBody},
		{2 * firstBody, 2 * firstBody, 200_000, 200_000},
		{firstBody, firstBody, -1, 2 * firstBody},
	} {
		if got := bodyBytes(tc.have, tc.arrived, tc.declared); got != tc.want {
			t.Errorf("%+v: %d", tc, got)
		}
	}
}

// begin sends a part of a POST on a connection of its own.
func (r *rig) begin(target string, length int, part string) net.Conn {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	_, err = io.WriteString(conn, "POST "+target+" HTTP/1.1\r\nHost: "+host+"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "+
		strconv.Itoa(length)+"\r\n\r\n"+part)
	if err != nil {
		r.t.Fatal(err)
	}
	return conn
}

// awaitMetric returns when a line of the metrics has a value.
func (r *rig) awaitMetric(series, want string) {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); counted(r.t, r.metrics, series) != want; time.Sleep(time.Millisecond) { // the interval of polling
		if time.Now().After(end) {
			r.t.Fatalf("%s is %s, want %s", series, counted(r.t, r.metrics, series), want)
		}
	}
}

// F67: bodies that are not sent to their end are shed, counted by reason and on
// their route, with a response that states that nothing was delivered. One route
// has half of the memory.
func TestF67_UnfinishedBodiesAreShed(t *testing.T) {
	r := newRigOf(t, Capacity{RequestBytes: 256 << 10, Connections: 100})
	b := newBackend(t, ok("fine"))
	r.lead(blueAddress, b)
	r.serve(newRoute(nil))
	part := "code=" + strings.Repeat("c", 90_000)
	first := r.begin("/cb", 100_000, part)
	r.awaitMetric(metrics.RequestMemory, "100000")
	second := r.begin("/cb", 100_000, part) // half of 256 KiB is less than two of them
	got := readResponse(bufio.NewReader(first), "POST")
	if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, busyText) || got.header.Get("Retry-After") == "" || !got.closes {
		t.Errorf("a body that is shed gets %d %q %v", got.status, got.body, got.err)
	}
	_, _ = io.WriteString(second, strings.Repeat("c", 100_000-len(part)))
	if got := readResponse(bufio.NewReader(second), "POST"); got.status != 200 {
		t.Errorf("the other body gets %d %v", got.status, got.err)
	}
	if got := r.post("/cb", "code=1"); got.status != 200 {
		t.Errorf("a small one gets %d", got.status)
	}
	use := r.usageOf("uid")
	if len(b.seen()) != 2 || use.Refused != 1 || use.Callbacks != 2 {
		t.Errorf("backend saw %d, usage is %+v", len(b.seen()), use)
	}
	for series, want := range map[string]string{
		`callbackproxy_refused_total{reason="memory"}`:                                                          "1",
		`callbackproxy_requests_total{backend="",code="503",outcome="notDelivered",route="identity/acme-sso"}`:  "1",
		`callbackproxy_requests_total{backend="blue",code="2xx",outcome="delivered",route="identity/acme-sso"}`: "2",
	} {
		if got := counted(t, r.metrics, series); got != want {
			t.Errorf("%s is %s", series, got)
		}
	}
	if log := r.log.String(); !strings.Contains(log, `"reason":"memory"`) || !strings.Contains(log, `"route":"identity/acme-sso"`) {
		t.Errorf("log is %s", log)
	}
	r.awaitMetric(metrics.RequestMemory, "0")
}

// F67: clients that declare a lot and send nothing hold nothing.
func TestF67_DeclaredBodiesHoldNothing(t *testing.T) {
	r := newRigOf(t, Capacity{RequestBytes: 256 << 10, Connections: 100})
	r.lead(blueAddress, newBackend(t, ok("fine")))
	r.serve(newRoute(nil))
	for range 30 {
		r.begin("/cb", 1_000_000, "code=1")
	}
	r.awaitMetric(metrics.Connections, "30")
	if got := r.post("/cb", "code="+strings.Repeat("c", 60_000)); got.status != 200 {
		t.Errorf("a whole body gets %d", got.status)
	}
	if got := counted(t, r.metrics, metrics.RequestMemory); got != "0" {
		t.Errorf("%s bytes are held", got)
	}
}

// wantsBusy fails unless a callback is not delivered for now.
func (r *rig) wantsBusy(target string) {
	r.t.Helper()
	got := r.get(target)
	if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, busyText) || got.header.Get("Retry-After") == "" {
		r.t.Errorf("%s gets %d %q", target, got.status, got.body)
	}
}

// F43: a backend that hangs holds up its own route alone: what is above
// inFlightPerRoute gets 503 and is not delivered, and other routes are served.
func TestF43_HangingBackendHoldsUpItsRouteAlone(t *testing.T) {
	r := newRig(t)
	release, arrived := make(chan struct{}), make(chan struct{}, 10)
	hanging := newBackend(t, func(conn net.Conn, request string) {
		arrived <- struct{}{}
		<-release
		ok("late")(conn, request)
	})
	r.lead(blueAddress, hanging)
	r.lead(greenAddress, newBackend(t, ok("fine")))
	other := blueGreen("green")
	other.Namespace, other.UID, other.Callbacks = "payments", "other", []routetable.Callback{{Name: "login", PathType: routetable.Exact, Path: "/other"}}
	r.serveWith(routetable.Settings{Limits: routetable.Limits{InFlightPerRoute: 3}}, newRoute(nil), other)
	responses := make(chan response, 3)
	for i := range 3 {
		go func() { responses <- r.get(fmt.Sprintf("/cb?code=%d", i)) }()
		<-arrived
	}
	for i := range 20 {
		r.wantsBusy(fmt.Sprintf("/cb?code=more%d", i))
		if got := r.get(fmt.Sprintf("/other?code=%d", i)); got.status != 200 || got.body != "fine" {
			t.Errorf("another route gets %d %q", got.status, got.body)
		}
	}
	close(release)
	for range 3 {
		if got := <-responses; got.status != 200 || got.body != "late" {
			t.Errorf("a callback within the limit gets %d %q", got.status, got.body)
		}
	}
	// A callback that was not delivered may come again, and there is room again.
	if got := r.get("/cb?code=more1"); got.status != 200 {
		t.Errorf("the next callback gets %d", got.status)
	}
	if use := r.usageOf("uid"); len(hanging.seen()) != 4 || use.Callbacks != 24 || sentTo(use, "blue") != 4 {
		t.Errorf("the backend saw %d, usage is %+v", len(hanging.seen()), use)
	}
	if got := counted(t, r.metrics, `callbackproxy_refused_total{reason="inFlight"}`); got != "20" {
		t.Errorf("%s are counted", got)
	}
}

// F53: a client that takes its time for the response does not count as one that
// waits for the backend.
func TestF53_SlowReadersDoNotHoldUpTheirRoute(t *testing.T) {
	r := newRig(t)
	large := strings.Repeat("a", 32<<20)
	sent := make(chan struct{}, 1)
	r.lead(blueAddress, newBackend(t, func(conn net.Conn, request string) {
		if !strings.Contains(request, "code=slow") {
			ok("fine")(conn, request)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(len(large))+"\r\n\r\n"+large[:64<<10])
		sent <- struct{}{}
		_, _ = io.WriteString(conn, large[64<<10:])
	}))
	r.serveWith(routetable.Settings{Limits: routetable.Limits{InFlightPerRoute: 1}}, newRoute(nil))
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, getBytes("/cb?code=slow"))
	<-sent
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) { // until the client's end is full
		if got := r.get("/cb?code=fast" + strconv.FormatInt(time.Now().UnixNano(), 10)); got.status == 200 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no callback is delivered while a client reads slowly")
		}
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// W6: the source that the balancer states is the peer: it is what the backend gets,
// and what trustedProxies is about.
func TestW6_SourceIsThePeerOfTheProxy(t *testing.T) {
	r := newRig(t)
	b := newBackend(t, ok("fine"))
	r.lead(blueAddress, b)
	r.serveWith(routetable.Settings{ProxyProtocol: true, Forwarding: routetable.Forwarding{TrustedProxies: []string{"203.0.113.0/24"}}}, newRoute(nil))
	for source, want := range map[string]string{
		"198.51.100.9": "X-Forwarded-For: 198.51.100.9\r\n",
		"203.0.113.7":  "X-Forwarded-For: 192.0.2.1, 203.0.113.7\r\n",
	} {
		got := r.send("PROXY TCP4 " + source + " 10.0.0.1 1234 443\r\n" + getBytes("/cb?code="+source, "X-Forwarded-For: 192.0.2.1"))
		seen := b.seen()
		if got.status != 200 || !strings.Contains(seen[len(seen)-1], want) {
			t.Errorf("%s: %d, the backend gets %q", source, got.status, seen[len(seen)-1])
		}
	}
	for range 3 {
		if got := r.get("/cb?code=CANARY"); got.err == nil || got.status != 0 {
			t.Errorf("a connection without a header gets %d", got.status)
		}
	}
	r.awaitMetric(`callbackproxy_refused_total{reason="noProxyHeader"}`, "3")
	if log := r.log.String(); strings.Count(log, "connection dropped") != 1 || !strings.Contains(log, `"peer":"127.0.0.1"`) || strings.Contains(log, "CANARY") {
		t.Errorf("log is %s", log)
	}
	if len(b.seen()) != 2 {
		t.Errorf("the backend saw %d", len(b.seen()))
	}
}

// F72: a backend that answers with 400 status codes makes one series for each class.
func TestF72_StatusesOfABackendAreClasses(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, func(conn net.Conn, request string) {
		_, status, _ := strings.Cut(request, "state=")
		_, _ = io.WriteString(conn, "HTTP/1.1 "+status[:3]+" x\r\nContent-Length: 0\r\n\r\n")
	}))
	r.serve(newRoute(nil))
	for status := 200; status < 1000; status += 7 {
		r.get(fmt.Sprintf("/cb?code=%d&state=%d", status, status))
	}
	families, err := r.metrics.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, family := range families {
		if family.GetName() != metrics.Requests {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() == "code" {
					codes = append(codes, label.GetValue())
				}
			}
		}
	}
	slices.Sort(codes)
	if want := []string{"2xx", "3xx", "4xx", "5xx", "other"}; !slices.Equal(codes, want) {
		t.Errorf("codes are %q", codes)
	}
}

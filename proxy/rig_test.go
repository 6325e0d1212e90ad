// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/callbackproxy/callback-operator/internal/apitime"
	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
	"github.com/callbackproxy/callback-operator/proxy/usage"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const (
	host = "auth.acme.com"
	// blueAddress and greenAddress are in the table; the rig maps them.
	blueAddress  = "10.0.0.1:80"
	greenAddress = "10.0.0.2:80"
)

// begin is when the tests' clocks start, farEnd a sunset that none of them
// reaches.
var (
	begin  = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	farEnd = begin.AddDate(0, 6, 0)
)

// clock is a clock that stands until it is moved.
type clock struct {
	mu      sync.Mutex
	now     time.Time
	elapsed time.Duration
	follows bool
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Set lets the time go by until t; back as well, for tests of nothing but the
// present.
func (c *clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.elapsed += t.Sub(c.now)
	c.now = t
}

// Jump sets the wall clock to t. No time goes by.
func (c *clock) Jump(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// Follow makes it the system's clock from now on.
func (c *clock) Follow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.follows = true
}

func (c *clock) reading() sunset.Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.follows {
		now := time.Now()
		return sunset.Reading{Wall: now.Round(0), Elapsed: c.elapsed + now.Sub(c.now)}
	}
	return sunset.Reading{Wall: c.now, Elapsed: c.elapsed}
}

// lines collects what is logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// newRoute returns a route that leads to blue.
func newRoute(change func(*routetable.Route)) routetable.Route {
	r := routetable.Route{
		Namespace: "identity", Name: "acme-sso", UID: "uid", Generation: 1,
		Hostnames: []string{host}, Protocol: routetable.OIDC,
		Callbacks: []routetable.Callback{{Name: "login", PathType: routetable.Exact, Path: "/cb"}},
		Backends: []routetable.Backend{
			{Name: "blue", Weight: 1, Addresses: []string{blueAddress}},
			{Name: "green", Addresses: []string{greenAddress}},
		},
		TimeoutSeconds: 30, Sunset: farEnd, AfterSunset: routetable.Reject,
	}
	if change != nil {
		change(&r)
	}
	return r
}

// newOffer encodes a table.
func newOffer(t testing.TB, v routetable.Version, key ed25519.PublicKey, settings routetable.Settings, routes ...routetable.Route) config.Offer {
	t.Helper()
	if settings.ListenerPort == 0 {
		settings.ListenerPort = 8080
	}
	return offerOf(t, v, key, &routetable.Table{Settings: settings, Routes: routes})
}

func offerOf(t testing.TB, v routetable.Version, key ed25519.PublicKey, table *routetable.Table) config.Offer {
	t.Helper()
	encoded, err := routetable.Encode(table, routetable.DefaultShardBytes)
	if err != nil {
		t.Fatal(err)
	}
	o := config.Offer{
		Version: v, ReportKey: base64.StdEncoding.EncodeToString(key), Index: encoded.Index,
		Shards: map[string]string{},
	}
	for _, s := range encoded.Shards {
		o.Shards[s.Hash] = s.Data
	}
	return o
}

// rig is a proxy with real listeners.
type rig struct {
	t        testing.TB
	store    *config.Store
	counters *usage.Counters
	metrics  *metrics.Metrics
	handler  *Handler
	server   *Server
	clock    *clock
	// clockJudge judges the clock.
	clockJudge *apitime.Clock
	log        *lines
	private    ed25519.PrivateKey
	public     ed25519.PublicKey
	version    routetable.Version
	connectTo  map[string]string

	address, admin string // of the listeners
	stop           context.CancelFunc
	stopped        chan error
}

// newRig starts a proxy without a config.
func newRig(t testing.TB) *rig {
	t.Helper()
	return newRigOf(t, Capacity{})
}

// newRigOf is newRig with the capacity of an instance.
func newRigOf(t testing.TB, capacity Capacity) *rig {
	t.Helper()
	r := &rig{
		t: t, clock: &clock{now: begin}, log: &lines{}, metrics: metrics.New(), counters: usage.NewCounters(), connectTo: map[string]string{},
		version: routetable.Version{Epoch: 1}, stopped: make(chan error, 1),
	}
	r.public, r.private, _ = ed25519.GenerateKey(nil)
	log := slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r.clockJudge = apitime.NewClockFrom(r.clock.reading, log)
	r.store = config.NewStore(config.Options{
		Log: log, Now: r.clock.Now, Clock: r.clockJudge, Usage: r.counters, Sidecar: true,
		Refused: func(reason string) { r.metrics.Count(metrics.ConfigRefused, reason) },
	})
	r.metrics.Watch(r.store, r.clockJudge)
	client := upstream.NewClient(upstream.Options{ConnectTo: r.connectTo, Now: time.Now})
	r.handler = NewHandler(HandlerOptions{
		Store: r.store, Clock: r.clockJudge, Usage: r.counters, Upstream: client, Metrics: r.metrics, Log: log, Lines: r.log, Now: time.Now, Namespace: "edge-system", Name: "edge",
	})
	r.server = &Server{Store: r.store, Clock: r.clockJudge, Usage: r.counters, Handler: r.handler, Metrics: r.metrics, Log: log, Capacity: capacity}
	callbacks, admin := listen(t), listen(t)
	r.address, r.admin = callbacks.Addr().String(), admin.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() { r.stopped <- r.server.Run(ctx, callbacks, admin) }()
	t.Cleanup(func() { cancel(); <-r.stopped })
	return r
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// serve adopts the next generation with these routes.
func (r *rig) serve(routes ...routetable.Route) {
	r.t.Helper()
	r.serveWith(routetable.Settings{}, routes...)
}

func (r *rig) serveWith(settings routetable.Settings, routes ...routetable.Route) {
	r.t.Helper()
	r.version.Generation++
	if refusal := r.store.Adopt(newOffer(r.t, r.version, r.public, settings, routes...)); refusal != nil {
		r.t.Fatalf("config refused: %+v", refusal)
	}
}

// serveTable adopts a table as the next generation.
func (r *rig) serveTable(table *routetable.Table) {
	r.t.Helper()
	r.version.Generation++
	if table.Settings.ListenerPort == 0 {
		table.Settings.ListenerPort = 8080
	}
	if refusal := r.store.Adopt(offerOf(r.t, r.version, r.public, table)); refusal != nil {
		r.t.Fatalf("config refused: %+v", refusal)
	}
}

// newReport is the report of this instance.
func (r *rig) newReport(since string) routetable.Report {
	return newReporter(r.server, 1).report(since)
}

func v(epoch, generation int64) routetable.Version {
	return routetable.Version{Epoch: epoch, Generation: generation}
}

// blueGreen returns the route that leads to the named backend.
func blueGreen(name string) routetable.Route {
	return newRoute(func(r *routetable.Route) {
		for i := range r.Backends {
			r.Backends[i].Weight = 0
			if r.Backends[i].Name == name {
				r.Backends[i].Weight = 1
			}
		}
	})
}

// response is what a client got, read to the end.
type response struct {
	status int
	header http.Header
	body   string
	closes bool // the connection
	// err is set when the response did not come whole.
	err error
}

// send sends raw bytes on a connection of their own and reads the response.
func (r *rig) send(raw string) response {
	r.t.Helper()
	return exchangeRaw(r.t, r.address, raw)
}

func exchangeRaw(t testing.TB, address, raw string) response {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return response{err: err}
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(40 * time.Second))
	go func() { _, _ = io.WriteString(conn, raw) }()
	method, _, _ := strings.Cut(raw, " ")
	return readResponse(bufio.NewReader(conn), method)
}

func readResponse(from *bufio.Reader, method string) response {
	got, err := http.ReadResponse(from, &http.Request{Method: method})
	if err != nil {
		return response{err: err}
	}
	body, err := io.ReadAll(got.Body)
	return response{status: got.StatusCode, header: got.Header, body: string(body), closes: got.Close, err: err}
}

// get sends a GET with these header lines.
func (r *rig) get(target string, fields ...string) response {
	r.t.Helper()
	return r.send(getBytes(target, fields...))
}

func getBytes(target string, fields ...string) string {
	head := "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n"
	for _, field := range fields {
		head += field + "\r\n"
	}
	return head + "\r\n"
}

// post sends a form.
func (r *rig) post(target, body string, fields ...string) response {
	r.t.Helper()
	head := "POST " + target + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: " + strconv.Itoa(len(body)) +
		"\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	for _, field := range fields {
		head += field + "\r\n"
	}
	return r.send(head + "\r\n" + body)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/internal/apitime"
	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
	"github.com/callbackproxy/callback-operator/proxy/usage"
)

// codes are the codes of the callbacks: the guard refuses one that is in flight.
var codes atomic.Int64

// callbackBytes is a callback with 1.3 KB of header.
var callbackBytes = getBytes("/cb?code=4%2F0AX4XfWh&state=af0ifjsldkj&iss=https%3A%2F%2Fidp.example",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
	"Accept-Language: en-US,en;q=0.9,de;q=0.8", "Accept-Encoding: gzip, deflate, br, zstd",
	"Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: cross-site", "Referer: https://idp.example/",
	"Cookie: session="+strings.Repeat("s", 400)+"; nonce="+strings.Repeat("n", 300))

// BenchmarkHandler compares one callback through this proxy with the same
// through a bare httputil.ReverseProxy that opens a connection for each
// request too. Client and backend are in the same process and the same for
// both, so their part of the time makes the ratio look better than it is.
func BenchmarkHandler(b *testing.B) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/home")
		w.Header().Add("Set-Cookie", "session=1; Path=/; HttpOnly")
		w.WriteHeader(http.StatusFound)
	}))
	defer backend.Close()
	address := backend.Listener.Addr().String()

	clock, counters := apitime.NewClock(time.Now, nil), usage.NewCounters()
	store := config.NewStore(config.Options{Log: slog.New(slog.DiscardHandler), Now: time.Now, Clock: clock, Usage: counters})
	store.Adopt(newOffer(b, v(1, 1), make([]byte, 32),
		routetable.Settings{Forwarding: routetable.Forwarding{TrustedProxies: []string{"127.0.0.0/8"}}}, newRoute(func(r *routetable.Route) {
			r.Sunset = time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)
		})))
	client := upstream.NewClient(upstream.Options{ConnectTo: map[string]string{blueAddress: address}, Now: time.Now})
	log := slog.New(slog.NewJSONHandler(writer{}, nil))
	ours := (&Server{Store: store, Log: log, Handler: NewHandler(HandlerOptions{
		Store: store, Clock: clock, Usage: counters, Upstream: client, Metrics: metrics.New(), Log: log, Lines: writer{}, Now: time.Now, Namespace: "edge-system", Name: "edge",
	})}).callbackServer()

	target := &url.URL{Scheme: "http", Host: address}
	bare := &http.Server{ReadHeaderTimeout: readHeaderTimeout, Handler: &httputil.ReverseProxy{
		Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
			r.Out.Host, r.Out.URL.RawQuery = r.In.Host, r.In.URL.RawQuery
		},
	}}

	cpu := map[string]float64{}
	for _, proxy := range []struct {
		name   string
		server interface {
			Serve(net.Listener) error
			Close() error
		}
	}{{"reverseproxy", bare}, {"callbackproxy", ours}} {
		b.Run(proxy.name, func(b *testing.B) {
			listener := listen(b)
			defer func() { _ = listener.Close() }()
			go func() { _ = proxy.server.Serve(listener) }()
			cpu[proxy.name] = run(b, listener.Addr().String())
		})
		_ = proxy.server.Close()
	}
	if cpu["reverseproxy"] > 0 {
		fmt.Printf("CPU per callback, client and backend included: %.0f us, %.2f times a bare ReverseProxy\n",
			cpu["callbackproxy"], cpu["callbackproxy"]/cpu["reverseproxy"])
	}
}

// run sends callbacks on kept-alive connections and returns the microseconds
// of CPU for each.
func run(b *testing.B, address string) float64 {
	b.Helper()
	b.ReportAllocs()
	before := cpuTime()
	b.RunParallel(func(p *testing.PB) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			b.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		from := bufio.NewReader(conn)
		for p.Next() {
			_, _ = io.WriteString(conn, strings.Replace(callbackBytes, "0AX4XfWh", strconv.FormatInt(codes.Add(1), 10), 1))
			if got := readResponse(from, "GET"); got.status != http.StatusFound {
				b.Errorf("response is %d %v", got.status, got.err)
				return
			}
		}
	})
	perCallback := float64((cpuTime() - before).Microseconds()) / float64(b.N)
	b.ReportMetric(perCallback, "cpu-us/op")
	return perCallback
}

// writer is a log that costs its formatting.
type writer struct{}

func (writer) Write(p []byte) (int, error) { return len(p), nil }

// cpuTime is what this process used so far.
func cpuTime() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

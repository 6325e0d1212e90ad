// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// clock_test.go: a proxy in this process whose wall clock a test moves.

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/callbackproxy/callback-operator/internal/apitime"
	"github.com/callbackproxy/callback-operator/proxy"
	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/health"
	"github.com/callbackproxy/callback-operator/proxy/metrics"
	"github.com/callbackproxy/callback-operator/proxy/source"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
	"github.com/callbackproxy/callback-operator/proxy/usage"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// wall is a wall clock that differs from the machine's, with the machine's
// monotonic clock beside it.
type wall struct{ offset atomic.Int64 }

// now is time.Now on a machine whose wall clock was set. Package time has no
// function for it, so now changes the seconds since 1885 that a Time with a
// monotonic reading has in the bits 30 to 62 of its first word.
func (w *wall) now() time.Time {
	now := time.Now()
	seconds := time.Duration(w.offset.Load()) / time.Second
	*(*uint64)(unsafe.Pointer(&now)) += uint64(int64(seconds)) << 30
	return now
}

func (w *wall) set(offset time.Duration) { w.offset.Store(int64(offset)) }

// clocked is a proxy in this process, assembled as in cmd/proxy, whose wall clock
// and whose second source of time, the Date of the API server's responses, can be
// moved.
type clocked struct {
	wall wall
	// date is what is added to each Date.
	date    atomic.Int64
	clock   *apitime.Clock
	address string // of callbacks
	api     *rest.Config
	log     buffer
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// clocked starts a proxy of the fleet in this process and the pod that stands
// for it.
func (s *system) clocked() *clocked {
	s.t.Helper()
	host, err := s.NextHost()
	s.Expect(err).NotTo(HaveOccurred())
	c := &clocked{address: host + ":8080"}
	log := slog.New(slog.NewJSONHandler(&c.log, nil))
	api, err := clientcmd.BuildConfigFromFlags("", filepath.Join(s.Dir, "proxy.kubeconfig"))
	s.Expect(err).NotTo(HaveOccurred())
	counts, counters := metrics.New(), usage.NewCounters()
	c.clock = apitime.NewClock(c.wall.now, log)
	store := config.NewStore(config.Options{Log: log, Now: c.wall.now, Clock: c.clock, Usage: counters})
	counts.Watch(store, c.clock)
	api.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(r)
			if err == nil {
				if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
					c.clock.Observe(date.Add(time.Duration(c.date.Load())))
				}
			}
			return response, err
		})
	})
	c.api = api
	watch, err := source.NewWatch(api, fleet.Namespace, fleet.Name, store, log)
	s.Expect(err).NotTo(HaveOccurred())
	client := upstream.NewClient(upstream.Options{ConnectTo: s.mapping(), Now: c.wall.now})
	checker := health.NewChecker(health.Options{Upstream: client, Now: c.wall.now})
	store.Subscribe(func(change config.Change) { checker.Set(change.After.Table) })
	server := &proxy.Server{
		Store: store, Clock: c.clock, Usage: counters, Metrics: counts, Log: log, Targets: checker,
		Handler: proxy.NewHandler(proxy.HandlerOptions{
			Store: store, Clock: c.clock, Usage: counters, Upstream: client, Health: checker, Metrics: counts, Log: log, Lines: &c.log, Now: c.wall.now,
			Namespace: fleet.Namespace, Name: fleet.Name,
		}),
	}
	callbacks, err := net.Listen("tcp", c.address)
	s.Expect(err).NotTo(HaveOccurred())
	admin, err := net.Listen("tcp", host+":9090")
	s.Expect(err).NotTo(HaveOccurred())

	ctx, stop := context.WithCancel(s.ctx)
	c.stop = stop
	c.done.Go(func() { watch.Run(ctx) })
	c.done.Go(func() { checker.Run(ctx) })
	c.done.Go(func() { _ = server.Run(ctx, callbacks, admin) })
	<-watch.Synced()
	store.Settle()
	pod, err := fixture.ProxyPod(s.ctx, s.Client, fleet.Namespace, fleet.Name, "edge-clocked", host, 9090)
	s.Expect(err).NotTo(HaveOccurred())
	s.after(func() {
		stop()
		c.done.Wait()
		s.Expect(s.Client.Delete(s.ctx, pod)).To(Succeed())
	})
	return c
}

// readDate sends a request to the API server for its Date, as cmd/proxy does
// when the clock is suspect.
func (c *clocked) readDate(s *system) {
	s.t.Helper()
	client, err := rest.HTTPClientFor(c.api)
	s.Expect(err).NotTo(HaveOccurred())
	response, err := client.Get(c.api.Host + "/version")
	s.Expect(err).NotTo(HaveOccurred())
	_ = response.Body.Close()
}

// mapping returns the flags of ConnectTo as a map.
func (s *system) mapping() map[string]string {
	mapping := map[string]string{}
	for _, flag := range s.ConnectTo() {
		from, to, _ := strings.Cut(strings.TrimPrefix(flag, "--connect-to="), "=")
		mapping[from] = to
	}
	return mapping
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// buffer is a log in memory.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

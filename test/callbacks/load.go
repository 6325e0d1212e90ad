// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package callbacks

// load.go: an open loop of callbacks at a constant rate.

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options configure a Load.
type Options struct {
	// Name is part of each callback's identity; it has letters, digits and
	// dashes only.
	Name string
	// Targets are the proxies (host:port), used in turn.
	Targets []string
	// Host is the header, Path the callback's path.
	Host, Path string
	// DeliveredPath is the path at the backends, where it is another one.
	DeliveredPath string
	// Rate is in requests per second over all targets.
	Rate int
	// Backends are the names of the backends that may receive callbacks.
	Backends []string
	// Accept reports whether a response is the expected one; when nil, status
	// 200 is.
	Accept func(Response) bool
	// Timeout is how long a client waits for a response; 10 s when 0.
	Timeout time.Duration
	// KeepAlive sends every second callback over a connection that is used
	// again. Without it each callback has a connection of its own.
	KeepAlive bool
}

// Load sends callbacks at a constant rate, whatever the responses are and
// however long they take: an open loop, so that a stall costs as many callbacks
// as it would cost users. Each callback has an identity of its own; every
// second one is a POST with a body.
type Load struct {
	o           Options
	prefix      string
	fresh, kept *http.Transport
	began       time.Time
	cancel      context.CancelFunc
	running     sync.WaitGroup
	sent        atomic.Int64
	// isOut reports which targets a load balancer would have taken out.
	isOut atomic.Pointer[func(target int) bool]

	mu        sync.Mutex
	lasted    time.Duration
	responses []Response
}

// Response is one callback and the response that its client saw.
type Response struct {
	request request
	// Target is the index of the target, Fresh whether the connection was new.
	Target     int
	Fresh      bool
	Sent, Done time.Time
	// Status is 0 when there was no whole response; Body is then the reason.
	Status int
	Body   string
}

// Start begins at once.
func Start(o Options) *Load {
	if o.Name == "" {
		o.Name = "callback"
	}
	if o.DeliveredPath == "" {
		o.DeliveredPath = o.Path
	}
	if o.Accept == nil {
		o.Accept = HasStatus(http.StatusOK)
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	ctx, cancel := context.WithCancel(context.Background())
	dialer := &net.Dialer{Timeout: dialTimeout}
	l := &Load{
		o: o, prefix: newPrefix(o.Name), cancel: cancel, began: time.Now(),
		fresh: &http.Transport{DisableKeepAlives: true, DialContext: dialer.DialContext},
		kept:  &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: 20 * time.Second, DialContext: dialer.DialContext},
	}
	l.running.Go(func() { l.run(ctx) })
	return l
}

// HasStatus accepts responses with a status.
func HasStatus(status int) func(Response) bool {
	return func(r Response) bool { return r.Status == status }
}

// run sends on each tick all that is due by then: a process that did not get a
// processor for a moment catches up.
func (l *Load) run(ctx context.Context) {
	ticker := time.NewTicker(time.Second / time.Duration(l.o.Rate))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			due := int64(time.Since(l.began).Seconds() * float64(l.o.Rate))
			for n := l.sent.Load(); n < due; n++ {
				l.running.Go(func() { l.send(int(n)) }) //nolint:contextcheck // a callback that was sent is not canceled
			}
			l.sent.Store(due)
		}
	}
}

// Sent is how many callbacks were sent so far.
func (l *Load) Sent() int { return int(l.sent.Load()) }

// Avoid makes the load check, before each callback, whether a target is out, as
// a load balancer does.
func (l *Load) Avoid(isOut func(target int) bool) { l.isOut.Store(&isOut) }

// Stop ends the sending, waits for the last responses and returns all of them.
// It may be called twice.
func (l *Load) Stop() []Response {
	l.cancel()
	l.running.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lasted == 0 {
		l.lasted = time.Since(l.began)
		l.kept.CloseIdleConnections()
	}
	return slices.Clone(l.responses)
}

func (l *Load) target(n int) int {
	target := n % len(l.o.Targets)
	if isOut := l.isOut.Load(); isOut != nil && (*isOut)(target) {
		target = (target + 1) % len(l.o.Targets)
	}
	return target
}

func (l *Load) send(n int) {
	// Every target gets both methods, also when there are two of them.
	r := Response{request: newRequest(l.prefix, n, l.o.Path), Target: l.target(n / 2), Fresh: true}
	transport := l.fresh
	if l.o.KeepAlive && n%2 == 1 {
		r.Fresh, transport = false, l.kept
	}
	r.Sent = time.Now()
	r.Status, r.Body = exchange(context.Background(), transport, r.request.method, l.o.Targets[r.Target], l.o.Host,
		r.request.path+"?"+r.request.query, r.request.body, l.o.Timeout)
	r.Done = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.responses = append(l.responses, r)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package callbacks

// load.go: an open loop of callbacks at a constant rate.

import (
	"context"
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
	// KeepAlive makes browsers send half of the callbacks, over connections that
	// are used again; fronts send the others, as all without it, over connections
	// of their own. Both send a callback again where Chromium and nginx do.
	KeepAlive bool
	// Warm is a path that browsers request first on each new connection, so that
	// the callback has one that was used before; empty: none.
	Warm string
	// Fields are header lines of every callback, such as "X-Name: value", which
	// must reach the backend as they are and in this order. The backend must be a
	// [Backend].
	Fields []string
	// Provider makes every callback a GET with a SAML response that it signed.
	Provider *Provider
	// InFlight bounds how many callbacks wait for a response: the load is no open
	// loop then. 0: nothing does.
	InFlight int
	// Total is how many callbacks are sent; 0: until the load is stopped.
	Total int
}

// Load sends callbacks at a constant rate, whatever the responses are and
// however long they take: an open loop, so that a stall costs as many callbacks
// as it would cost users. Each callback has an identity of its own; every
// second one is a POST with a body. One that was sent more than once has failed,
// whatever the last response is.
type Load struct {
	o       Options
	prefix  string
	browser *browser
	began   time.Time
	cancel  context.CancelFunc
	running sync.WaitGroup
	// sent counts callbacks that were sent, done those whose client has its outcome.
	sent, done atomic.Int64
	// isOut reports which targets a load balancer would have taken out.
	isOut atomic.Pointer[func(target int) bool]

	mu        sync.Mutex
	lasted    time.Duration
	responses []Response
}

// Response is one callback and the response that its client saw.
type Response struct {
	id, method string
	digests    digests
	// Target is the index of the target, Fresh whether the connection was new.
	Target     int
	Fresh      bool
	Sent, Done time.Time
	// Sendings is how often the client sent it.
	Sendings int
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
	l := &Load{
		o: o, prefix: newPrefix(o.Name), cancel: cancel, began: time.Now(),
		browser: &browser{host: o.Host, warm: o.Warm, idle: map[string][]*link{}},
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
			due := l.due()
			for n := l.sent.Load(); n < due; n++ {
				l.running.Go(func() { l.send(int(n)) })
			}
			l.sent.Store(due)
			if l.o.Total > 0 && due >= int64(l.o.Total) {
				return
			}
		}
	}
}

// due is how many callbacks should have been sent by now.
func (l *Load) due() int64 {
	due := int64(time.Since(l.began).Seconds() * float64(l.o.Rate))
	if l.o.InFlight > 0 {
		due = min(due, l.done.Load()+int64(l.o.InFlight))
	}
	if l.o.Total > 0 {
		due = min(due, int64(l.o.Total))
	}
	return max(due, l.sent.Load())
}

// Wait returns when a load with a Total has sent all callbacks and has their
// outcomes.
func (l *Load) Wait() { l.running.Wait() }

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
		l.browser.close()
	}
	return slices.Clone(l.responses)
}

// targets are those of the n-th callback, in the order in which a front tries
// them. Every target gets both methods, also when there are two of them.
func (l *Load) targets(n int) []int {
	var in, out []int
	isOut := l.isOut.Load()
	for i := range l.o.Targets {
		target := (n/2 + i) % len(l.o.Targets)
		if isOut != nil && (*isOut)(target) {
			out = append(out, target)
			continue
		}
		in = append(in, target)
	}
	return append(in, out...)
}

// isKept reports whether a browser sends the n-th callback.
func (l *Load) isKept(n int) bool { return l.o.KeepAlive && n/(2*len(l.o.Targets))%2 == 1 }

func (l *Load) send(n int) {
	targets := l.targets(n)
	addresses := make([]string, len(targets))
	for i, target := range targets {
		addresses[i] = l.o.Targets[target]
	}
	defer l.done.Add(1)
	sent, err := l.newRequest(n)
	if err != nil {
		panic(err) // the system has no randomness
	}
	r := Response{id: sent.id, method: sent.method, digests: sent.digests(l.o.Host), Target: targets[0], Fresh: !l.isKept(n), Sent: time.Now()}
	deadline := r.Sent.Add(l.o.Timeout)
	var last reply
	if r.Fresh {
		last, r.Sendings = sendByFront(addresses, l.o.Host, sent, deadline)
	} else {
		last, r.Sendings = l.browser.send(addresses[0], sent, deadline)
	}
	r.Status, r.Body = last.status, last.body
	r.Done = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.responses = append(l.responses, r)
}

func (l *Load) newRequest(n int) (r request, err error) {
	if l.o.Provider != nil {
		r, err = newRedirect(l.o.Provider, l.prefix, n, l.o.Path)
	} else {
		r = newRequest(l.prefix, n, l.o.Path)
	}
	r.fields = l.o.Fields
	return r, err
}

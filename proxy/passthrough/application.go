// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package passthrough is a sidecar's way to its application. In: requests that
// cannot mean a callback; out: the same requests, streamed, and the
// application's responses. I/O.
package passthrough

// application.go: the application, and its connections.

import (
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/http1"
	"github.com/callbackproxy/callback-operator/proxy/page"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
)

const (
	// appIdleTimeout is how long a connection to the application waits for the
	// next request. It is less than the defaults of servers (gunicorn 2 s, Node
	// 5 s), so that the application hardly ever closes one that is just being
	// used: such a request is lost, because no request is sent a second time.
	appIdleTimeout = time.Second
	// maxIdle bounds the memory of idle connections.
	maxIdle         = 64
	maxAppHeadBytes = 1 << 20
)

// Options are what an Application needs.
type Options struct {
	// Port is the application's, on this host.
	Port int32
	// Now is the clock of deadlines.
	Now func() time.Time
	// Grace is how long requests may go on after a drain began.
	Grace time.Duration
	// Passed and Failed, when set, are called for each request that is passed,
	// and for each that gets no response.
	Passed, Failed func()
}

// Application is the program behind a sidecar: it gets every request that cannot
// mean a callback, streamed, as it came. No body is read into memory, no request
// is logged, and no time is limited: the application limits how long a request
// may take, as it does without the sidecar.
type Application struct {
	// addresses are tried in this order: some programs listen on one family.
	addresses      []string
	dialer         net.Dialer
	now            func() time.Time
	passed, failed func()
	grace          time.Duration
	inFlight       atomic.Int64

	mu   sync.Mutex
	idle []*appConn // the last one was used last
	// passages are those in flight. After cut no other begins.
	passages map[*passage]struct{}
	cut      bool
}

// New returns the application on a port of this host.
func New(o Options) *Application {
	port := strconv.Itoa(int(o.Port))
	a := &Application{
		addresses: []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)},
		dialer:    net.Dialer{Timeout: upstream.DialBudget},
		now:       o.Now, grace: o.Grace, passed: o.Passed, failed: o.Failed, passages: map[*passage]struct{}{},
	}
	for _, event := range []*func(){&a.passed, &a.failed} {
		if *event == nil {
			*event = func() {}
		}
	}
	return a
}

// Takes reports whether a request is the application's: it cannot mean a
// callback, however its target is read. A request that the gate always refuses
// (CONNECT, a target that is no path) is not. Suffixed are the callbacks that it
// may mean all the same, if its path is read without its end.
func (a *Application) Takes(s *config.Snapshot, x *http1.Exchange) (takes bool, suffixed []routetable.Match) {
	path, query, _ := gate.SplitTarget(x.Target)
	if x.Method == http.MethodConnect || path == "" || path[0] != '/' {
		return false, nil
	}
	host, ok := s.HostOf(&x.Request, s.Trusts(x.Peer.Addr().Unmap().WithZone("")))
	if !ok {
		return false, nil
	}
	if _, declared := s.Matcher.Match(host, path, query); declared {
		return false, nil
	}
	reading := s.Folded.Read(host, path, query)
	return !reading.Callback, reading.Suffixed
}

// InFlight returns how many requests and WebSockets are being passed now.
func (a *Application) InFlight() int64 { return a.inFlight.Load() }

// The pages of a request that got no response. They are of status 502, because
// 503 would be the application's own.
var (
	PageNotPassed = page.Page{
		Title:    "The application cannot be reached",
		Happened: "Your request was not delivered.",
		Reload:   page.Safe, Next: "Try it in a few seconds.",
	}
	pageMalformed = page.Page{
		Title:    "This request is not valid",
		Happened: "Its body could not be read to the end.",
		Reload:   page.Useless, Next: "Go back and try it again.",
	}
	pageNoResponse = page.Page{
		Title:    "The application did not answer",
		Happened: "It is not known whether your request arrived.",
		Reload:   page.Unsafe, Next: "Look whether it took effect before you send it again.",
	}
)

// CutLater ends all streams when the grace is over, WebSockets too. The caller
// stops the timer that it returns.
func (a *Application) CutLater() *time.Timer { return time.AfterFunc(a.grace, a.Cut) }

// Cut ends all streams now, and each that begins later.
func (a *Application) Cut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cut = true
	for p := range a.passages {
		p.cut()
	}
	for _, conn := range a.idle {
		_ = conn.Close()
	}
	a.idle = nil
}

// begin notes a passage, so that it can be cut.
func (a *Application) begin(p *passage) {
	a.inFlight.Add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.passages[p] = struct{}{}
	if a.cut {
		p.cut()
	}
}

func (a *Application) end(p *passage) {
	a.inFlight.Add(-1)
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.passages, p)
}

// appConn is a connection to the application.
type appConn struct {
	net.Conn
	reader *http1.Reader
	// since is when it began to be idle.
	since time.Time
}

func (c *appConn) close() {
	_ = c.Conn.Close()
	c.reader.Release()
}

// connect returns a connection to the application: an idle one that is open and
// silent right now, or a new one. The error is that of the first address.
func (a *Application) connect() (*appConn, error) {
	for conn := a.takeIdle(); conn != nil; conn = a.takeIdle() {
		if a.now().Sub(conn.since) < appIdleTimeout && http1.IsOpen(conn.Conn) {
			return conn, nil
		}
		conn.close()
	}
	var failure error
	for _, address := range a.addresses {
		conn, err := a.dialer.Dial("tcp", address)
		if err == nil {
			return &appConn{Conn: conn, reader: http1.NewReader(conn)}, nil
		}
		if failure == nil {
			failure = err
		}
	}
	return nil, failure
}

func (a *Application) takeIdle() *appConn {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.idle) == 0 {
		return nil
	}
	last := len(a.idle) - 1
	conn := a.idle[last]
	a.idle = a.idle[:last]
	return conn
}

// keep makes a connection idle. It was announced to be kept alive, and nothing of
// a response is left on it.
func (a *Application) keep(conn *appConn) {
	conn.since = a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cut || conn.reader.Buffered() > 0 {
		conn.close()
		return
	}
	if len(a.idle) == maxIdle || len(a.idle) > 0 && conn.since.Sub(a.idle[0].since) >= appIdleTimeout {
		a.idle[0].close()
		a.idle = append(a.idle[:0], a.idle[1:]...)
	}
	a.idle = append(a.idle, conn)
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package passthrough is a sidecar's way to its application. In: requests that
// cannot mean a callback; out: the same requests, streamed, and the
// application's responses. I/O.
package passthrough

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/page"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
)

const (
	// appIdleTimeout is how long a connection to the application waits for the
	// next request. It is less than the defaults of servers (gunicorn 2 s, Node
	// 5 s), so that the application hardly ever closes one that is just being
	// used: such a request is lost, because no request is sent a second time.
	appIdleTimeout = time.Second
	// maxIdle bounds the memory of idle connections.
	maxIdle = 64
	// appContinueTimeout is how long a client that expects 100 Continue waits for
	// the application's before its body is sent anyway.
	appContinueTimeout = time.Second
	maxAppHeadBytes    = 1 << 20
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
	address        string
	proxy          *httputil.ReverseProxy
	now            func() time.Time
	passed, failed func()

	running  sync.WaitGroup
	inFlight atomic.Int64
	cut      context.Context //nolint:containedctx // the life of all streams, not of a call
	cutAll   context.CancelFunc
	grace    time.Duration
}

// New returns the application on a port of this host.
func New(o Options) *Application {
	a := &Application{
		address: net.JoinHostPort("127.0.0.1", strconv.Itoa(int(o.Port))), now: o.Now, grace: o.Grace, passed: o.Passed, failed: o.Failed,
	}
	for _, event := range []*func(){&a.passed, &a.failed} {
		if *event == nil {
			*event = func() {}
		}
	}
	a.cut, a.cutAll = context.WithCancel(context.Background())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: upstream.DialBudget}
	a.proxy = &httputil.ReverseProxy{
		Rewrite:        a.rewrite,
		ModifyResponse: modifyResponse,
		ErrorHandler:   a.respondError,
		FlushInterval:  -1,
		BufferPool:     passBuffers{},
		ErrorLog:       log.New(discard{}, "", 0),
		Transport: &http.Transport{ // no Proxy: the environment does not lead to the application
			// The target of a request never decides what is dialled.
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "tcp", a.address)
			},
			Protocols:              protocols,
			DisableCompression:     true,
			MaxIdleConns:           maxIdle,
			MaxIdleConnsPerHost:    maxIdle,
			IdleConnTimeout:        appIdleTimeout,
			ExpectContinueTimeout:  appContinueTimeout,
			MaxResponseHeaderBytes: maxAppHeadBytes,
		},
	}
	return a
}

// Takes reports whether a request is the application's: it cannot mean a
// callback, however its target is read. A request that the gate always refuses
// (CONNECT, a target that is no path) is not.
func (a *Application) Takes(s *config.Snapshot, r *http.Request) bool {
	path, _, _ := gate.SplitTarget(r.RequestURI)
	if r.Method == http.MethodConnect || path == "" || path[0] != '/' {
		return false
	}
	if strings.HasPrefix(path, "//") && r.URL.EscapedPath() != path {
		return false // it cannot be sent on as it came
	}
	if _, declared := s.Matcher.Match(r.Host, path); declared {
		return false
	}
	return !s.Folded.MayMean(r.Host, path)
}

// InFlight returns how many requests and WebSockets are being passed now.
func (a *Application) InFlight() int64 { return a.inFlight.Load() }

// passage is one request on its way to the application.
type passage struct {
	w        http.ResponseWriter
	client   context.Context //nolint:containedctx // the client's, beside the one of the stream
	snapshot *config.Snapshot
	upload   *upload
}

type passageKey struct{}

// Pass hands a request on and its response back.
func (a *Application) Pass(s *config.Snapshot, w http.ResponseWriter, r *http.Request) {
	a.running.Add(1)
	defer a.running.Done()
	a.passed()
	a.inFlight.Add(1)
	defer a.inFlight.Add(-1)

	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(a.cut, cancel)() //nolint:contextcheck // a second life that ends the first
	p := &passage{w: w, client: r.Context(), snapshot: s}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Time{})
	if isWebSocket(r.Header) {
		w.Header().Del("Connection") // the application's own is sent
	}
	r = r.WithContext(context.WithValue(ctx, passageKey{}, p))
	if r.ContentLength != 0 {
		p.upload = &upload{ReadCloser: r.Body, from: r}
		r.Body = p.upload
		defer func() { p.upload.release(control, a.now()) }()
	}
	a.proxy.ServeHTTP(w, r)
}

// modifyResponse changes the head of a response before the client gets it.
func modifyResponse(response *http.Response) error {
	p := response.Request.Context().Value(passageKey{}).(*passage)
	if _, found := response.Header["Content-Type"]; !found {
		p.w.Header()["Content-Type"] = nil // keeps net/http from guessing one
	}
	if p.upload != nil && !p.upload.ended.Load() {
		// The rest of the body must not be read as the next request. This also keeps
		// net/http from reading it before it sends the response: an application may
		// respond while it reads.
		p.w.Header().Set("Connection", "close")
	}
	if response.Close {
		// An application that is about to stop sends its clients elsewhere with
		// this. A client that stays connected to the sidecar would lose its next
		// request.
		p.w.Header().Set("Connection", "close")
	}
	return nil
}

// The pages of a request that got no response. They are of status 502, because
// 503 would be the application's own.
var (
	PageNotPassed  = page.New("The application cannot be reached", "The request was not delivered.")
	pageNoResponse = page.New("The application did not answer", "It is not known whether the request arrived.")
)

// respondError responds when the application did not. The error is not logged:
// errors of net/http quote what was sent.
func (a *Application) respondError(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Value(passageKey{}).(*passage).client.Err() != nil {
		panic(http.ErrAbortHandler) // the client left
	}
	a.failed()
	w.Header().Set("Connection", "close")
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		page.Write(w, http.StatusBadGateway, PageNotPassed)
		return
	}
	page.Write(w, http.StatusBadGateway, pageNoResponse)
}

// CutLater ends all streams when the grace is over, WebSockets too. The caller
// stops the timer that it returns.
func (a *Application) CutLater() *time.Timer { return time.AfterFunc(a.grace, a.cutAll) }

// Cut ends all streams now.
func (a *Application) Cut() { a.cutAll() }

// Wait returns when no stream is left. No other request may begin.
func (a *Application) Wait() {
	a.running.Wait()
	a.cutAll()
}

const bufferBytes = 32 << 10

var bufferPool = sync.Pool{New: func() any { return new([bufferBytes]byte) }}

// passBuffers lends the buffers of responses.
type passBuffers struct{}

// Get lends one.
func (passBuffers) Get() []byte { return bufferPool.Get().(*[bufferBytes]byte)[:] }

// Put takes one back.
func (passBuffers) Put(b []byte) { bufferPool.Put((*[bufferBytes]byte)(b)) }

// discard is a log that holds nothing.
type discard struct{}

// Write drops a line.
func (discard) Write(p []byte) (int, error) { return len(p), nil }

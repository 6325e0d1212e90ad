// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

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

	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
)

const (
	// appIdleTimeout is how long a connection to the application waits for the
	// next request. It is less than what servers are set to (gunicorn 2 s, Node
	// 5 s), so that the application hardly ever closes one that is just being
	// used: such a request is lost, because nothing is sent a second time.
	appIdleTimeout = time.Second
	// maxIdleToApp bounds the memory of connections that nobody uses.
	maxIdleToApp = 64
	// appContinueTimeout is how long a client that asks for it waits for the
	// application's word before its body is sent all the same.
	appContinueTimeout = time.Second
	maxAppHeadBytes    = 1 << 20
	// streamGrace is how long what is passed may go on after draining began. It
	// ends before exitTimeout, so that a stream without an end is no failure.
	streamGrace = exitTimeout - 3*time.Second
)

// application is the program that a sidecar stands in front of: it gets
// everything that cannot mean a callback, streamed, as it came. Nothing is
// read into memory, nothing is logged, and no time is limited: how long a
// request may take is the application's to say, as it was without the sidecar.
type application struct {
	address string
	proxy   *httputil.ReverseProxy
	metrics *Metrics
	now     func() time.Time
	// callbacks belongs to the table that was served last.
	callbacks atomic.Pointer[callbackIndex]

	passing sync.WaitGroup
	cut     context.Context //nolint:containedctx // the life of all streams, not of a call
	cutAll  context.CancelFunc
	grace   time.Duration
}

// newApplication returns the application on a port of this host, nil for port
// 0.
func newApplication(port int32, metrics *Metrics, now func() time.Time) *application {
	if port == 0 {
		return nil
	}
	a := &application{
		address: net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))), metrics: metrics, now: now, grace: streamGrace,
	}
	a.cut, a.cutAll = context.WithCancel(context.Background())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: upstream.DialBudget}
	a.proxy = &httputil.ReverseProxy{
		Rewrite:        a.rewrite,
		ModifyResponse: a.answered,
		ErrorHandler:   a.failed,
		FlushInterval:  -1,
		BufferPool:     passBuffers{},
		ErrorLog:       log.New(discard{}, "", 0),
		Transport: &http.Transport{ // no Proxy: the environment does not lead to the application
			// Whatever is asked for, this is what is dialled.
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "tcp", a.address)
			},
			Protocols:              protocols,
			DisableCompression:     true,
			MaxIdleConns:           maxIdleToApp,
			MaxIdleConnsPerHost:    maxIdleToApp,
			IdleConnTimeout:        appIdleTimeout,
			ExpectContinueTimeout:  appContinueTimeout,
			MaxResponseHeaderBytes: maxAppHeadBytes,
		},
	}
	return a
}

// takes reports whether a request is the application's: it cannot mean a
// callback, however its target is read. What the gate refuses whatever it
// means (CONNECT, a target that is no path) is not.
func (a *application) takes(s *Snapshot, r *http.Request) bool {
	path, _, _ := gate.SplitTarget(r.RequestURI)
	if r.Method == http.MethodConnect || path == "" || path[0] != '/' {
		return false
	}
	if strings.HasPrefix(path, "//") && r.URL.EscapedPath() != path {
		return false // it cannot be sent on as it came
	}
	index := a.callbacks.Load()
	if index == nil || index.table != s.Table {
		index = newCallbackIndex(s.Table)
		a.callbacks.Store(index)
	}
	return !index.mayMean(r.Host, path)
}

// passage is one request on its way to the application.
type passage struct {
	w        http.ResponseWriter
	client   context.Context //nolint:containedctx // the client's, beside the one of the stream
	snapshot *Snapshot
	upload   *upload
}

type passageKey struct{}

// pass hands a request on and its answer back.
func (a *application) pass(s *Snapshot, w http.ResponseWriter, r *http.Request) {
	a.passing.Add(1)
	defer a.passing.Done()
	a.metrics.passed.Inc()
	a.metrics.passing.Inc()
	defer a.metrics.passing.Dec()

	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(a.cut, cancel)() //nolint:contextcheck // a second life that ends the first
	p := &passage{w: w, client: r.Context(), snapshot: s}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Time{})
	if isWebSocket(r.Header) {
		w.Header().Del("Connection") // what the application says of it is the answer
	}
	r = r.WithContext(context.WithValue(ctx, passageKey{}, p))
	if r.ContentLength != 0 {
		p.upload = &upload{ReadCloser: r.Body, from: r}
		r.Body = p.upload
		defer func() { p.upload.release(control, a.now()) }()
	}
	a.proxy.ServeHTTP(w, r)
}

// answered sees the head of an answer before the client does.
func (a *application) answered(response *http.Response) error {
	p := response.Request.Context().Value(passageKey{}).(*passage)
	if _, found := response.Header["Content-Type"]; !found {
		p.w.Header()["Content-Type"] = nil // keeps net/http from guessing one
	}
	if p.upload != nil && !p.upload.ended.Load() {
		// What is left of the body must not be read as the next request. This also
		// keeps net/http from reading it before it sends the answer: an application
		// may answer while it reads.
		p.w.Header().Set("Connection", "close")
	}
	if response.Close {
		// An application that is about to stop sends its clients elsewhere with
		// this. Who stayed connected to the sidecar would meet nobody behind it.
		p.w.Header().Set("Connection", "close")
	}
	return nil
}

// The pages of a passed request that got no answer. They are of status 502:
// 503 would be the application's own word.
var (
	pageNotPassed = page("The application cannot be reached", "The request was not delivered.")
	pageNoAnswer  = page("The application did not answer", "It is not known whether the request arrived.")
)

// failed answers when the application did not. Nothing is logged: errors of
// net/http quote what was sent.
func (a *application) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Value(passageKey{}).(*passage).client.Err() != nil {
		panic(http.ErrAbortHandler) // nobody is there to be answered
	}
	a.metrics.passFailed.Inc()
	w.Header().Set("Connection", "close")
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		writePage(w, http.StatusBadGateway, pageNotPassed)
		return
	}
	writePage(w, http.StatusBadGateway, pageNoAnswer)
}

// cutLater ends what is still passed when the grace is over, WebSockets too.
// The caller stops the timer that it returns.
func (a *application) cutLater() *time.Timer { return time.AfterFunc(a.grace, a.cutAll) }

// wait returns when nothing is passed any more. No other request may begin.
func (a *application) wait() {
	a.passing.Wait()
	a.cutAll()
}

const passBufferBytes = 32 << 10

var passBufferPool = sync.Pool{New: func() any { return new([passBufferBytes]byte) }}

// passBuffers lends the buffers of passed answers.
type passBuffers struct{}

// Get lends one.
func (passBuffers) Get() []byte { return passBufferPool.Get().(*[passBufferBytes]byte)[:] }

// Put takes one back.
func (passBuffers) Put(b []byte) { passBufferPool.Put((*[passBufferBytes]byte)(b)) }

// discard is a log that holds nothing.
type discard struct{}

// Write drops a line.
func (discard) Write(p []byte) (int, error) { return len(p), nil }

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package interposer is a proxy between a client and a real kube-apiserver that
// makes the faults of networks and busy servers: it delays, trickles, refuses,
// drops and stalls requests, and serves lists of the past. TLS in, TLS out; the
// client's bearer token passes, so RBAC judges the client. It records every
// request, so that a test can count them. I/O only.
package interposer

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// maxBody bounds what is buffered of one request: more than etcd takes.
const maxBody = 8 << 20

// Options configure a Proxy.
type Options struct {
	// Upstream is the API server, such as https://127.0.0.1:6443.
	Upstream string
	// Client is how the API server is verified, Server what clients are shown.
	Client, Server *tls.Config
}

// Proxy is one interposer. Each process gets its own, so that faults and counts
// are per client. Its methods may be called from any goroutine.
type Proxy struct {
	upstream  *url.URL
	transport *http.Transport
	server    *http.Server
	listener  *listener

	rules atomic.Pointer[[]Rule]

	mu      sync.Mutex
	calls   []*Call
	watches map[context.Context]context.CancelFunc
}

// Start listens on a free port of 127.0.0.1. Without rules everything passes.
func Start(ctx context.Context, o Options) (*Proxy, error) {
	upstream, err := url.Parse(o.Upstream)
	if err != nil {
		return nil, fmt.Errorf("parse upstream: %w", err)
	}
	raw, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for API clients: %w", err)
	}
	p := &Proxy{
		upstream:  upstream,
		transport: &http.Transport{TLSClientConfig: o.Client, ForceAttemptHTTP2: true, DisableCompression: true},
		listener:  &listener{Listener: raw, conns: map[*conn]struct{}{}},
		watches:   map[context.Context]context.CancelFunc{},
	}
	p.rules.Store(&[]Rule{})
	p.server = &http.Server{Handler: p, TLSConfig: o.Server, ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet()}
	go func() { _ = p.server.ServeTLS(p.listener, "", "") }()
	return p, nil
}

// URL is where clients connect to.
func (p *Proxy) URL() string { return "https://" + p.listener.Addr().String() }

// Close ends the server and all connections.
func (p *Proxy) Close() error {
	err := p.server.Close()
	p.transport.CloseIdleConnections()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close interposer: %w", err)
	}
	return nil
}

// Set replaces all rules. Answers that flow already obey the new ones too.
func (p *Proxy) Set(rules ...Rule) { p.rules.Store(&rules) }

// Clear removes all rules.
func (p *Proxy) Clear() { p.Set() }

// CutWatches ends all watches that are open, in the middle of what they say.
func (p *Proxy) CutWatches() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, cut := range p.watches {
		cut()
	}
}

// Freeze makes every connection that is open a black hole: it stays open, and
// nothing comes through any more in either direction. New connections work.
func (p *Proxy) Freeze() { p.listener.freeze() }

// ServeHTTP does to one request what the rules say.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	call := p.begin(r, body)
	now := p.rules.Load()
	rules := chosen(*now, *call)
	ctx := r.Context()
	for _, rule := range rules {
		// A fault that is over does not delay any more.
		for end := call.At.Add(rule.Delay); time.Now().Before(end) && p.rules.Load() == now; {
			if !wait(ctx, min(tick, time.Until(end))) {
				panic(http.ErrAbortHandler)
			}
		}
	}
	for _, rule := range rules {
		if rule.Refuse != nil {
			p.answered(call, rule.Refuse(w, *call))
			return
		}
	}
	if call.Verb == Watch {
		p.watch(w, r, call, rules)
		return
	}
	p.forward(ctx, w, r, call, body, rules)
}

// forward sends a request on and copies its answer.
func (p *Proxy) forward(ctx context.Context, w http.ResponseWriter, r *http.Request, call *Call, body []byte, rules []*Rule) {
	for _, rule := range rules {
		if rule.Before != nil && !rule.Before(*call) {
			panic(http.ErrAbortHandler)
		}
	}
	p.forwarded(call)
	response, err := p.transport.RoundTrip(p.outgoing(ctx, r, body, rules))
	if err != nil {
		// As without an interposer: the client's connection ends.
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = response.Body.Close() }()
	for _, rule := range rules {
		if rule.After != nil && !rule.After(*call) {
			panic(http.ErrAbortHandler)
		}
	}
	p.answered(call, response.StatusCode)
	copyHeader(w.Header(), response.Header)
	w.WriteHeader(response.StatusCode)
	if !p.stream(ctx, w, response.Body, call) {
		panic(http.ErrAbortHandler)
	}
}

// watch forwards a watch, whose end is then ours to choose.
func (p *Proxy) watch(w http.ResponseWriter, r *http.Request, call *Call, rules []*Rule) {
	ctx, cut := context.WithCancel(r.Context())
	defer cut()
	p.mu.Lock()
	p.watches[ctx] = cut
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.watches, ctx)
		p.mu.Unlock()
	}()
	for _, rule := range rules {
		if rule.CutAfter > 0 {
			defer time.AfterFunc(rule.CutAfter, cut).Stop()
		}
	}
	p.forward(ctx, w, r, call, nil, rules)
}

func (p *Proxy) outgoing(ctx context.Context, r *http.Request, body []byte, rules []*Rule) *http.Request {
	out := r.Clone(ctx)
	out.URL.Scheme, out.URL.Host = p.upstream.Scheme, p.upstream.Host
	out.Host, out.RequestURI = "", ""
	out.Body, out.ContentLength = http.NoBody, int64(len(body))
	if len(body) > 0 {
		out.Body = io.NopCloser(bytes.NewReader(body))
	}
	for _, rule := range rules {
		if rule.ListAt != nil {
			listAt(out.URL, rule.ListAt())
		}
	}
	return out
}

// listAt makes a list one of the past.
func listAt(u *url.URL, resourceVersion string) {
	query := u.Query()
	query.Set("resourceVersion", resourceVersion)
	query.Set("resourceVersionMatch", "Exact")
	u.RawQuery = query.Encode()
}

func copyHeader(to, from http.Header) {
	for name, values := range from {
		if name != "Content-Length" { // the pace of the body is ours
			to[name] = values
		}
	}
}

// wait waits for a duration or the end of ctx, and says whether it was the
// former.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

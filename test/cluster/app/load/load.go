// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package load sends callbacks at a constant rate, whatever is answered, each
// with a state of its own, and then compares what it saw with what the
// backends recorded. It knows Services only, so it works without an API server.
package load

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/callbackproxy/callback-operator/test/cluster/app/record"
)

// patience is for one request.
const patience = 10 * time.Second

// Options say what is sent where.
type Options struct {
	Name string
	// Target is host:port, of a Service; Host is the header.
	Target, Host, Path string
	// Rate is in requests per second.
	Rate int
	// Backends are host:port by name: all that may be recorded at. Without
	// any, only answers are judged.
	Backends map[string]string
	// Expected are the names of those that are to get callbacks; all of
	// Backends when there is none.
	Expected []string
}

// Load is one that runs.
type Load struct {
	options Options
	address string
	prefix  string
	fresh   *http.Transport
	kept    *http.Transport

	running sync.WaitGroup
	mu      sync.Mutex
	answers []answer
}

// New looks the target up. Each request of a load is then sent to that
// address, as by a client whose resolver has a cache.
func New(ctx context.Context, o Options) (*Load, error) {
	address, err := lookUp(ctx, o.Target)
	if err != nil {
		return nil, err
	}
	l := &Load{options: o, address: address, prefix: record.StatePrefix + o.Name + "-" + rand.Text()[:8] + "-"}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	l.fresh = &http.Transport{DisableKeepAlives: true, DialContext: dialer.DialContext}
	l.kept = &http.Transport{MaxIdleConnsPerHost: 16, DialContext: dialer.DialContext, IdleConnTimeout: 20 * time.Second}
	return l, nil
}

// lookUp returns address:port of host:port.
func lookUp(ctx context.Context, target string) (string, error) {
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return "", fmt.Errorf("read the target: %w", err)
	}
	for {
		found, err := net.DefaultResolver.LookupHost(ctx, host)
		if err == nil && len(found) > 0 {
			return net.JoinHostPort(found[0], port), nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("look the target up: %w", err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// Run sends until ctx ends, waits for the last answers and judges.
func (l *Load) Run(ctx context.Context) Outcome {
	began := time.Now()
	// One tick is for all that is due by then: a process that was not let run
	// for a moment catches up.
	ticker := time.NewTicker(time.Second / time.Duration(l.options.Rate))
	defer ticker.Stop()
	sent := 0
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C:
			for due := int(time.Since(began).Seconds() * float64(l.options.Rate)); sent < due; sent++ {
				n := sent
				l.running.Go(func() { l.send(context.WithoutCancel(ctx), n) })
			}
		}
	}
	seconds := time.Since(began).Seconds()
	l.running.Wait()
	outcome := l.judge(context.WithoutCancel(ctx))
	outcome.Name, outcome.Seconds = l.options.Name, seconds
	return outcome
}

// send makes one request. Even ones are a GET over a connection of its own;
// odd ones a form_post over a kept connection. Neither is ever repeated by the
// client: a GET has a fresh connection, and a body that cannot be rewound
// cannot be sent twice.
func (l *Load) send(ctx context.Context, n int) {
	a := answer{state: fmt.Sprintf("%s%06d", l.prefix, n), fresh: n%2 == 0, sent: time.Now()}
	form := url.Values{"code": {"c" + rand.Text()}, "state": {a.state}, "iss": {"http://provider.test"}}.Encode()
	method, query, body, transport := http.MethodGet, form, "", l.fresh
	if !a.fresh {
		method, query, body, transport = http.MethodPost, "", form, l.kept
	}
	a.sum = record.Sum(method, query, []byte(body))
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a.status, a.backend, a.err = l.exchange(ctx, transport, method, query, body)
	a.took = time.Since(a.sent)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = append(l.answers, a)
}

// exchange goes by RoundTrip: the errors of a client hold the URL.
func (l *Load) exchange(ctx context.Context, transport *http.Transport, method, query, body string) (status int, backend, said string) {
	target := url.URL{Scheme: "http", Host: l.address, Path: l.options.Path, RawQuery: query}
	request, err := http.NewRequestWithContext(ctx, method, target.String(), http.NoBody)
	if err != nil {
		return 0, "", "the request is not valid"
	}
	request.Host = l.options.Host
	if body != "" {
		request.Body, request.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, "", err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return 0, "", "the answer ended early: " + err.Error()
	}
	var page record.Page
	if response.StatusCode == http.StatusOK {
		_ = json.Unmarshal(content, &page) // the application's pages name nobody
		return response.StatusCode, page.Backend, ""
	}
	// The pages of the proxy and of the backends are constants.
	return response.StatusCode, "", fmt.Sprintf("%.80q", content)
}

func (l *Load) judge(ctx context.Context) Outcome {
	l.mu.Lock()
	answers := l.answers
	l.mu.Unlock()
	var records []record.Deliveries
	var names []string
	var failures []error
	for name, target := range l.options.Backends {
		names = append(names, name)
		r, err := l.read(ctx, target)
		if err == nil && r.Backend != name {
			err = fmt.Errorf("it calls itself %s", r.Backend)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("read the record of %s: %w", name, err))
			continue
		}
		records = append(records, r)
	}
	if len(l.options.Expected) > 0 {
		names = l.options.Expected
	}
	outcome := judge(answers, records, names)
	if err := errors.Join(failures...); err != nil {
		outcome.Error = err.Error()
	}
	return outcome
}

// read gets the record of one backend; a few times if need be, as what was just
// tried may still concern it.
func (l *Load) read(ctx context.Context, target string) (record.Deliveries, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		r, err := l.readOnce(ctx, target)
		if err == nil {
			return r, nil
		}
		select {
		case <-ctx.Done():
			return r, err
		case <-time.After(time.Second):
		}
	}
}

func (l *Load) readOnce(ctx context.Context, target string) (r record.Deliveries, err error) {
	address := url.URL{Scheme: "http", Host: target, Path: record.Path, RawQuery: url.Values{"prefix": {l.prefix}}.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), http.NoBody)
	if err != nil {
		return r, fmt.Errorf("make the request: %w", err)
	}
	response, err := l.fresh.RoundTrip(request)
	if err != nil {
		return r, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return r, fmt.Errorf("the status is %d", response.StatusCode)
	}
	if err := json.NewDecoder(response.Body).Decode(&r); err != nil {
		return r, fmt.Errorf("decode the record: %w", err)
	}
	return r, nil
}

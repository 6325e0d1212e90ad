// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"

	"github.com/callbackproxy/callback-operator/cmd/internal/kubeapi"
)

const (
	// freshness is how long an answer may have been under way: its Date is as
	// old as its first byte.
	freshness = 30 * time.Second
	// How often it is looked whether the API server must be asked for the time,
	// and how old its last word may be while nothing is suspect.
	confirmEvery = 10 * time.Second
	confirmAfter = time.Hour
	// askTimeout bounds one question, and maxAnswerBytes what is read of it.
	askTimeout     = 5 * time.Second
	maxAnswerBytes = 64 << 10
)

// judge is the clock that learns from the API server.
type judge interface {
	Heard(date time.Time)
	Suspect() bool
}

// witness makes the API server the second source of time: it reads the Date of
// each answer. What protects the answers protects the time.
type witness struct {
	judge judge
	now   func() time.Time // with a monotonic reading
	begin time.Time
	heard atomic.Int64 // when a date was heard last, in nanoseconds after begin
}

func newWitness(j judge, now func() time.Time) *witness {
	w := &witness{judge: j, now: now, begin: now()}
	w.heard.Store(-int64(confirmAfter))
	return w
}

// wrap returns a transport that tells the witness.
func (w *witness) wrap(next http.RoundTripper) http.RoundTripper {
	return kubeapi.RoundTripper(func(r *http.Request) (*http.Response, error) {
		sent := w.now()
		response, err := next.RoundTrip(r)
		if err == nil && w.now().Sub(sent) <= freshness {
			w.read(response.Header)
		}
		return response, err
	})
}

func (w *witness) read(header http.Header) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return // absent, or not a date: the next answer will do
	}
	w.heard.Store(int64(w.now().Sub(w.begin)))
	w.judge.Heard(date)
}

// confirm asks the API server for the time when the clock is suspect, and when
// nothing was heard for long: a watch has one Date, at its start.
func (w *witness) confirm(ctx context.Context, ask func(context.Context)) {
	ticker := time.NewTicker(confirmEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		silent := w.now().Sub(w.begin) - time.Duration(w.heard.Load())
		if !w.judge.Suspect() && silent < confirmAfter {
			continue
		}
		ask(ctx)
	}
}

// newAsk returns the cheapest question to the API server. Its version needs no
// permission and nothing that it stores; a refusal has a Date as well. That it
// cannot be reached is said by who watches it.
func newAsk(config *rest.Config) (func(context.Context), error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("build client that asks for the time: %w", err)
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("read API server's address: %w", err)
	}
	target := base.JoinPath("version").String()
	return func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
		if err != nil {
			return
		}
		response, err := client.Do(request)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswerBytes)) // so that the connection can be used again
		_ = response.Body.Close()
	}, nil
}

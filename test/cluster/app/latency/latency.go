// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package latency compares two ways to one server: the same requests at the
// same rate, in turns, over kept connections. A disturbance of the machine affects
// both.
package latency

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Options are what is compared.
type Options struct {
	// Direct and Through are http://host:port; Host is the header.
	Direct, Through, Host, Path string
	// Rate is in requests per second on each way.
	Rate int
	For  time.Duration
}

// Way is what one way was like.
type Way struct {
	Requests int     `json:"requests"`
	Failed   int     `json:"failed"`
	P50      float64 `json:"p50Millis"`
	P99      float64 `json:"p99Millis"`
}

// Comparison is what both were like.
type Comparison struct {
	// Whole is about all requests.
	Whole Pair `json:"whole"`
	// Quietest is about that part of the time, of windows many, in which the
	// direct way had the lowest p99: where the machine did little else.
	Quietest Pair `json:"quietest"`
}

// Pair is what both ways were like in the same time.
type Pair struct {
	Direct  Way `json:"direct"`
	Through Way `json:"through"`
}

// AddedP50 is in milliseconds.
func (p Pair) AddedP50() float64 { return p.Through.P50 - p.Direct.P50 }

// AddedP99 is in milliseconds.
func (p Pair) AddedP99() float64 { return p.Through.P99 - p.Direct.P99 }

// windows is how many parts a comparison has.
const windows = 6

type way struct {
	base      string
	transport *http.Transport

	mu     sync.Mutex
	took   [windows][]time.Duration
	failed [windows]int
}

// Compare sends for the duration in the options.
func Compare(ctx context.Context, o Options) (Comparison, error) {
	ways := []*way{newWay(o.Direct), newWay(o.Through)}
	for _, w := range ways { // connections, caches
		for range 20 {
			w.send(ctx, o, 0)
		}
		if w.failed[0] > 0 {
			return Comparison{}, errors.New("compare: a way leads nowhere")
		}
		w.took[0] = nil
	}
	ticker := time.NewTicker(time.Second / time.Duration(2*o.Rate))
	defer ticker.Stop()
	var running sync.WaitGroup
	all := int(o.For.Seconds() * float64(2*o.Rate))
	for i := range all {
		select {
		case <-ctx.Done():
			return Comparison{}, fmt.Errorf("compare: %w", ctx.Err())
		case <-ticker.C:
			running.Go(func() { ways[i%2].send(ctx, o, i*windows/all) })
		}
	}
	running.Wait()
	c := Comparison{Whole: pair(ways, 0, windows), Quietest: pair(ways, 0, 1)}
	for i := 1; i < windows; i++ {
		if p := pair(ways, i, i+1); p.Direct.P99 < c.Quietest.Direct.P99 {
			c.Quietest = p
		}
	}
	return c, nil
}

func pair(ways []*way, from, to int) Pair {
	return Pair{Direct: ways[0].sum(from, to), Through: ways[1].sum(from, to)}
}

func newWay(base string) *way {
	return &way{base: base, transport: &http.Transport{
		MaxIdleConnsPerHost: 32,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
	}}
}

func (w *way) send(ctx context.Context, o Options, window int) {
	began := time.Now()
	ok := w.exchange(ctx, o)
	took := time.Since(began)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !ok {
		w.failed[window]++
		return
	}
	w.took[window] = append(w.took[window], took)
}

func (w *way) exchange(ctx context.Context, o Options) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+o.Path, http.NoBody)
	if err != nil {
		return false
	}
	request.Host = o.Host
	response, err := w.transport.RoundTrip(request)
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil && response.StatusCode == http.StatusOK
}

// sum is about the windows from, up to and without to.
func (w *way) sum(from, to int) Way {
	took := slices.Concat(w.took[from:to]...)
	slices.Sort(took)
	at := func(percent int) float64 {
		if len(took) == 0 {
			return 0
		}
		return float64(took[min(len(took)-1, len(took)*percent/100)].Microseconds()) / 1000
	}
	failed := 0
	for _, n := range w.failed[from:to] {
		failed += n
	}
	return Way{Requests: len(took) + failed, Failed: failed, P50: at(50), P99: at(99)}
}

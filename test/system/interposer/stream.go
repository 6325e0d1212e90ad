// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package interposer

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// tick is how soon a stream obeys rules that changed.
	tick = 20 * time.Millisecond
	// readAhead is how many parts of an answer wait for a slow client; a watch
	// that lags by half a minute stays far below.
	readAhead = 1 << 14
)

// piece is a part of an answer's body as it came from the API server.
type piece struct {
	at   time.Time
	data []byte
	err  error // the last one's; io.EOF at a regular end
}

// flow is what the rules of the moment say about an answer that flows.
type flow struct {
	rate  int
	lag   time.Duration
	stall bool
}

func (p *Proxy) flow(call *Call) flow {
	var f flow
	for _, rule := range *p.rules.Load() {
		if rule.matches(*call) {
			f.rate = max(f.rate, rule.Rate)
			f.lag = max(f.lag, rule.Lag)
			f.stall = f.stall || rule.Stall
		}
	}
	return f
}

// stream copies an answer's body as the rules say, and tells whether it came
// to its regular end.
func (p *Proxy) stream(ctx context.Context, w http.ResponseWriter, from io.Reader, call *Call) bool {
	controller := http.NewResponseController(w)
	if controller.Flush() != nil {
		return false
	}
	pieces := make(chan piece, readAhead)
	go read(ctx, from, pieces)
	for {
		var next piece
		select {
		case next = <-pieces:
		case <-ctx.Done():
			return false
		}
		if !p.hold(ctx, call, next.at) {
			return false
		}
		if next.err != nil {
			return errors.Is(next.err, io.EOF)
		}
		if !p.write(ctx, w, controller, call, next.data) {
			return false
		}
	}
}

// read reads pieces until there are no more. ctx also ends from, so that a
// read does not outlive its stream.
func read(ctx context.Context, from io.Reader, pieces chan<- piece) {
	for {
		buffer := make([]byte, 32<<10)
		n, err := from.Read(buffer)
		if n > 0 {
			select {
			case pieces <- piece{at: time.Now(), data: buffer[:n]}:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			select {
			case pieces <- piece{at: time.Now(), err: err}:
			case <-ctx.Done():
			}
			return
		}
	}
}

// hold waits as long as a piece that came at a time must not go on.
func (p *Proxy) hold(ctx context.Context, call *Call, at time.Time) bool {
	for {
		f := p.flow(call)
		if !f.stall && time.Since(at) >= f.lag {
			return true
		}
		if !wait(ctx, tick) {
			return false
		}
	}
}

// write sends data on at the pace of the moment.
func (p *Proxy) write(ctx context.Context, w io.Writer, controller *http.ResponseController, call *Call, data []byte) bool {
	for len(data) > 0 {
		n := len(data)
		if rate := p.flow(call).rate; rate > 0 {
			n = min(n, max(1, rate/10))
			if !wait(ctx, time.Second*time.Duration(n)/time.Duration(rate)) {
				return false
			}
		}
		if _, err := w.Write(data[:n]); err != nil || controller.Flush() != nil {
			return false
		}
		data = data[n:]
	}
	return true
}

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// refusal.go: the log lines of requests that belong to no route.

import (
	"cmp"
	"sync"
	"time"
)

// refusalPause is the time between two log lines of refusals for the same reason.
const refusalPause = 10 * time.Second

// logLimit lets one line for each reason through in refusalPause. The reasons are
// constants of this program, so their number is bounded. The zero value is ready.
type logLimit struct {
	mu    sync.Mutex
	lines map[string]limitedLine
}

type limitedLine struct {
	last    time.Time
	skipped int
}

// allow reports whether a line is written now, and how many were left out since
// the last one.
func (l *logLimit) allow(reason string, now time.Time) (skipped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line, known := l.lines[reason]
	if known && now.Sub(line.last) < refusalPause {
		line.skipped++
		l.lines[reason] = line
		return 0, false
	}
	if l.lines == nil {
		l.lines = map[string]limitedLine{}
	}
	l.lines[reason] = limitedLine{last: now}
	return line.skipped, true
}

// logRefusal logs a request that belongs to no route: who sent it and why it was
// refused, and nothing of what it said.
func (x *exchange) logRefusal() {
	reason := cmp.Or(x.refusal, string(x.outcome))
	skipped, ok := x.h.refusals.allow(reason, x.start)
	if !ok {
		return
	}
	x.h.log.Info("request refused", "peer", x.peer(), "reason", reason, "status", x.status, "skipped", skipped)
}

// peer returns the address that a request came from.
func (x *exchange) peer() string { return x.c.Peer.Addr().Unmap().WithZone("").String() }

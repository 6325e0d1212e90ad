// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package apitime judges the time by which sunsets pass. In: the clocks of this
// machine and the Date header of the API server's responses; out: the time, and
// whether the sources contradict each other. Manager and proxy use the same
// code, so both judge alike. I/O.
package apitime

import (
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/sunset"
)

// Clock is the time by which sunsets are judged: the local clocks as
// sunset.Clock judges them. Reads never block.
type Clock struct {
	read  func() sunset.Reading
	log   *slog.Logger
	judge atomic.Pointer[sunset.Clock]

	updates       sync.Mutex // one update at a time
	loggedSuspect bool       // the state that was logged last
}

// NewClock returns a Clock over now, which must carry a monotonic reading, as
// time.Now does. A nil log discards.
func NewClock(now func() time.Time, log *slog.Logger) *Clock {
	begin := now()
	return NewClockFrom(func() sunset.Reading {
		t := now()
		return sunset.Reading{Wall: t.Round(0), Elapsed: t.Sub(begin)}
	}, log)
}

// NewClockFrom returns a Clock over two clocks that are read at once.
func NewClockFrom(read func() sunset.Reading, log *slog.Logger) *Clock {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Clock{read: read, log: log}
	start := sunset.NewClock(read())
	c.judge.Store(&start)
	return c
}

// Now returns the time by which sunsets are judged. It carries no monotonic
// reading and is for no durations.
func (c *Clock) Now() time.Time { return c.Judgement().Now }

// Since returns the time since t by the same judgement.
func (c *Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// Suspect reports whether the sources of time contradict each other.
func (c *Clock) Suspect() bool { return c.Judgement().Suspect }

// Judgement returns the time together with how certain it is.
func (c *Clock) Judgement() sunset.Judgement { return c.judge.Load().At(c.read()) }

// Observe takes the time of the second source, the API server. It must be
// fresh.
func (c *Clock) Observe(date time.Time) {
	c.update(func(judge sunset.Clock, r sunset.Reading) sunset.Clock { return judge.Observe(r, date) })
}

// NotBefore takes a time that has passed for certain.
func (c *Clock) NotBefore(floor time.Time) {
	c.update(func(judge sunset.Clock, r sunset.Reading) sunset.Clock { return judge.NotBefore(r, floor) })
}

func (c *Clock) update(next func(sunset.Clock, sunset.Reading) sunset.Clock) {
	c.updates.Lock()
	defer c.updates.Unlock()
	judge := next(*c.judge.Load(), c.read())
	c.judge.Store(&judge)
	c.logTransition()
}

// LogTransition logs that the clock became suspect, or is trusted again, once
// for each transition. A clock becomes suspect without an update too, so the
// caller calls it from time to time.
func (c *Clock) LogTransition() {
	c.updates.Lock()
	defer c.updates.Unlock()
	c.logTransition()
}

// logTransition requires the lock.
func (c *Clock) logTransition() {
	reading := c.read()
	judgement := c.judge.Load().At(reading)
	if judgement.Suspect == c.loggedSuspect {
		return
	}
	c.loggedSuspect = judgement.Suspect
	if judgement.Suspect {
		c.log.Warn("clock is suspect: sunsets are judged by the time that was last agreed on",
			"wall", reading.Wall.UTC(), "judged", judgement.Now.UTC())
	} else {
		c.log.Info("clock is trusted again", "wall", reading.Wall.UTC())
	}
}

// Wrap returns a transport to the API server that passes the Date of each
// fresh response to the clock.
func (c *Clock) Wrap(next http.RoundTripper) http.RoundTripper {
	return NewReader(c, c.elapsed).Wrap(next)
}

// elapsed is the monotonic clock.
func (c *Clock) elapsed() time.Duration { return c.read().Elapsed }

// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
)

// Clock is the time by which sunsets are judged: the local clocks as
// sunset.Clock judges them. Readers never wait.
type Clock struct {
	read  func() sunset.Reading
	log   *slog.Logger
	judge atomic.Pointer[sunset.Clock]

	learning sync.Mutex // one thing at a time is learned
	said     bool       // what was logged last: suspect or not
}

func newClock(read func() sunset.Reading, log *slog.Logger) *Clock {
	c := &Clock{read: read, log: log}
	start := sunset.NewClock(read())
	c.judge.Store(&start)
	return c
}

// Now returns the time by which sunsets are judged. It carries no monotonic
// reading and is for no durations.
func (c *Clock) Now() time.Time { return c.judgement().Now }

// Suspect reports whether the sources of time contradict each other.
func (c *Clock) Suspect() bool { return c.judgement().Suspect }

// Heard learns what time it is by a second source, of which the word is fresh.
func (c *Clock) Heard(date time.Time) {
	c.learn(func(judge sunset.Clock, r sunset.Reading) sunset.Clock { return judge.Heard(r, date) })
}

// notBefore learns that a time has passed.
func (c *Clock) notBefore(floor time.Time) {
	c.learn(func(judge sunset.Clock, r sunset.Reading) sunset.Clock { return judge.NotBefore(r, floor) })
}

func (c *Clock) judgement() sunset.Judgement { return c.judge.Load().At(c.read()) }

func (c *Clock) learn(by func(sunset.Clock, sunset.Reading) sunset.Clock) {
	c.learning.Lock()
	defer c.learning.Unlock()
	next := by(*c.judge.Load(), c.read())
	c.judge.Store(&next)
	c.say()
}

// watch says when the clock became suspect, also when nobody asks.
func (c *Clock) watch() {
	c.learning.Lock()
	defer c.learning.Unlock()
	c.say()
}

// say logs a change once. The lock is held.
func (c *Clock) say() {
	reading := c.read()
	judgement := c.judge.Load().At(reading)
	if judgement.Suspect == c.said {
		return
	}
	c.said = judgement.Suspect
	if judgement.Suspect {
		c.log.Warn("clock is suspect: sunsets are judged by what time it should be",
			"wall", reading.Wall.UTC(), "judged", judgement.Now.UTC())
	} else {
		c.log.Info("clock is trusted again", "wall", reading.Wall.UTC())
	}
}

// sweepEvery is how long after its sunset a route that nobody asks for is
// closed for good at the latest.
const sweepEvery = time.Second

// keepTime closes routes at their sunset until ctx is cancelled, whether or
// not somebody asks for them: what was seen closed must not depend on traffic
// when the clock is set back later.
func (s *State) keepTime(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		s.clock.watch()
		s.sweep()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *State) sweep() {
	current := s.Current()
	if current == nil {
		return
	}
	judgement := s.clock.judgement()
	turned := false
	for route, record := range current.records {
		closed := record.latch.isClosed(route, judgement)
		turned = turned || closed != record.swept
		record.swept = closed
	}
	if turned && s.OnTurn != nil {
		s.offers.Lock()
		defer s.offers.Unlock()
		s.OnTurn()
	}
}

// IsClosed reports whether a route of the config that is served has ended. One
// of another config has not.
func (s *State) IsClosed(r *routetable.Route) bool {
	current := s.Current()
	if current == nil {
		return false
	}
	record := current.records[r]
	return record != nil && record.latch.isClosed(r, s.clock.judgement())
}

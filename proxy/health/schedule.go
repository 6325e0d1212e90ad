// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package health

// schedule.go: when targets are probed, and how many at once.

import (
	"context"
	"time"
)

// The lanes. Slow targets have a lane of their own, so that no number of them
// delays the others, and so have new ones, whose speed is not known yet.
const (
	fresh = iota
	quick
	slow
	lanes

	// slots is how many probes of a lane run at once.
	slots = 64
	// slowAfter is how long a probe of a quick target takes at most.
	slowAfter = time.Second
)

// lane hands out its slots in the order in which targets become due. A target
// that waits, for its time or for a slot, has no goroutine.
type lane struct {
	free    int
	waiting []*target
}

// Run probes the targets until ctx is cancelled, and returns when the last
// probe has ended.
func (c *Checker) Run(ctx context.Context) {
	c.mu.Lock()
	c.running = ctx
	for _, t := range *c.targets.Load() {
		c.scheduleFirst(t)
	}
	c.mu.Unlock()
	<-ctx.Done()
	c.mu.Lock()
	for _, t := range *c.targets.Load() {
		t.unschedule()
	}
	c.mu.Unlock()
	c.probes.Wait()
}

// scheduleFirst spreads the first probes of new targets. It requires mu.
func (c *Checker) scheduleFirst(t *target) {
	if t.probe != nil && c.running != nil {
		c.schedule(t, time.Duration(c.random()*float64(min(t.probe.every(), firstWithin))))
	}
}

// schedule makes a target due after that time. It requires mu.
func (c *Checker) schedule(t *target, after time.Duration) {
	t.unschedule()
	t.due = c.elapsed() + after
	turn := t.turn
	t.timer = time.AfterFunc(after, func() { c.runDue(t, turn) })
}

// unschedule requires mu. A timer that has fired finds that the turn is over.
func (t *target) unschedule() {
	t.turn++
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}

// runDue probes a target that is due, and then those that wait for the slot. A
// state without a probe expires instead.
func (c *Checker) runDue(t *target, turn uint32) {
	if c.begin(t, turn) {
		defer c.probes.Done()
		for t != nil {
			t = c.runProbe(t)
		}
	}
}

// begin takes a slot for a target that is due, or queues the target.
func (c *Checker) begin(t *target, turn uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.gone || t.turn != turn {
		return false
	}
	t.timer = nil
	if t.probe == nil {
		t.dialFails.Store(0)
		c.setFinding(t, unmeasured)
		return false
	}
	if c.running.Err() != nil {
		return false
	}
	l := &c.lanes[t.lane]
	if l.free == 0 {
		l.waiting = append(l.waiting, t)
		return false
	}
	l.free--
	c.probes.Add(1)
	return true
}

// runProbe probes a target and returns the next one that waits for the slot; nil
// when there is none: then the slot is free.
func (c *Checker) runProbe(t *target) (next *target) {
	start := c.elapsed()
	found := c.run(c.running, t.probe)
	took := c.elapsed() - start
	ended := c.running.Err() != nil
	if c.probed != nil && !ended {
		c.probed(t.probe.kind(), found.String())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.lanes[t.lane]
	if !t.gone && !ended {
		t.lane = quick
		if took > slowAfter {
			t.lane = slow
		}
		c.setFinding(t, t.apply(found))
		c.schedule(t, c.jittered(t.interval()))
	}
	for len(l.waiting) > 0 && !ended {
		next, l.waiting = l.waiting[0], l.waiting[1:]
		if !next.gone {
			return next
		}
	}
	l.free++
	return nil
}

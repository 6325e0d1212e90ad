// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// The lanes. Targets that take their time have one of their own, so that no
// number of them keeps the others waiting, and so have those that are new, of
// which nobody knows yet. What is only remembered for a while waits for nobody.
const (
	fresh = iota
	quick
	slow
	remembered
	lanes

	// slots is how many looks of a lane are under way at most.
	slots = 64
	// slowAfter is how long a look at a quick target takes at most.
	slowAfter = time.Second
)

// lane is a queue of targets and the slots in which they are looked at. There
// is no goroutine for a target that waits.
type lane struct {
	queue queue
	free  int
	// wake has something in it when there is news for the lane's goroutine.
	wake chan struct{}
}

func (l *lane) news() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run looks at the targets until ctx is done, and returns when the last look
// has ended.
func (c *Checker) Run(ctx context.Context) {
	var running sync.WaitGroup
	for i := range c.lanes {
		running.Go(func() { c.serve(ctx, &c.lanes[i], &running) })
	}
	running.Wait()
}

// serve starts the looks of a lane when they are due.
func (c *Checker) serve(ctx context.Context, l *lane, looks *sync.WaitGroup) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		t, wait := c.next(l)
		if t != nil {
			looks.Go(func() { c.lookAt(ctx, l, t) })
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-timer.C:
		}
	}
}

// idle is how long a lane sleeps that waits for news only.
const idle = time.Hour

// next takes the next target that is to be looked at now, or says how long
// there is none.
func (c *Checker) next(l *lane) (t *target, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(l.queue) > 0 && l.free > 0 {
		t = l.queue[0]
		if wait = t.due - c.elapsed(); wait > 0 {
			return nil, wait
		}
		c.unplan(t)
		if t.ask != nil {
			l.free--
			return t, 0
		}
		t.dialFails.Store(0)
		c.think(t, unmeasured)
	}
	return nil, idle
}

func (c *Checker) lookAt(ctx context.Context, l *lane, t *target) {
	start := c.elapsed()
	found := c.look(ctx, t.ask)
	took := c.elapsed() - start
	if c.looked != nil && ctx.Err() == nil {
		c.looked(t.ask.kind(), found.String())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l.free++
	l.news()
	if t.gone || ctx.Err() != nil {
		return
	}
	t.lane = quick
	if took > slowAfter {
		t.lane = slow
	}
	c.think(t, t.learn(found))
	c.plan(t, c.jittered(t.interval()))
}

// plan is called with mu: the target is due after that time.
func (c *Checker) plan(t *target, after time.Duration) {
	c.unplan(t)
	if t.ask == nil {
		t.lane = remembered
	}
	t.due = c.elapsed() + after
	l := &c.lanes[t.lane]
	heap.Push(&l.queue, t)
	if t.queued == 1 {
		l.news()
	}
}

// unplan is called with mu.
func (c *Checker) unplan(t *target) {
	if t.queued != 0 {
		heap.Remove(&c.lanes[t.lane].queue, int(t.queued-1))
	}
}

// queue is a heap of targets by when they are due.
type queue []*target

// Len, Less, Swap, Push and Pop are those of heap.Interface.
func (q *queue) Len() int           { return len(*q) }
func (q *queue) Less(i, j int) bool { return (*q)[i].due < (*q)[j].due }
func (q *queue) Swap(i, j int) {
	t := *q
	t[i], t[j] = t[j], t[i]
	t[i].queued, t[j].queued = int32(i+1), int32(j+1) // #nosec G115 -- fewer than 2^31 targets
}

func (q *queue) Push(x any) {
	t := x.(*target)
	*q = append(*q, t)
	t.queued = int32(len(*q)) // #nosec G115 -- fewer than 2^31 targets
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	t.queued = 0
	return t
}

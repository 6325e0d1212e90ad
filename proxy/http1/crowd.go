// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// crowd.go: how many connections there may be, and which of them make room for others.

import (
	"cmp"
	"slices"
	"time"
)

const (
	// crowdedParts of fullParts of the connections are in use when idle ones begin
	// to make room.
	crowdedParts, fullParts = 4, 5
	// batchPart is the part of all connections that makes room at once, so that
	// looking for them costs little for each connection that is accepted.
	batchPart = 32
	// graceOfIdle is how long a connection may wait for its request while others have
	// room: one that was just accepted has not had the time to send it.
	graceOfIdle = time.Second
	// graceOfAll is how long a connection that waits for its client keeps its place
	// when there is no room at all.
	graceOfAll = 250 * time.Millisecond
	// slowWrite is how long a client that takes nothing of its response keeps its
	// place while no other connection can make room.
	slowWrite = 5 * time.Second
	// fullPause is how often a server whose places are all busy looks again.
	fullPause = 20 * time.Millisecond
)

// isCrowded and isFull compare a number of connections with its maximum; 0: there
// is none.
func isCrowded(n, most int) bool { return most > 0 && n*fullParts >= most*crowdedParts }
func isFull(n, most int) bool    { return most > 0 && n >= most }

// Connections returns how many connections there are.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// noteCrowd follows a change of the number of connections. The lock is required.
func (s *Server) noteCrowd() {
	if crowded := isCrowded(len(s.conns), s.Limits().Connections); crowded != s.crowded.Load() {
		s.crowded.Store(crowded)
	}
}

// remove ends a connection's place.
func (s *Server) remove(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.noteCrowd()
	s.mu.Unlock()
	select {
	case s.room <- struct{}{}:
	default:
	}
}

// makeRoom returns when there is room for another connection. Connections that wait
// for their clients make room for it, those that have waited longest before others:
//
//	crowded   idle ones, after graceOfIdle: nothing is lost with them
//	full      after graceOfAll; those too that are sending a request, which get 503:
//	          it was not delivered; else those that have taken nothing of their
//	          response for slowWrite
//
// While there is none of these, no connection is accepted: the system keeps what
// arrives, so nothing is lost, and a load balancer sees an instance that is slow
// to accept.
func (s *Server) makeRoom() {
	n, most := s.Connections(), s.Limits().Connections
	batch := max(1, most/batchPart)
	s.untilScan--
	if isCrowded(n, most) && s.untilScan <= 0 {
		s.untilScan = batch
		s.interruptOldest(2*batch, graceOfIdle, idle)
	}
	for ; isFull(n, most) && !s.stopping.Load(); n, most = s.Connections(), s.Limits().Connections {
		if s.interruptOldest(batch, graceOfAll, idle, reading) == 0 {
			s.interruptOldest(batch, slowWrite, writing)
		}
		timer := time.NewTimer(fullPause)
		select {
		case <-s.room:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// interruptOldest ends the waiting of up to n connections of some kinds, those that
// have waited longest, and returns of how many.
func (s *Server) interruptOldest(n int, least time.Duration, ofKinds ...int64) int {
	type waiting struct {
		*conn
		since, kind int64
	}
	before := s.Now().Add(-least).UnixNano()
	var list []waiting
	s.mu.Lock()
	for c := range s.conns {
		for _, kind := range ofKinds {
			if since := c.phase.since(kind); since != 0 && since <= before {
				list = append(list, waiting{c, since, kind})
			}
		}
	}
	s.mu.Unlock()
	slices.SortFunc(list, func(a, b waiting) int { return cmp.Compare(a.since, b.since) })
	ended := 0
	for _, w := range list {
		if ended == n {
			break
		}
		if w.interrupt(w.kind, errConnections) {
			ended++
		}
	}
	return ended
}

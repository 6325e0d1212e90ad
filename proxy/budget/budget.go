// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package budget divides the memory that requests may hold among them. In: how
// many bytes each holds, and since when it is being read; out: whether it may hold
// more, and which requests are shed instead. Pure.
package budget

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Request is what holds a Share.
type Request interface {
	// ReadingSince is when its reading began, in Unix nanoseconds; 0: it is not
	// being read, so that it cannot be shed.
	ReadingSince() int64
	// Shed ends its reading, and reports whether that was still going on. It must
	// not call the Memory.
	Shed() bool
}

// Memory counts the bytes that requests hold, all together and by route. Whole
// requests count and stay: only those whose client still sends are shed. Among
// them goes the one that has held most bytes for longest (bytes times age), so
// that an honest client on a slow line outlives those that hold a lot and send
// nothing. The methods may be called by several goroutines.
type Memory struct {
	limit, ofRoute int64
	now            func() time.Time

	mu     sync.Mutex
	total  int64
	routes map[string]int64
	shares map[*Share]struct{}
}

// Share is what one request holds. The zero Share with a Request holds nothing.
type Share struct {
	Request
	// used: it may be in the Memory, so that all below needs its lock.
	used   bool
	route  string
	bytes  int64
	isShed bool
}

// NewMemory returns the memory of a number of bytes, of which one route may have
// half.
func NewMemory(limit int64, now func() time.Time) *Memory {
	return &Memory{limit: limit, ofRoute: limit / 2, now: now, routes: map[string]int64{}, shares: map[*Share]struct{}{}}
}

// Held returns how many bytes all requests hold.
func (m *Memory) Held() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.total
}

// Hold makes a request hold that many bytes, instead of what it held before. It
// reports false when there is no room, or the request was shed: then it holds
// nothing until it is released.
func (m *Memory) Hold(s *Share, bytes int64) bool {
	if bytes == 0 && !s.used {
		return true
	}
	s.used = true
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.isShed {
		return false
	}
	m.set(s, bytes)
	return m.makeRoom(s)
}

// Assign makes a request one of a route. It reports false when the route has no
// room for it.
func (m *Memory) Assign(s *Share, route string) bool {
	if !s.used {
		s.route = route
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.isShed {
		return false
	}
	bytes := s.bytes
	m.set(s, 0)
	s.route = route
	m.set(s, bytes)
	return m.makeRoom(s)
}

// Release ends a share. It may be used for another request then.
func (m *Memory) Release(s *Share) {
	if s.used {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.set(s, 0)
	}
	s.used, s.route, s.isShed = false, "", false
}

// set requires the lock.
func (m *Memory) set(s *Share, bytes int64) {
	more := bytes - s.bytes
	s.bytes = bytes
	m.total += more
	if s.route != "" {
		if m.routes[s.route] += more; m.routes[s.route] == 0 {
			delete(m.routes, s.route)
		}
	}
	if bytes == 0 {
		delete(m.shares, s)
		return
	}
	m.shares[s] = struct{}{}
}

// slack is the part of a limit that becomes free when it is exceeded, so that not
// each byte after it looks for a request to shed.
const slack = 16

// makeRoom sheds requests until the limits hold again, and reports whether the
// share may keep what it holds. The lock is required.
func (m *Memory) makeRoom(s *Share) bool {
	if over := m.routes[s.route] - m.ofRoute; s.route != "" && over > 0 {
		m.shed(s.route, over+m.ofRoute/slack)
	}
	if over := m.total - m.limit; over > 0 {
		m.shed("", over+m.limit/slack)
	}
	if !s.isShed && (m.total > m.limit || s.route != "" && m.routes[s.route] > m.ofRoute) {
		m.drop(s) // all others are whole
	}
	return !s.isShed
}

// shed sheds requests of a route, or of all when it is empty, until that many
// bytes are free. The lock is required.
func (m *Memory) shed(route string, bytes int64) {
	type candidate struct {
		*Share
		cost float64
	}
	var candidates []candidate
	now := m.now().UnixNano()
	for s := range m.shares {
		if since := s.ReadingSince(); since != 0 && (route == "" || s.route == route) {
			candidates = append(candidates, candidate{s, float64(s.bytes) * float64(max(now-since, 1))})
		}
	}
	slices.SortFunc(candidates, func(a, b candidate) int { return cmp.Compare(b.cost, a.cost) })
	for _, c := range candidates {
		if bytes <= 0 {
			return
		}
		if held := c.bytes; c.Shed() {
			m.drop(c.Share)
			bytes -= held
		}
	}
}

// drop requires the lock.
func (m *Memory) drop(s *Share) {
	m.set(s, 0)
	s.isShed = true
}
